"""Figures of points and a matrix: rates with their intervals, accuracies of runs by family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from saccade.measures.means import Metric
from saccade.view.reports.drawing import FONT, MARKERS, RUN_COLOURS, plain, short, single
from saccade.view.reports.gathered import RunTools, families_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def dots_figure(
    rows: Sequence[str], runs: Mapping[str, Mapping[str, Metric]], label: str
) -> Figure:
    """A point with its interval for each row and run; its value and n are written beside it."""
    offsets = [0.8 * ((at + 0.5) / len(runs) - 0.5) for at in range(len(runs))]
    figure, axes = single(9.0, 0.9 + len(rows) * (0.22 + 0.2 * len(runs)))
    for at, (run, held) in enumerate(runs.items()):
        colour, marker = RUN_COLOURS[at % len(RUN_COLOURS)], MARKERS[at % len(MARKERS)]
        label_of_run: str | None = plain(short(run))
        for place, row in enumerate(rows):
            m = held.get(row)
            if m is None or m.value is None or m.low is None or m.high is None:
                continue
            axes.errorbar(
                m.value, place + offsets[at], xerr=[[m.value - m.low], [m.high - m.value]],
                fmt=marker, color=colour, markersize=5.5, capsize=2.5, linewidth=1.4,
                label=label_of_run,
            )  # fmt: skip
            label_of_run = None
            said = f"{m.value:.2f} [{m.low:.2f}, {m.high:.2f}]  n = {m.n}"
            where = (1.03, place + offsets[at])
            axes.text(*where, said, va="center", fontsize=FONT - 1, color=colour, clip_on=False)
    for edge in range(1, len(rows)):
        axes.axhline(edge - 0.5, color="0.9", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(rows)), [plain(short(row)) for row in rows], fontsize=FONT)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-0.01, 1.01)
    axes.set_xlabel(f"{label}, 95 % CI", fontsize=FONT)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if len(runs) > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(3, len(runs)),
                    frameon=False, fontsize=FONT)  # fmt: skip
    return figure


def mix_figure(runs: Sequence[RunTools]) -> Figure:
    """A matrix of accuracies; dark is high, and every cell says its number."""
    from matplotlib.patches import Rectangle

    families = families_of(runs)
    figure, axes = single(2.6 + 1.15 * len(families), 1.1 + 0.62 * len(runs))
    for at, run in enumerate(runs):
        for place, family in enumerate(families):
            m = run.accuracy(family)
            value = None if m is None else m.value
            shade = "#f2f2f2" if value is None else _shade(value)
            box = (place - 0.49, at - 0.47)
            axes.add_patch(Rectangle(box, 0.98, 0.94, color=shade))
            said, ends = "-", ""
            if m is not None and value is not None:
                said, ends = f"{value:.2f}", f"[{m.low:.2f}, {m.high:.2f}] n {m.n}"
            ink = "white" if value is not None and value > 0.55 else "black"
            axes.text(place, at - 0.1, said, ha="center", va="center", fontsize=FONT + 1, color=ink)
            axes.text(place, at + 0.22, ends, ha="center", va="center", fontsize=6.2, color=ink)
    names = [plain(short(family, 16)) for family in families]
    axes.set_xticks(range(len(families)), names, fontsize=FONT)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(runs)), [plain(short(run.run)) for run in runs], fontsize=FONT)
    axes.set_xlim(-0.5, len(families) - 0.5)
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _shade(value: float) -> str:
    """From nearly white to Okabe and Ito's blue."""
    ends = ((0xF1, 0xF6, 0xFA), (0x00, 0x4C, 0x7F))
    mixed = (round(a + (b - a) * value) for a, b in zip(*ends, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)
