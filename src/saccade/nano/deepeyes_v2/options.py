"""The options of `saccade nano train-base --system deepeyes_v2`, validated without torch."""

from __future__ import annotations

from pydantic import Field

from saccade.nano.deepeyes_v2.corpus import Habits, Mix
from saccade.nano.spec import HEAD, WIDTH
from saccade.types import Record

STEP_LIMIT = 6000


class BaseOptions(Record):
    """What the second base is trained with."""

    seed: int = Field(default=0, ge=0)
    """Seed of the scenes, of the first weights and of the order of examples."""
    habits: Habits = Habits()
    """Share of questions of the world that are answered by a call in the last stage, `habit`."""
    start: str = ""
    """Folder of a finished base whose vision and language stages are taken over; only the last
    stage is then trained."""
    width: int = Field(default=WIDTH, ge=HEAD, multiple_of=HEAD)
    """Width of the layers; the shipped models have 96."""
    scenes: int = Field(default=16_000, ge=8)
    """Number of scenes in the training pool."""
    dev_scenes: int = Field(default=800, ge=8)
    """Number of scenes of the development split that the vision stage is measured on."""
    skill_questions: int = Field(default=80, ge=1)
    """Number of questions of each kind that are asked at a measurement of the skills."""
    mix: Mix = Mix()
    """Share of each kind of example in the corpus."""
    step_limit: int = Field(default=STEP_LIMIT, ge=1)
    """Number of steps by which the vision and the language stage must each have taken off."""
