"""Paired comparison of two ways to answer the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, fsum, sqrt

from saccade.measures.intervals import Z_95, Interval
from saccade.types import Record


class Paired(Record):
    """A paired comparison of two ways to answer the same questions."""

    n: int
    gained: int
    """Number of questions that the second way answers correctly more often."""
    lost: int
    """Number of questions that the first way answers correctly more often."""
    difference: float
    """Accuracy of the second way minus that of the first."""
    interval: Interval
    """95 % interval of the difference.

    Source: Bonett and Price, J. Educ. Behav. Stat. 37 (2012) 479-488, the adjusted Wald interval:
    that of a mean, with one gained and one lost question added. With several samples of a question
    the same is done with its shares of correct answers, so that questions and not samples count.
    """
    p: float
    """Probability under the null hypothesis: McNemar's test, exact and two-sided.

    With several samples of a question it is the sign test, which is the same with one.
    """


def paired(before: Sequence[float], after: Sequence[float]) -> Paired:
    """Compare two ways to answer the same questions.

    Args:
        before: For each question, whether the first way answers it correctly, or in what share of
            its samples, in [0, 1].
        after: The same for the second way, in the same order.

    Raises:
        ValueError: there is no question, or the lengths differ.
    """
    changes = [float(b) - float(a) for a, b in zip(before, after, strict=True)]
    if not changes:
        raise ValueError("paired: nothing to compare")
    n = len(changes)
    gained, lost = sum(c > 0 for c in changes), sum(c < 0 for c in changes)
    centre = fsum(changes) / (n + 2)
    variance = (fsum(c * c for c in changes) + 2) / (n + 2) - centre**2
    half = Z_95 * sqrt(variance / (n + 2))
    interval = Interval(max(-1.0, centre - half), min(1.0, centre + half))
    return Paired(
        n=n, gained=gained, lost=lost, difference=fsum(changes) / n, interval=interval,
        p=mcnemar(gained, lost),
    )  # fmt: skip


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p of McNemar's test, in which both kinds of change are as likely."""
    n = gained + lost
    tail = sum(comb(n, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / (1 << n))
