"""Where a turn decides whether it calls or answers.

A dialect says how a call, a cell of code and an answer open (`Dialect.seams`). Which tokens make
the difference depends on the tokenizer as well: an opening may be a token of its own, or start with
the same one as another opening.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from saccade.dialects.base import Move, Seams
from saccade.render.qwen_vl import QwenVLRenderer
from saccade.types import Trajectory


class Decision(NamedTuple):
    """The ids of the first turn that decide, `start` to `end`."""

    start: int
    """The first one after the thought."""
    end: int
    """Behind the first one that no opening of the other move shares."""
    move: Move | None
    """What was decided: "call", which a cell of code is as well, or "answer"; None if neither."""


def decision_of(renderer: QwenVLRenderer, seams: Seams, trajectory: Trajectory) -> Decision | None:
    """Where an episode decided; None if its first thought never ends, or nothing follows it."""
    if not trajectory.turns:
        return None
    turn = trajectory.turns[0]
    text, ids = turn.completion.text, turn.completion.token_ids or ()
    place = seams.after_thought(text, turn.prefix)
    if place is None:
        return None
    after = text[place:].lstrip()
    start = token_at(renderer, ids, len(text) - len(after))
    if start == len(ids):
        return None
    openings = openings_of(seams)
    for move, texts in openings.items():
        if after.startswith(texts):
            others = (renderer.encode(o) for m in openings if m != move for o in openings[m])
            shared = max(_shared(ids[start:], other) for other in others)
            return Decision(start, min(start + shared + 1, len(ids)), move)
    return Decision(start, start + 1, None)


def openings_of(seams: Seams) -> dict[Move, tuple[str, ...]]:
    """The texts that open a call, code among them, and an answer.

    Raises:
        ConfigError: nothing opens an answer in this dialect.
    """
    calls = [seams.call, *([seams.code] if seams.code is not None else [])]
    return {
        "call": tuple(seam.opening for seam in calls),
        "answer": (seams.force("answer").text,),
    }


def token_at(renderer: QwenVLRenderer, ids: Sequence[int], place: int) -> int:
    """The number of the first id whose text starts at or behind a place in the text of all."""
    return bisect_left(range(len(ids)), place, key=lambda n: len(renderer.decode(ids[:n])))


def _shared(ids: Sequence[int], other: Sequence[int]) -> int:
    """How many ids both start with."""
    pairs = zip(ids, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(ids), len(other)))
