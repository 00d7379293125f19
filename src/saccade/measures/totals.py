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

    return metric_of_totals(name, group, entries, 2 * len(kept), mean, n=n)


def metric_of_totals(
    name: str,
    group: str,
    entries: Sequence[tuple[str, int, float]],
    columns: int,
    statistic: Statistic,
    *,
    n: int,
) -> Metric:
    """A function of totals with its interval.

    Args:
        name: As in "F1".
        group: What it is of.
        entries: What each attempt adds: its unit, the column, and how much.
        columns: Number of columns, C.
        statistic: The function.
        n: Number of attempts.
    """
    units = {unit: place for place, unit in enumerate(dict.fromkeys(e[0] for e in entries))}
    unknown = Metric(name=name, group=group, value=None, n=n, units=len(units))
    if not entries:
        return unknown
    totals_UC: Floats = np.zeros((len(units), columns))
    for unit, column, amount in entries:
        totals_UC[units[unit], column] += amount
    value = float(statistic(totals_UC.sum(0, keepdims=True))[0])
    if np.isnan(value):
        return unknown
    low, high = 0.0, 1.0
    if len(units) > 1:
        rng = np.random.default_rng(SEED)
        draws = (rng.integers(len(units), size=len(units)) for _ in range(RESAMPLES))
        counts = (np.bincount(draw, minlength=len(units)) for draw in draws)
        found_R = statistic(np.array([count_U @ totals_UC for count_U in counts]))
        low, high = map(float, np.nanquantile(found_R, [0.025, 0.975]))
    return unknown.model_copy(
        update={"value": value, "low": low, "high": high, "method": "bootstrap"}
    )


def ratio(top: Floats, bottom: Floats) -> Floats:
    """`top / bottom`; NaN where `bottom` is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom > 0, top / bottom, np.nan)
