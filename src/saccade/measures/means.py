"""Means in [0, 1] with their 95 % intervals, over units that are drawn independently.

A value of 0 or 1 for each attempt is a proportion, and has Wilson's interval (of clusters where
several attempts share a unit). Other values have Wilson's of an effective sample size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

import numpy as np

from saccade.measures.intervals import Interval, wilson_of_clusters, wilson_of_values
from saccade.types import Record

RESAMPLES = 2000
CELLS = 1_000_000
"""Units of all resamples that are drawn together: those of 30,000 items do not fit in memory."""
SEED = 20260101
"""Of the bootstrap: the same numbers have the same interval."""

Method = Literal["wilson", "bootstrap", "paired", "none"]


class Metric(Record):
    """A number that a benchmark reports, with its interval."""

    name: str
    """As in "accuracy", "mIoU", "worst-case accuracy"."""
    group: str = "all"
    value: float | None
    """None where nothing was scored."""
    low: float | None = None
    high: float | None = None
    n: int
    """Number of attempts that are scored."""
    units: int
    """Number of units (questions) that these attempt."""
    method: Method = "none"
    """How the interval was made; `paired`: that of a difference, see `saccade.measures.paired`;
    `none`: there is none."""


def means_by(name: str, groups: Mapping[str, Sequence[tuple[str, float]]]) -> list[Metric]:
    """A metric for each group: its mean with its interval."""
    return [mean_of(name, group, pairs) for group, pairs in groups.items()]


def mean_of(name: str, group: str, pairs: Sequence[tuple[str, float]]) -> Metric:
    """The mean of the values of attempts, each with the unit that it belongs to."""
    units: dict[str, list[float]] = {}
    for unit, value in pairs:
        units.setdefault(unit, []).append(value)
    n = len(pairs)
    if not n:
        return Metric(name=name, group=group, value=None, n=0, units=0)
    held = [*units.values()]
    sizes = [len(values) for values in held]
    if all(value in (0, 1) for _, value in pairs):
        low, high = wilson_of_clusters([int(sum(values)) for values in held], sizes)
    else:
        low, high = wilson_of_values([sum(values) for values in held], sizes)
    value = fmean(value for _, value in pairs)
    return Metric(
        name=name, group=group, value=value, low=low, high=high, n=n, units=len(units),
        method="wilson",
    )  # fmt: skip


def bootstrap(units: Sequence[Sequence[float]]) -> Interval:
    """The 95 % percentile interval of the mean of all values, units being drawn with replacement.

    One unit tells nothing of the others: (0, 1).

    Source: B. Efron, Ann. Statist. 7 (1979) 1-26; the ratio of sums over clusters.
    """
    if len(units) < 2:
        return Interval(0.0, 1.0)
    sums_U = np.array([sum(unit) for unit in units])
    sizes_U = np.array([len(unit) for unit in units])
    rng = np.random.default_rng(SEED)
    together = max(1, CELLS // len(units))
    means: list[float] = []
    while len(means) < RESAMPLES:
        drawn_RU = rng.integers(
            len(units), size=(min(together, RESAMPLES - len(means)), len(units))
        )
        means.extend(sums_U[drawn_RU].sum(axis=1) / sizes_U[drawn_RU].sum(axis=1))
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(low), float(high))
