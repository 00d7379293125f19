"""Tables of what `saccade attack` and `saccade detect` measured on a classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from saccade.robust.classifiers.results import AttackResult, DetectResult


def attack_table(result: AttackResult) -> Sequence[Sequence[str]]:
    """Rows of text: a method, then its rate with the interval at each epsilon."""
    first = next(iter(result.rates.values()))
    rows = [["method", *(f"{cell.epsilon:g}" for cell in first)]]
    for key, cells in result.rates.items():
        told = [f"{c.rate:.3f} [{c.interval[0]:.3f}, {c.interval[1]:.3f}]" for c in cells]
        rows.append([key.removesuffix(" x1"), *told])
    return rows


def detection_table(result: DetectResult) -> Sequence[Sequence[str]]:
    """Rows of text: a signal, then its AUC with the interval over nets for each attack."""
    kinds = list(next(iter(result.auc.values())))
    rows = [["signal", *kinds]]
    for name, cells in result.auc.items():
        told = []
        for kind in kinds:
            cell = cells[kind]
            span = "" if cell.interval is None else " [{:.2f}, {:.2f}]".format(*cell.interval)
            told.append("-" if cell.mean is None else f"{cell.mean:.3f}{span}")
        rows.append([name, *told])
    return rows


def cross_table(result: DetectResult, signal: str = "fisher") -> Sequence[Sequence[str]]:
    """Rows of text: fitted to an attack, the mean AUC over nets on every attack."""
    kinds = list(next(iter(result.auc.values())))
    rows = [["fitted to", *kinds]]
    for fitted in kinds:
        told = []
        for tried in kinds:
            known = [net.crossed[signal].get(fitted, {}).get(tried) for net in result.nets]
            values = [value for value in known if value is not None]
            told.append(f"{np.mean(values):.3f}" if values else "-")
        rows.append([fitted, *told])
    return rows
