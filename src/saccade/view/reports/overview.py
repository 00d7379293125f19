"""The figure of a report: accuracies as bars, trainings as lines over their steps.

Benchmarks have bars that lie, for the names of their groups are long and may be many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from saccade.measures.means import Metric
from saccade.measures.summary import Summary
from saccade.view.dynamics import Dynamics
from saccade.view.reports.drawing import need_matplotlib, plain, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


class Bars(NamedTuple):
    """The accuracies of a run by family."""

    run: str
    families: dict[str, Summary]


class Panel(NamedTuple):
    """A metric of a benchmark by group, for several runs."""

    title: str
    label: str
    """What the metric is."""
    runs: Mapping[str, Mapping[str, Metric]]
    """Run -> group -> the metric."""

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(group for held in self.runs.values() for group in held))

    @property
    def labels(self) -> list[str]:
        """The groups with the n of each, of the runs that have as many."""
        held = [[m[group].n for m in self.runs.values() if group in m] for group in self.groups]
        counts = (str(min(n)) if min(n) == max(n) else f"{min(n)} to {max(n)}" for n in held)
        return [f"{group}  n = {n}" for group, n in zip(self.groups, counts, strict=True)]

    @property
    def height(self) -> float:
        """Inches."""
        return 1.3 + len(self.groups) * (0.14 + 0.2 * len(self.runs))


class Curve(NamedTuple):
    """A metric that is drawn over the steps."""

    key: str
    label: str
    colour: str
    right: bool = False
    """Whether it has an axis of its own, on the right."""


REWARDED: tuple[tuple[Curve, ...], ...] = (
    (Curve("reward", "reward", "C0"), Curve("accuracy", "accuracy", "C2")),
    (
        Curve("tool_calls", "tool calls per episode", "C1"),
        Curve("response_tokens", "response tokens (right axis)", "C4", right=True),
    ),
    (Curve("mean_iou", "mean IoU", "C3"), Curve("coverage", "mean coverage", "C5")),
    (Curve("loss", "loss", "C7"), Curve("kl", "KL (right axis)", "C6", right=True)),
)
"""The panels of trainings on rewards."""

SUPERVISED: tuple[tuple[Curve, ...], ...] = (
    (Curve("loss", "loss", "C7"),),
    (Curve("mean_token_accuracy", "token accuracy", "C2"),),
)
"""The panels of trainings on demonstrations."""

SHARES = {"mean_iou", "coverage", "mean_token_accuracy"}
"""Metrics that lie in [0, 1]."""

NAME = 60
"""Characters of a name that are drawn: groups of benchmarks have long ones, and their n."""
DASHES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0, ()), (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)),
)  # fmt: skip
"""The line styles of several trainings, which share the colours."""


def figure_of(
    bars: Sequence[Bars], trainings: Sequence[Dynamics], *, panels: Sequence[Panel] = ()
) -> Figure:
    """The figure: a row for each benchmark, one of accuracies, and one for each kind of training.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    need_matplotlib()
    from matplotlib.figure import Figure

    rewarded = [run for run in trainings if run.rewarded]
    supervised = [run for run in trainings if not run.rewarded]
    families = list(dict.fromkeys(name for made in bars for name in made.families))
    widths = [
        *(_panel_width(panel) for panel in panels),
        _bars_width(bars, len(families)) if bars else 0.0,
        14.5 if rewarded else 0.0,
        8.0 if supervised else 0.0,
    ]
    others = sum(width > 0 for width in widths) - len(panels)
    heights = [panel.height for panel in panels] + [3.6] * others
    size = (max(widths, default=0) or 4.0, sum(heights) or 1.0)
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subfigures(max(1, len(heights)), 1, squeeze=False, height_ratios=heights or None)
    places = iter(rows[:, 0])
    for panel in panels:
        _draw_panel(panel, next(places))
    if bars:
        _draw_bars(bars, families, next(places))
    for runs, curves in ((rewarded, REWARDED), (supervised, SUPERVISED)):
        if runs:
            _draw_panels(runs, curves, next(places))
    return figure


def _bars_width(runs: Sequence[Bars], families: int) -> float:
    """Inches: for the bars, and beside them for the longest name in the legend."""
    legend = 0.7 + 0.085 * max(len(_named(made.run)) for made in runs) if len(runs) > 1 else 0.0
    return max(4.0, 1.2 + families * (0.6 + 0.25 * len(runs))) + legend


