"""What was found of a policy, with the evidence for it and the lines that follow from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from saccade.measures.intervals import wilson
from saccade.types import Record

State = Literal["ok", "warning", "error", "undecided", "not tried"]

SHOWN = 3
"""Number of raw replies that are kept as evidence."""


class Finding(Record):
    """What was found of a part of a policy."""

    part: str
    """What was asked about: vision, stop, frame, ..."""
    state: State
    """An error makes every number worthless; a warning needs one of the lines, or an eye."""
    text: str
    asked: int | None = None
    """Number of questions, where right ones were counted."""
    right: int | None = None
    low: float | None = None
    """Lower end of the 95 % interval of the share of right answers."""
    high: float | None = None
    replies: tuple[str, ...] = ()
    """Raw replies that the finding rests on, shortened."""
    lines: dict[str, JsonValue] = Field(default_factory=dict)
    """Dotted key of a run file -> the value that it should have."""


def finding(
    part: str,
    state: State,
    text: str,
    *,
    lines: dict[str, JsonValue] | None = None,
    replies: tuple[str, ...] = (),
) -> Finding:
    """A finding that rests on no count."""
    return Finding(part=part, state=state, text=text, lines=lines or {}, replies=replies[:SHOWN])


def counted(
    part: str,
    state: State,
    text: str,
    *,
    right: int,
    asked: int,
    lines: dict[str, JsonValue] | None = None,
    replies: tuple[str, ...] = (),
) -> Finding:
    """A finding that rests on right answers."""
    low, high = wilson(right, asked)
    return Finding(
        part=part, state=state, text=text, asked=asked, right=right, low=low, high=high,
        lines=lines or {}, replies=replies[:SHOWN],
    )  # fmt: skip
