"""What several samples of a question are worth together: pass@k, and the vote of the majority."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import comb
from statistics import fmean


def pass_at(k: int, n: int, correct: int) -> float:
    """The probability that at least one of k samples is right, drawn from n of which some are.

    Source: Chen et al., arXiv 2107.03374, equation 1: 1 - C(n - c, k) / C(n, k), unbiased. The
    plug-in 1 - (1 - c/n)^k is not: it is too low.

    Raises:
        ValueError: fewer than k samples, or more right ones than there are.
    """
    if not 1 <= k <= n or not 0 <= correct <= n:
        raise ValueError(f"pass@{k} of {n} samples of which {correct} are right")
    return 1.0 - comb(n - correct, k) / comb(n, k)


def majority(votes: Sequence[Hashable | None], values: Sequence[float | None]) -> float | None:
    """The value of the answer that most samples give.

    Samples that give one answer may have been judged apart: it has the mean of their values. Where
    several answers have as many votes, the result is the mean of theirs: what to choose one of them
    by lot yields on average, without a lot. None where no sample of such an answer is scored.

    Source: Wang et al., arXiv 2203.11171 (self-consistency), the unweighted vote. Where we deviate:
    ties, which it does not speak of.

    Args:
        votes: The answer of each sample, equal where two are the same; None: it gave none, and does
            not vote. Where none votes, all of them are one answer.
        values: What each sample scored, in [0, 1]; None: not scored.
    """
    said: dict[Hashable, list[float | None]] = {}
    for vote, value in zip(votes, values, strict=True):
        if vote is not None:
            said.setdefault(vote, []).append(value)
    if not said:
        said = {"": list(values)}
    most = max(map(len, said.values()), default=0)
    tied = [_mean(held) for held in said.values() if len(held) == most]
    return _mean(tied)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
