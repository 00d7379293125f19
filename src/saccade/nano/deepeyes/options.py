"""The options of `saccade nano train-base`, which are validated before torch is imported."""

from __future__ import annotations

from pydantic import Field

from saccade.nano.deepeyes.corpus import Mix
from saccade.nano.spec import HEAD, WIDTH
from saccade.types import Record

STEP_LIMIT = 4000


class BaseOptions(Record):
    """What a base is trained with. Each switch turns one ingredient off, to see what it is for."""

    seed: int = Field(default=0, ge=0)
    """Seed of the scenes, of the first weights and of the order of examples."""
    prior: float = Field(default=0.008, ge=0, le=1)
    """Share of questions that are answered by a call in the prior stage; in the language stage,
    none is."""
    start: str = ""
    """Folder of a finished base whose vision and language stages are taken over; only the prior
    stage is then trained."""
    width: int = Field(default=WIDTH, ge=HEAD, multiple_of=HEAD)
    """Width of the layers; the shipped models have 96."""
    scenes: int = Field(default=16_000, ge=1)
    """Number of scenes in the training pool."""
    dev_scenes: int = Field(default=400, ge=1)
    """Number of scenes of the development split that the vision stage is measured on."""
    skill_questions: int = Field(default=100, ge=1)
    """Number of questions of each family that are asked at a measurement of the skills."""
    mix: Mix = Mix()
    """Share of each kind of example in the corpus."""
    vision_stage: bool = True
    """Whether the vision tower is trained first, through its own heads; otherwise it is trained in
    the language stage, from the text alone."""
    word_supervision: bool = True
    """Whether colour words are supervised with the place of their object in the language stage."""
    thought: bool = True
    """Whether place and width of the asked object are said before a decision."""
    muon: bool = True
    """Whether matrices are trained with Muon; otherwise everything is trained with AdamW."""
    joint: bool = False
    """Whether vision and language are trained in one stage, their losses added."""
    step_limit: int = Field(default=STEP_LIMIT, ge=1)
    """Number of steps by which the vision and the language stage must each have taken off."""
