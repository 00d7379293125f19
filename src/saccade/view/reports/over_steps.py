"""Figures over the steps of trainings: dynamics, kinds of calls, and what is logged by family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from saccade.measures.tool_kinds import KINDS
from saccade.view.dynamics import Dynamics
from saccade.view.reports.drawing import (
    COLOURS,
    FONT,
    RUN_COLOURS,
    TITLES,
    plain,
    short,
    spread_out,
)
from saccade.view.reports.gathered import CURVES, StepTools, family_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Steps = Sequence[StepTools]


class Panel(NamedTuple):
    """A metric of a training that has a panel."""

    key: str
    title: str
    is_share: bool = False


PANELS = (
    Panel("response_tokens", "response length, tokens"),
    Panel("reward", "reward"),
    Panel("accuracy", "accuracy", is_share=True),
    Panel("tool_calls", "calls per episode"),
)
BANDS = {"accuracy": ("accuracy_low", "accuracy_high"), "tool_calls": ("tool_calls_std",)}
"""The metrics that are drawn as a band: two ends of an interval, or a standard deviation."""
LINES = ("-", "--", ":", "-.")


def dynamics_figure(runs: Sequence[Dynamics], kept: Mapping[str, Steps]) -> Figure:
    """Four panels side by side: length, reward, accuracy, and calls with their deviation."""
    from matplotlib.figure import Figure

    legend = 0.32 * ((len(runs) + 2) // 3) if len(runs) > 1 else 0.0
    figure = Figure(figsize=(13.5, 3.3 + legend), layout="constrained")
    places = figure.subplots(1, len(PANELS))
    for axes, panel in zip(places, PANELS, strict=True):
        for at, run in enumerate(runs):
            steps, values = run.series(panel.key)
            colour = RUN_COLOURS[at % len(RUN_COLOURS)]
            if panel.key in BANDS:
                _band(axes, run, BANDS[panel.key], colour)
            _kept(axes, panel.key, kept.get(run.run, ()), colour)
            axes.plot(steps, values, **_line(at, len(values)))
        axes.set_title(panel.title, fontsize=FONT + 1)
        _finish(axes, is_share=panel.is_share)
        if not any(run.series(panel.key)[1] for run in runs):
            axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", color="0.4")
    if len(runs) > 1:
        _legend(figure, [run.run for run in runs])
    return figure


def steps_figure(trainings: Sequence[tuple[str, Steps]]) -> Figure:
    """A panel for each training: the share of each kind with its interval, named at its end."""
    from matplotlib.figure import Figure

    columns = min(3, len(trainings))
    rows = -(-len(trainings) // columns)
    figure = Figure(figsize=(1.0 + 4.6 * columns, 3.4 * rows), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False)
    for axes in places.flat:
        axes.set_visible(False)
    for axes, (name, steps) in zip(places.flat, trainings, strict=False):
        axes.set_visible(True)
        _kinds_over(axes, [step for step in steps if step.use.calls])
        counts = [step.use.calls for step in steps if step.use.calls]
        n = f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")
        axes.set_title(f"{plain(short(name))}  ({n} calls)", fontsize=FONT + 1, loc="left")
        _finish(axes, is_share=True)
        axes.set_ylabel("share of the calls, 95 % CI", fontsize=FONT)
    return figure


def by_family_figure(runs: Sequence[Dynamics], names: Sequence[str]) -> Figure:
    """A row for each training, a panel for each metric, a line for each family."""
    from matplotlib.figure import Figure

    size = (0.8 + 3.6 * len(names), 2.9 * len(runs))
    figure = Figure(figsize=size, layout="constrained")
    places = figure.subplots(len(runs), len(names), squeeze=False)
    columns = family_columns(runs)
    families = list(dict.fromkeys(column.family for column in columns))
    for row, run in zip(places, runs, strict=True):
        for axes, name in zip(row, names, strict=True):
            ends = []
            for column in (one for one in columns if one.name == name):
                at = families.index(column.family)
                steps, values = run.series(column.key)
                if values:
                    if name == "accuracy":
                        of = {c.name: c.key for c in columns if c.family == column.family}
                        keys = (of.get("low", ""), of.get("high", ""))
                        _band(axes, run, keys, RUN_COLOURS[at % len(RUN_COLOURS)])
                    axes.plot(steps, values, **_line(at, len(values)))
                    ends.append((steps[-1], values[-1], plain(short(column.family, 16)), at))
            colours = [RUN_COLOURS[at % len(RUN_COLOURS)] for *_, at in ends]
            _name_ends(axes, [end[:3] for end in ends], colours)
            axes.set_title(f"{plain(short(run.run))}: {CURVES[name]}", fontsize=FONT)
            _finish(axes, is_share=all(0 <= value <= 1 for _, value, *_ in ends))
    return figure


def _kinds_over(axes: Axes, steps: Steps) -> None:
    ends, colours = [], []
    places = [float(step.step) for step in steps]
    for kind in KINDS:
        shares = [step.use.share(kind) for step in steps]
        if not any(share.value for share in shares):
            continue
        values = [share.value or 0.0 for share in shares]
        lows = [share.low or 0.0 for share in shares]
        highs = [1.0 if share.high is None else share.high for share in shares]
        marker = "o" if len(steps) < 9 else ""
        axes.plot(places, values, color=COLOURS[kind], linewidth=1.6, marker=marker, markersize=4)
        axes.fill_between(places, lows, highs, color=COLOURS[kind], alpha=0.13, linewidth=0)
        ends.append((places[-1], values[-1], TITLES[kind]))
        colours.append(COLOURS[kind])
    _name_ends(axes, ends, colours)


def _name_ends(
    axes: Axes, ends: Sequence[tuple[float, float, str]], colours: Sequence[str]
) -> None:
    """Write at the end of each line what it is, without one name over another."""
    if not ends:
        return
    low, high = axes.get_ylim()
    wanted = [value for _, value, _ in ends]
    for (_, value, name), place, colour in zip(
        ends, spread_out(wanted, 0.085 * (high - low)), colours, strict=True
    ):
        axes.annotate(
            name, (1, value), (1.03, place), xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"), va="center", fontsize=FONT - 1, color=colour,
            annotation_clip=False, weight="bold",
        )  # fmt: skip


def _band(axes: Axes, run: Dynamics, keys: tuple[str, ...], colour: str) -> None:
    """What the metrics say of the spread: the ends of an interval, or a standard deviation."""
    of = ("tool_calls",) if len(keys) == 1 else ()
    known = [row for row in run.steps if all(row.get(key) is not None for key in (*keys, *of))]
    if len(keys) == 1:
        low = [max(0.0, row["tool_calls"] - row[keys[0]]) for row in known]
        high = [row["tool_calls"] + row[keys[0]] for row in known]
    else:
        low, high = ([row[key] for row in known] for key in keys)
    axes.fill_between([row["step"] for row in known], low, high, color=colour, alpha=0.14,
                      linewidth=0)  # fmt: skip


def _kept(axes: Axes, key: str, steps: Steps, colour: str) -> None:
    """The 95 % intervals of the steps whose episodes were kept."""
    for step in steps:
        found = step.summary
        of = {
            "accuracy": (found.accuracy, found.low, found.high),
            "tool_calls": (step.use.per_episode.value, step.use.per_episode.low,
                           step.use.per_episode.high),
            "response_tokens": (step.use.tokens.value, step.use.tokens.low, step.use.tokens.high),
        }  # fmt: skip
        mean, low, high = of.get(key, (None, None, None))
        if mean is not None and low is not None and high is not None:
            axes.errorbar(step.step, mean, yerr=[[mean - low], [high - mean]], color=colour,
                          alpha=0.7, capsize=2, linewidth=1)  # fmt: skip


def _line(at: int, points: int) -> dict[str, Any]:
    return {
        "color": RUN_COLOURS[at % len(RUN_COLOURS)],
        "linestyle": LINES[(at // len(RUN_COLOURS)) % len(LINES)],
        "linewidth": 1.5,
        "marker": "." if points < 9 else "",
    }


def _legend(figure: Figure, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], label=plain(short(n)), **_line(at, 99)) for at, n in enumerate(names)]
    figure.legend(
        handles=lines, loc="outside upper left", ncols=min(3, len(lines)), frameon=False,
        fontsize=FONT,
    )  # fmt: skip


def _finish(axes: Axes, *, is_share: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("step", fontsize=FONT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.tick_params(labelsize=FONT - 1)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if is_share:
        axes.set_ylim(-0.02, 1.02)
    else:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
