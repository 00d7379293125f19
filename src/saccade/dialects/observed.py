"""What a dialect wrote of a result, read back: for episodes of which only the text was kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from saccade.dialects.base import Dialect
from saccade.types import Message, Part, ToolCall, ToolResult

_INSIDE = "\u2063inside\u2063"
"""Stands for a result while its surroundings are looked for; no text of a dialect has it."""


def result_of(call: ToolCall, observation: Sequence[Message], dialect: Dialect) -> ToolResult:
    """The result of a call, from what its dialect showed of it.

    `dialect.observe` of what is returned gives the same text again where the observation was
    written in the words of this dialect, with these prompts. Other observations are the content of
    the result as a whole. What a tool knew beside what it showed (`data`) is lost.

    Args:
        call: The call; one without a name stands for a call that could not be read.
        observation: The messages that followed it.
        dialect: The dialect of the episode.
    """
    parts = tuple(part for message in observation for part in message.content)
    refused = _around(ToolResult(call=call, error=_INSIDE), dialect)
    said = _within(parts, refused)
    if said is not None and all(isinstance(part, str) for part in said):
        return ToolResult(call=call, error="".join(map(str, said)))
    shown = _within(parts, _around(ToolResult(call=call, content=(_INSIDE,)), dialect))
    return ToolResult(call=call, content=parts if shown is None else shown)


class _Around(NamedTuple):
    opening: str
    closing: str


def _around(result: ToolResult, dialect: Dialect) -> _Around:
    """What the dialect writes before and after a result."""
    text = "".join(message.text for message in dialect.observe([result]))
    opening, _, closing = text.partition(_INSIDE)
    return _Around(opening, closing)


def _within(parts: tuple[Part, ...], around: _Around) -> tuple[Part, ...] | None:
    """What stands between; None if the observation begins or ends otherwise."""
    opening, closing = around
    inside = list(parts)
    if opening:
        first = inside[0] if inside else None
        if not isinstance(first, str) or not first.startswith(opening):
            return None
        inside[0] = first[len(opening) :]
    if closing:
        last = inside[-1] if inside else None
        if not isinstance(last, str) or not last.endswith(closing):
            return None
        inside[-1] = last[: len(last) - len(closing)]
    return tuple(part for part in inside if part != "")
