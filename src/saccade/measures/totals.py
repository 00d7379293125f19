"""Numbers that are no plain mean: the mean of the means of groups, F1, precision.

The interval of a mean of means comes from Wilson's of each group, where no unit is in two of them;
else it is the percentile bootstrap over units, which draws all that belongs to a unit together.
That of a ratio of counts is Wilson's of clusters.

Source: Zou and Donner, Stat. Med. 27 (2008) 1693-1702 (the sum of independent estimates); B. Efron,
Ann. Statist. 7 (1979) 1-26.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from saccade.measures.means import RESAMPLES, SEED, Metric, mean_of

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
    units = [{unit for unit, _ in pairs} for pairs in kept]
    if kept and sum(map(len, units)) == len(set[str]().union(*units)):
        share_P = (weight_P / weight_P.sum()).tolist()
        means = [mean_of(name, group, pairs) for pairs in kept]
        return _joined(name, group, share_P, means)

    def mean(totals_RC: Floats) -> Floats:
        ratios_RP = ratio(totals_RC[:, ::2], totals_RC[:, 1::2])
        known_RP = ~np.isnan(ratios_RP)
        return ratio(np.where(known_RP, ratios_RP, 0) @ weight_P, known_RP @ weight_P)

    (metric,) = metrics_of_totals(group, entries, 2 * len(kept), {name: mean}, n=n)
    return metric


def _joined(name: str, group: str, share_P: Sequence[float], means: Sequence[Metric]) -> Metric:
    """A weighted sum of independent means."""
    value = below = above = 0.0
    for share, one in zip(share_P, means, strict=True):
        middle = one.value or 0.0
        low, high = (middle if end is None else end for end in (one.low, one.high))
        value += share * middle
        below += (share * (middle - low)) ** 2
        above += (share * (high - middle)) ** 2
    return Metric(
        name=name, group=group, value=value, low=max(0.0, value - below**0.5),
        high=min(1.0, value + above**0.5), n=sum(one.n for one in means),
        units=sum(one.units for one in means), method="wilson",
    )  # fmt: skip


def ratio_of_counts(
    name: str,
    group: str,
    cells: Sequence[tuple[str, int]],
    top: Collection[int],
    bottom: Collection[int],
    *,
    f1: bool = False,
) -> Metric:
    """The share of attempts in some cells of a table among those in more of them.

    Args:
        name: As in "precision".
        group: What it is of.
        cells: Unit and cell of each attempt.
        top: The cells that are counted.
        bottom: Those that they are a share of.
        f1: Whether the number is 2 s / (1 + s) of the share s, which F1 is of the share of hits
            among hits, false alarms and misses; its interval is that of the share likewise.
    """
    pairs = [(unit, float(cell in top)) for unit, cell in cells if cell in bottom]
    found = mean_of(name, group, pairs)
    ends = [found.value, found.low, found.high]
    if f1:
        ends = [None if end is None else 2 * end / (1 + end) for end in ends]
    return found.model_copy(
        update={
            **dict(zip(("value", "low", "high"), ends, strict=True)),
            "n": len(cells),
            "units": len({unit for unit, _ in cells}),
        }
    )


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
