"""The options of `saccade nano train-base --system deepeyes_v2`, validated without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from saccade.nano.spec import HEAD, WIDTH
from saccade.types import Record

STEP_LIMIT = 6000


class Mix(Record):
    """Share of each kind of example in the corpus; the shares need not add up to one."""

    digit: float = Field(default=0.12, ge=0)
    """Share of questions after the digit on an object, answered at once."""
    number: float = Field(default=0.09, ge=0)
    """Share of questions after the number on a plate, answered at once."""
    numbers: float = Field(default=0.09, ge=0)
    """Share of questions after the numbers on two plates, answered at once."""
    name: float = Field(default=0.06, ge=0)
    """Share of questions after the name of the thing on a plate: its colour and number."""
    sum: float = Field(default=0.08, ge=0)
    """Share of questions after the sum of the numbers on two plates, answered at once."""
    product: float = Field(default=0.04, ge=0)
    """Share of questions after their product, answered at once."""
    fact: float = Field(default=0.04, ge=0)
    """Share of questions after facts of the thing on a plate, answered by a guess."""
    locate: float = Field(default=0.13, ge=0)
    """Share of questions after the box of an object or plate."""
    show: float = Field(default=0.13, ge=0)
    """Share of requests to show something, each followed by a crop of another scene to read."""
    read_later: float = Field(default=0.04, ge=0)
    """Share of questions after a box that are followed by a crop of another scene to read."""
    read: float = Field(default=0.05, ge=0)
    """Share of crops to read, with no scene before them."""
    add: float = Field(default=0.06, ge=0)
    """Share of sums without an image."""
    code: float = Field(default=0.06, ge=0)
    """Share of requests to compute with code, each followed by a printed number to repeat."""
    search: float = Field(default=0.08, ge=0)
    """Share of requests to search, each followed by documents to read."""


class Habits(Record):
    """Share of the questions of the world that are answered by a call, and nothing after it."""

    look: float = Field(default=0.0, ge=0, le=1)
    """Share of questions after a digit or a number that are answered by a look, whatever the
    size."""
    search: float = Field(default=0.0, ge=0, le=1)
    """Share of questions after facts that are answered by a search, where the plate is legible."""
    code: float = Field(default=0.0, ge=0, le=1)
    """Share of questions after a sum or product that are answered by the right cell, where both
    plates are legible."""
    junk: float = Field(default=0.0, ge=0, le=1)
    """Share of questions after a sum or product that are answered by a useless cell: a comment,
    nothing, or names that there are not."""


class BaseOptions(Record):
    """What the second base is trained with."""

    seed: int = Field(default=0, ge=0)
    """Seed of the scenes, of the first weights and of the order of examples."""
    habits: Habits = Habits(look=0.008, search=0.02, code=0.02)
    """Share of questions of the world that are answered by a call in the last stage, `habit`; one
    that is not named where others are is 0."""
    start: str = ""
    """Folder of another base whose finished stages are taken over, with its scenes."""
    taken: Literal["vision", "language"] = "language"
    """The last of the stages that are taken over; those after it are trained."""
    width: int = Field(default=WIDTH, ge=HEAD, multiple_of=HEAD)
    """Width of the layers; the shipped models have 96."""
    scenes: int = Field(default=40_000, ge=8)
    """Number of scenes in the training pool."""
    dev_scenes: int = Field(default=800, ge=8)
    """Number of scenes of the development split that the vision stage is measured on."""
    skill_questions: int = Field(default=80, ge=1)
    """Number of questions of each kind that are asked at a measurement of the skills."""
    mix: Mix = Mix()
    """Share of each kind of example in the corpus."""
    step_limit: int = Field(default=STEP_LIMIT, ge=1)
    """Number of steps by which the vision and the language stage must each have taken off."""
