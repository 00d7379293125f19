"""A turn as text: what a server sent in fields of its own, written as the dialect has it."""

from __future__ import annotations

from collections.abc import Iterator

from saccade.dialects.base import Dialect
from saccade.types import Action, Turn


def in_text(turn: Turn, dialect: Dialect | None) -> Turn | None:
    """The same turn with its thought and its calls in its text; None if no text means the same.

    A turn that is text already stays as it is. Another one gets the first text of these that means
    what it did: its parts in their order, or the turn as the dialect writes what it means. It loses
    its ids and log-probabilities, which are of what was sampled.

    Args:
        turn: A turn of any policy.
        dialect: That of its episode; None if it is not known.
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
            own = {"text": text.removeprefix(dialect.prefix), "thought": None, "tool_calls": ()}
            no_ids = {"token_ids": None, "log_probs": None}
            written = completion.model_copy(update=own | no_ids)
            return turn.model_copy(update={"prefix": dialect.prefix, "completion": written})
    return None


def _texts(turn: Turn, dialect: Dialect) -> Iterator[str]:
    completion, action = turn.completion, turn.action
    thought = dialect.write(Action(thought=completion.thought))
    calls = dialect.write(Action(calls=action.calls)) if completion.tool_calls else ""
    yield thought + completion.text + calls
    yield dialect.write(action)


def _meaning(action: Action) -> tuple[object, ...]:
    calls = [(call.name, call.arguments) for call in action.calls]
    return (action.thought or "").strip(), calls, action.answer
