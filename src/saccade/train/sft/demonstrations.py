"""An episode of any policy as the model that learns from it would have written it.

A teacher behind a server may send its thought and its calls in fields of their own, and ids of its
own tokenizer. What is learned is text in the form of the dialect, in ids of the learner.
"""

from __future__ import annotations

from collections.abc import Iterator

from saccade.dialects import built_in
from saccade.dialects.base import Dialect
from saccade.render.qwen_vl import QwenVLRenderer
from saccade.types import Action, Trajectory, Turn

NOT_WRITTEN = "with a turn that its dialect cannot write"
"""Why an episode is left out of which `demonstration` makes none."""

_NO_IDS = {"token_ids": None, "log_probs": None}


def demonstration(trajectory: Trajectory, renderer: QwenVLRenderer) -> Trajectory | None:
    """The same episode with every turn as text; None if a turn cannot be written so.

    A turn that is text already stays as it is. Its ids are kept where they are those of this text
    for the learner, and left out where another tokenizer made them.
    """
    dialect = built_in(trajectory.environment.dialect)
    turns: list[Turn] = []
    for turn in trajectory.turns:
        apart = turn.completion.thought is not None or turn.completion.tool_calls
        written = _whole(turn, dialect) if apart else turn
        if written is None:
            return None
        turns.append(_in_own_ids(written, renderer))
    return trajectory.model_copy(update={"turns": tuple(turns)})


def _whole(turn: Turn, dialect: Dialect | None) -> Turn | None:
    """A turn whose thought or calls came apart: with the first text that means the same."""
    completion, action = turn.completion, turn.action
    if dialect is None or (
        completion.tool_calls and len(action.calls) < len(completion.tool_calls)
    ):
        return None  # a call that could not be read: no text of ours stands for it
    for text in _texts(turn, dialect):
        read = dialect.parse(text)
        if text.startswith(dialect.prefix) and _meaning(read) == _meaning(action):
            update = {"text": text.removeprefix(dialect.prefix), "thought": None, "tool_calls": ()}
            written = completion.model_copy(update=update | _NO_IDS)
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


def _in_own_ids(turn: Turn, renderer: QwenVLRenderer) -> Turn:
    ids = turn.completion.token_ids
    if ids is None:
        return turn
    try:
        own = renderer.decode(ids) == turn.completion.text
    except OverflowError:  # no tokenizer has such an id
        own = False
    if own:
        return turn
    return turn.model_copy(update={"completion": turn.completion.model_copy(update=_NO_IDS)})
