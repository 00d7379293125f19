"""What the episodes of a run cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from pydantic import JsonValue

from saccade.bench.measured.attempts import Attempt
from saccade.measures.summary import prompt_tokens, response_tokens
from saccade.types import Record

MAX_PRICE = 1e9
"""Of a million tokens; a larger number in a run file is no price."""


class Cost(Record):
    """What the episodes of a run cost, those that were aborted included; judges are not."""

    episodes: int
    counted: int
    """Number of episodes whose tokens are known; the totals are of these."""
    prompt_tokens: int
    """Number of tokens in all prompts; each turn reads the earlier ones again."""
    response_tokens: int
    """Number of tokens that the model wrote."""
    price: float | None
    """By `policy.price_in` and `policy.price_out` of the run file, in their currency; None where it
    names none."""
    seconds: float | None
    """Median wall time of a finished episode."""


def cost_of(attempts: Sequence[Attempt], policy: JsonValue) -> Cost:
    """What the episodes of a run cost.

    Args:
        attempts: The episodes.
        policy: The `policy` section of the run file.
    """
    told = [(prompt_tokens(a.trajectory), response_tokens(a.trajectory)) for a in attempts]
    known = [(read, wrote) for read, wrote in told if read is not None and wrote is not None]
    read, wrote = (sum(pair[side] for pair in known) for side in (0, 1))
    seconds = [a.trajectory.seconds for a in attempts if a.finished]
    per_read, per_wrote = (_price(policy, key) for key in ("price_in", "price_out"))
    priced = bool(per_read or per_wrote)
    return Cost(
        episodes=len(attempts),
        counted=len(known),
        prompt_tokens=read,
        response_tokens=wrote,
        price=(read * per_read + wrote * per_wrote) / 1e6 if priced else None,
        seconds=median(seconds) if seconds else None,
    )


def _price(policy: JsonValue, key: str) -> float:
    value = policy.get(key) if isinstance(policy, Mapping) else None
    return float(value) if isinstance(value, int | float) and 0 <= value < MAX_PRICE else 0.0
