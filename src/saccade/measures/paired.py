"""Paired comparison of two ways to answer the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, sqrt

from saccade.measures.intervals import Z_95, Interval
from saccade.types import Record


class Paired(Record):
    """A paired comparison of two ways to answer the same questions."""

    n: int
    gained: int
    """Number of questions that only the second way answers correctly."""
    lost: int
    """Number of questions that only the first way answers correctly."""
    difference: float
    """Accuracy of the second way minus that of the first."""
    interval: Interval
    """95 % interval of the difference.

    Source: Bonett and Price, J. Educ. Behav. Stat. 37 (2012) 479-488, the adjusted Wald interval.
    """
    p: float
    """Probability under the null hypothesis: McNemar's test, exact and two-sided."""


def paired(before: Sequence[bool], after: Sequence[bool]) -> Paired:
    """Compare two ways to answer the same questions.

    Args:
        before: For each question, whether the first way answers it correctly.
        after: The same for the second way, in the same order.

    Raises:
        ValueError: there is no question, or the lengths differ.
    """
    pairs = list(zip(before, after, strict=True))
    if not pairs:
        raise ValueError("paired: nothing to compare")
    n = len(pairs)
    gained, lost = pairs.count((False, True)), pairs.count((True, False))
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = Z_95 * sqrt((up + down - (up - down) ** 2) / (n + 2))
    interval = Interval(max(-1.0, up - down - half), min(1.0, up - down + half))
    return Paired(
        n=n, gained=gained, lost=lost, difference=(gained - lost) / n, interval=interval,
        p=mcnemar(gained, lost),
    )  # fmt: skip


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p of McNemar's test, in which both kinds of change are as likely."""
    n = gained + lost
    tail = sum(comb(n, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / (1 << n))
