"""A turn whose thought or calls came in fields of their own, as text of its dialect.

A teacher behind a server may send them so. What is learned from it, and what is exported for
others, is text.
"""

from __future__ import annotations

from collections.abc import Iterator

from saccade.dialects.base import Dialect
from saccade.types import Action, Turn


def as_text(turn: Turn, dialect: Dialect | None) -> Turn | None:
    """The same turn with the first text that means the same; one that is text already as it is.

    Args:
        turn: Of any policy.
        dialect: In which it was played; None for one that is not built in, whose turns are text or
            cannot be written.

    Returns:
        A turn without ids, prefixed as the dialect prefixes turns; None if the dialect cannot write
        it.
    """
    completion, action = turn.completion, turn.action
    if completion.thought is None and not completion.tool_calls:
        return turn
    if dialect is None or (
        completion.tool_calls and len(action.calls) < len(completion.tool_calls)
    ):
        return None  # a call that could not be read: no text of ours stands for it
    for text in _texts(turn, dialect):
        read = dialect.parse(text)
        if text.startswith(dialect.prefix) and _meaning(read) == _meaning(action):
            apart = {"thought": None, "tool_calls": (), "token_ids": None, "log_probs": None}
            update = {"text": text.removeprefix(dialect.prefix), **apart}
            written = completion.model_copy(update=update)
            return turn.model_copy(update={"prefix": dialect.prefix, "completion": written})
    return None


def _texts(turn: Turn, dialect: Dialect) -> Iterator[str]:
    """The parts of a turn in their order; else the turn as the dialect writes what it means."""
    completion, action = turn.completion, turn.action
    thought = dialect.write(Action(thought=completion.thought))
    calls = dialect.write(Action(calls=action.calls)) if completion.tool_calls else ""
    yield thought + completion.text + calls
    yield dialect.write(action)


def _meaning(action: Action) -> tuple[object, ...]:
    calls = [(call.name, call.arguments) for call in action.calls]
    return (action.thought or "").strip(), calls, action.answer