def _draw_bars(runs: Sequence[Bars], families: Sequence[str], figure: SubFigure) -> None:
    """Accuracy with its 95 % interval: a bar for each family and run."""
    width = 0.8 / len(runs)
    axes = figure.add_subplot()
    for number, made in enumerate(runs):
        known = [
            (families.index(name) + (number + 0.5) * width - 0.4, s.accuracy, s.low, s.high)
            for name, s in made.families.items()
            if s.accuracy is not None and s.low is not None and s.high is not None
        ]
        axes.bar(
            [place for place, *_ in known], [accuracy for _, accuracy, _, _ in known], width * 0.9,
            yerr=[[a - low for _, a, low, _ in known], [high - a for _, a, _, high in known]],
            label=_named(made.run), capsize=3, ecolor="0.2", error_kw={"linewidth": 1},
        )  # fmt: skip
    crowded = len(families) > 1 and max(len(_named(name)) for name in families) > 9
    axes.set_xticks(
        range(len(families)), [_named(name) for name in families],
        rotation=30 if crowded else 0, ha="right" if crowded else "center",
    )  # fmt: skip
    axes.set_xlim(-0.6, len(families) - 0.4)
    axes.set_ylim(0, 1)
    axes.set_ylabel("accuracy, 95 % CI")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if len(runs) > 1:
        # Beside the axes a legend can hide no bar, however long its names are.
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)


def _panel_width(panel: Panel) -> float:
    """Inches: for the names of the groups, the bars, and the longest name in the legend."""
    legend = (
        0.7 + 0.085 * max(len(_named(run)) for run in panel.runs) if len(panel.runs) > 1 else 0.0
    )
    return 5.2 + 0.075 * max((len(_named(label)) for label in panel.labels), default=0) + legend


def _draw_panel(panel: Panel, figure: SubFigure) -> None:
    """Bars that lie, from the first group at the top, with their 95 % intervals."""
    groups, height = panel.groups, 0.8 / len(panel.runs)
    axes = figure.add_subplot()
    for number, (run, held) in enumerate(panel.runs.items()):
        known = [
            (groups.index(group) + (number + 0.5) * height - 0.4, m.value, m.low, m.high)
            for group, m in held.items()
            if m.value is not None and m.low is not None and m.high is not None
        ]
        axes.barh(
            [place for place, *_ in known], [value for _, value, _, _ in known], height * 0.9,
            xerr=[[v - low for _, v, low, _ in known], [high - v for _, v, _, high in known]],
            label=_named(run), capsize=2.5, ecolor="0.2", error_kw={"linewidth": 1},
        )  # fmt: skip
    axes.set_yticks(range(len(groups)), [_named(label) for label in panel.labels])
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"{panel.label}, 95 % CI")
    axes.set_title(plain(panel.title), loc="left", fontsize=11)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    if len(panel.runs) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)


def _draw_panels(
    runs: Sequence[Dynamics], panels: Sequence[Sequence[Curve]], figure: SubFigure
) -> None:
    """Panels side by side; several runs have the same colours and other line styles."""
    from matplotlib.lines import Line2D

    beside = 1 if len(runs) > 1 else 0
    ratios = [1.0] * len(panels) + [0.1] * beside
    places = figure.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
    for axes, curves in zip(places, panels, strict=False):
        right = axes.twinx() if any(curve.right for curve in curves) else axes
        for curve in curves:
            for place, run in enumerate(runs):
                (right if curve.right else axes).plot(
                    *run.series(curve.key), color=curve.colour, linewidth=1.4,
                    linestyle=DASHES[place % len(DASHES)], marker="." if len(run.steps) < 9 else "",
                )  # fmt: skip
        _finish(axes, curves)
        _finish(right, [curve for curve in curves if curve.right] or curves)
        lines = [Line2D([], [], color=curve.colour) for curve in curves]
        # Above the axes, where no line runs.
        axes.legend(
            lines, [curve.label for curve in curves], loc="lower center",
            bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8, columnspacing=1.0,
        )  # fmt: skip
    if beside:
        lines = [
            Line2D([], [], color="0.3", linestyle=DASHES[place % len(DASHES)])
            for place in range(len(runs))
        ]
        names = [_named(run.run) for run in runs]
        places[-1].axis("off")
        places[-1].legend(lines, names, loc="center left", frameon=False, fontsize=9)


def _finish(axes: Axes, curves: Sequence[Curve]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top"]].set_visible(False)
    if not curves[0].right:
        axes.grid(alpha=0.3)
    if {curve.key for curve in curves} <= SHARES:
        axes.set_ylim(0, 1)
    elif curves[0].key != "loss":
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))


def _named(name: str) -> str:
    """A name as it is drawn."""
    return plain(short(name, NAME))
