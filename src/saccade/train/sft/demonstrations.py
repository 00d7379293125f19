"""An episode of any policy as the model that learns from it would have written it.

A teacher behind a server may send its thought and its calls in fields of their own, and ids of its
own tokenizer. What is learned is text in the form of the dialect, in ids of the learner.
"""

from __future__ import annotations

from saccade.dialects import built_in
from saccade.dialects.as_text import as_text
from saccade.render.qwen_vl import QwenVLRenderer
from saccade.types import Trajectory, Turn

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
        written = as_text(turn, dialect)
        if written is None:
            return None
        turns.append(_in_own_ids(written, renderer))
    return trajectory.model_copy(update={"turns": tuple(turns)})


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
