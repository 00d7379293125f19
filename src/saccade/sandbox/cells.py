"""What a cell did, as the host believes it: everything that comes back is checked here.

Nothing that a session sends is executed or decoded. Text is cut and cleaned; pixels are as many as
were announced, in plain RGB. What stays forgeable is what a cell could have printed anyway.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

from PIL import Image as PILImage

from saccade.sandbox.inside.plan import Limits

Status = Literal["ok", "error", "timeout", "killed"]
MAX_NOTES, NOTE_CHARS = 20, 200


class ChannelError(ValueError):
    """A session sent what a session never sends."""


@dataclass(frozen=True)
class Cell:
    """What a cell did."""

    status: Status
    """`error`: an exception; `timeout`: interrupted, variables are kept; `killed`: the process of
    the session ended, and with it all variables."""
    stdout: str = ""
    stderr: str = ""
    value: str | None = None
    """The repr of the last expression, unless it is None or was shown as an image."""
    error: str | None = None
    """The traceback, of the cell's own lines; or why the session ended."""
    images: tuple[PILImage.Image, ...] = ()
    """What was displayed, RGB: images and figures, in order."""
    notes: tuple[str, ...] = ()
    """What was cut or left out."""
    seconds: float = 0.0
    """Wall time, measured by the host."""


@dataclass(frozen=True)
class Head:
    """The announcement of a result."""

    status: Status
    value: str | None
    error: str | None
    notes: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    """Width and height of each image that follows."""


def read_head(packet: bytes, number: int, limits: Limits, *, trust: bool = False) -> Head | None:
    """Check an announcement; None if it is about another cell.

    Args:
        packet: What came.
        number: Of the cell that is awaited.
        limits: Of the session.
        trust: Check nothing, in tests of what the checks are for.

    Raises:
        ChannelError: it is not what a session sends.
    """
    if trust:
        announced = json.loads(packet)
        return Head(
            announced["status"], announced["value"], announced["error"], tuple(announced["notes"]),
            tuple(map(tuple, announced["images"])),
        )  # fmt: skip
    try:
        announced = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise ChannelError(f"no JSON: {type(error).__name__}") from None
    if not isinstance(announced, dict) or type(announced.get("number")) is not int:
        raise ChannelError("no announcement of a result")
    if announced["number"] != number:
        return None
    status = announced.get("status")
    if status not in ("ok", "error", "timeout"):
        raise ChannelError("status")
    notes = announced.get("notes")
    if type(notes) is not list or not all(type(note) is str for note in notes):
        raise ChannelError("notes")
    return Head(
        status=status,
        value=_text(announced.get("value"), "value", limits),
        error=_text(announced.get("error"), "error", limits),
        notes=tuple(clean(note[:NOTE_CHARS]) for note in notes[:MAX_NOTES]),
        sizes=_sizes(announced.get("images"), limits),
    )


def clean(text: str) -> str:
    """Text that a terminal, a tokenizer and a UTF-8 file can hold: no control characters."""
    return _CONTROL.sub("", text.encode("utf-8", "replace").decode("utf-8"))


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _text(value: object, name: str, limits: Limits) -> str | None:
    if value is None:
        return None
    if type(value) is not str:
        raise ChannelError(name)
    return clean(value[: limits.text + 100])


def _sizes(value: object, limits: Limits) -> tuple[tuple[int, int], ...]:
    if type(value) is not list or len(value) > limits.images:
        raise ChannelError("images")
    sizes: list[tuple[int, int]] = []
    for size in value:
        if type(size) is not list or len(size) != 2:
            raise ChannelError("size of an image")
        width, height = size
        if type(width) is not int or type(height) is not int:
            raise ChannelError("size of an image")
        if not (0 < width <= limits.image_side and 0 < height <= limits.image_side):
            raise ChannelError("size of an image")
        if width * height > limits.image_pixels:
            raise ChannelError("pixels of an image")
        sizes.append((width, height))
    if sum(width * height for width, height in sizes) > limits.pixels:
        raise ChannelError("pixels of all images")
    return tuple(sizes)
