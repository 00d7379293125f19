"""Tables of what `saccade attack` and `saccade detect` measured on a classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from saccade.robust.classifiers.results import AttackResult, DetectResult


def attack_table(result: AttackResult) -> Sequence[Sequence[str]]:
    """Rows of text: an attack, then its fooling rate [95 % CI] at each epsilon."""
    first = next(iter(result.rates.values()))
    rows = [["attack", *(f"{cell.epsilon:g}" for cell in first)]]
    for key, cells in result.rates.items():
        row = [f"{c.rate:.3f} [{c.interval[0]:.3f}, {c.interval[1]:.3f}]" for c in cells]
        rows.append([key.removesuffix(" x1"), *row])
    return rows


def detection_table(result: DetectResult) -> Sequence[Sequence[str]]:
    """Rows of text: a signal, then its AUC [95 % CI over nets] for each attack."""
    kinds = list(next(iter(result.auc.values())))
    rows = [["signal", *kinds]]
    for name, cells in result.auc.items():
        row = []
        for kind in kinds:
            cell = cells[kind]
            span = "" if cell.interval is None else " [{:.2f}, {:.2f}]".format(*cell.interval)
            row.append("-" if cell.mean is None else f"{cell.mean:.3f}{span}")
        rows.append([name, *row])
    return rows


def cross_table(result: DetectResult, signal: str = "fisher") -> Sequence[Sequence[str]]:
    """Rows of text: fitted to an attack, the mean AUC over nets on every attack."""
    kinds = list(next(iter(result.auc.values())))
    rows = [["fitted to", *kinds]]
    for fitted in kinds:
        row = []
        for tried in kinds:
            known = [net.crossed[signal].get(fitted, {}).get(tried) for net in result.nets]
            values = [value for value in known if value is not None]
            row.append(f"{np.mean(values):.3f}" if values else "-")
        rows.append([fitted, *row])
    return rows
