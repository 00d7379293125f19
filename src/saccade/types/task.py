"""A question: text and images in order, and what is known about the right answer."""

from __future__ import annotations

import string
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from saccade.images.geometry import Box
from saccade.images.image import Image

Part = str | Image
"""A piece of a message: text, or an image."""


class Record(BaseModel):
    """A frozen value that touches disk or wire."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


OPTION_LETTERS = string.ascii_uppercase
"""The letters of the options of a multiple-choice question, in order; a question has no more."""


def option_letter(place: int) -> str:
    """The letter of an option, counted from 0: A, B, C, ..."""
    return OPTION_LETTERS[place]


class TargetBox(Record):
    """Where the asked object is: ground truth for measures and rewards, never shown."""

    box: Box
    """In pixels of the source of the image, not of a view of it."""
    image: int = Field(default=1, ge=1)
    """Which image of the question, counted from 1."""
    label: str = ""


class Task(Record):
    """A question with its images, and what is known about the right answer."""

    id: str = Field(min_length=1, max_length=500)
    prompt: tuple[Part, ...]
    """The question as the asker wrote it: text and images in order, no instructions."""
    answer: str | None = None
    """The gold answer, or None: then nothing scores the trajectory. Where options are letters, a
    capital is the letter of an option; write `C. A` for both."""
    choices: tuple[str, ...] = Field(default=(), max_length=len(OPTION_LETTERS))
    """Options of a multiple-choice question, without letters."""
    boxes: tuple[TargetBox, ...] = ()
    judge: str | None = None
    """Name of the judge that this task wants; None leaves it to the reward."""
    source: str = ""
    """Benchmark, file or generator that the task comes from."""
    meta: dict[str, JsonValue] = {}

    @model_validator(mode="after")
    def _boxes_lie_on_images(self) -> Self:
        for target in self.boxes:
            if target.image > len(self.images):
                raise ValueError(f"a box on image {target.image} of {len(self.images)}")
        return self

    @property
    def question(self) -> str:
        """The text of the prompt, images left out."""
        return "\n".join(part for part in self.prompt if isinstance(part, str)).strip()

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(part for part in self.prompt if isinstance(part, Image))

    @property
    def family(self) -> str:
        """The kind of the question, by which numbers are told apart: its own, or its source."""
        return str(self.meta.get("family") or self.source)
