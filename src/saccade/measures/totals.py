"""Numbers that are no plain mean: the mean of the means of groups, F1, precision.

Each is a function of totals over attempts. Its interval is the percentile bootstrap over units: all
that belongs to a unit (the cycles of a question) is drawn together.

Source: B. Efron, Ann. Statist. 7 (1979) 1-26.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from saccade.measures.means import RESAMPLES, SEED, Metric

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Maps totals (R, C) to a value for each resample (R,); NaN where it is not defined."""

Part = tuple[str, float]
"""A unit, and the value of an attempt at it."""


def mean_of_means(
    name: str,
    group: str,
    parts: Mapping[str, Sequence[Part]],
    *,
    weights: Mapping[str, float] | None = None,
) -> Metric:
    """The mean of the means of groups, with its interval; empty groups are left out.

    Args:
        name: As in "macro accuracy".
        group: What it is of.
        parts: For each group the unit and the value of its attempts.
        weights: How much each group counts; None: each as much as another.
    """
    present = [part for part, pairs in parts.items() if pairs]
    kept = [parts[part] for part in present]
    weight_P = np.array([1.0 if weights is None else weights[part] for part in present])
    entries = [
        (unit, 2 * place + column, amount)
        for place, pairs in enumerate(kept)
        for unit, value in pairs
        for column, amount in ((0, value), (1, 1.0))
    ]
    n = sum(map(len, kept))

    def mean(totals_RC: Floats) -> Floats:
        ratios_RP = ratio(totals_RC[:, ::2], totals_RC[:, 1::2])
        known_RP = ~np.isnan(ratios_RP)
        return ratio(np.where(known_RP, ratios_RP, 0) @ weight_P, known_RP @ weight_P)

    (metric,) = metrics_of_totals(group, entries, 2 * len(kept), {name: mean}, n=n)
    return metric


def metrics_of_totals(
    group: str,
    entries: Sequence[tuple[str, int, float]],
    columns: int,
    statistics: Mapping[str, Statistic],
    *,
    n: int,
) -> list[Metric]:
    """Functions of totals with their intervals.

    Args:
        group: What they are of.
        entries: What each attempt adds: its unit, the column, and how much.
        columns: Number of columns, C.
        statistics: The functions, each with the name of its metric, as in "F1".
        n: Number of attempts.
    """
    units = {unit: place for place, unit in enumerate(dict.fromkeys(e[0] for e in entries))}
    totals_UC: Floats = np.zeros((len(units), columns))
    for unit, column, amount in entries:
        totals_UC[units[unit], column] += amount
    drawn_RC = _resampled(totals_UC) if len(units) > 1 else None
    made = []
    for name, statistic in statistics.items():
        value = float(statistic(totals_UC.sum(0, keepdims=True))[0]) if entries else np.nan
        if np.isnan(value):
            made.append(Metric(name=name, group=group, value=None, n=n, units=len(units)))
            continue
        low, high = 0.0, 1.0  # one unit tells nothing of the others
        if drawn_RC is not None:
            low, high = map(float, np.nanquantile(statistic(drawn_RC), [0.025, 0.975]))
        metric = Metric(
            name=name, group=group, value=value, low=low, high=high, n=n, units=len(units),
            method="bootstrap",
        )  # fmt: skip
        made.append(metric)
    return made


def _resampled(totals_UC: Floats) -> Floats:
    """Totals over units that are drawn with replacement, `RESAMPLES` times."""
    rng, units = np.random.default_rng(SEED), len(totals_UC)
    draws = (rng.integers(units, size=units) for _ in range(RESAMPLES))
    return np.array([np.bincount(draw, minlength=units) @ totals_UC for draw in draws])


def ratio(top: Floats, bottom: Floats) -> Floats:
    """`top / bottom`; NaN where `bottom` is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom > 0, top / bottom, np.nan)
