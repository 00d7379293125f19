"""Every figure for which runs and trainings have something to show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from saccade.view.dynamics import Dynamics
from saccade.view.reports.bars import combinations_figure, kinds_figure
from saccade.view.reports.changes import ALL
from saccade.view.reports.drawing import need_matplotlib
from saccade.view.reports.gathered import (
    CURVES,
    RunTools,
    StepTools,
    families_of,
    family_columns,
    metrics_of,
)
from saccade.view.reports.over_steps import by_family_figure, dynamics_figure, steps_figure
from saccade.view.reports.points import dots_figure, mix_figure
from saccade.view.reports.tool_tables import CODE_RATES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_RUNS, MOST_FAMILIES = 12, 24
"""Runs and families that are drawn; tables have all."""


class Drawn(NamedTuple):
    """A figure, and what is said of it."""

    name: str
    """Of its file, without the ending."""
    title: str
    caption: str
    """What is drawn, and what its intervals are."""
    figure: Figure


KINDS_SAID = (
    "Of the calls of each family, the share of each kind, by what the call does first of all. In "
    "brackets the 95 % interval in per cent, where there is room; the table has all of them."
)
COMBINED_SAID = (
    "Of the finished episodes of each family, the share whose calls are of just these kinds. In "
    "brackets the 95 % interval in per cent, where there is room; the table has all of them."
)
INVOCATION_SAID = (
    "Share of the finished episodes with at least one call, refused ones included, with its 95 % "
    "interval. n is the number of episodes."
)
CODE_SAID = (
    "Shares of the calls that hand over code, with 95 % intervals. A call is executed or crashing; "
    "of the executed ones the vacuous came to nothing, the useful told what was not in the code."
)
MIX_SAID = "Accuracy, its 95 % interval and n, for each run on each family."
DYNAMICS_SAID = (
    "Means of the episodes of each step. The band of the accuracy is its 95 % interval; that of "
    "the calls is one standard deviation between episodes, not an interval of the mean. Bars at "
    "single steps are 95 % intervals, of steps whose episodes were kept. n is in the tables."
)
STEPS_SAID = (
    "Share of each kind among the calls of the steps whose episodes were kept "
    "(train.keep_every), with 95 % intervals. n is the number of calls at the first and last step."
)
FAMILIES_SAID = (
    "What the training logged of each family, by step. The accuracy has the band of its 95 % "
    "interval where that was logged. n is in the table."
)


def figures_of(
    runs: Sequence[RunTools],
    trainings: Sequence[Dynamics],
    steps: Sequence[tuple[str, Sequence[StepTools]]],
) -> list[Drawn]:
    """Every figure for which there is something to show.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    need_matplotlib()
    families = families_of(runs)
    kept = {*families[:MOST_FAMILIES], ALL}
    drawn = [_only(run, kept) for run in runs[:MOST_RUNS]]
    cut = f" Of {len(runs)} runs the first {MOST_RUNS} are drawn." if len(runs) > MOST_RUNS else ""
    if len(families) > len(kept):
        cut += f" Of {len(families) - 1} families the first {MOST_FAMILIES} are drawn."
    made = []
    if any(use.calls for run in drawn for use in run.families.values()):
        made.append(Drawn("kinds", "Kinds of calls", KINDS_SAID + cut, kinds_figure(drawn)))
        figure = combinations_figure(drawn)
        made.append(Drawn("combinations", "Combined kinds", COMBINED_SAID + cut, figure))
        rates = {run.run: {f: use.called for f, use in run.families.items()} for run in drawn}
        figure = dots_figure(families_of(drawn), rates, "share of episodes with a call")
        made.append(Drawn("invocation", "Invocation rate", INVOCATION_SAID + cut, figure))
    if code := metrics_of(drawn, ALL, CODE_RATES):
        known = [title for title in CODE_RATES.values()
                 if any(held[title].value is not None for held in code.values())]  # fmt: skip
        figure = dots_figure(known, code, "share, all families")
        made.append(Drawn("code", "What became of code", CODE_SAID + cut, figure))
    if len(drawn) > 1 and len(families_of(drawn)) > 2:
        made.append(Drawn("mix", "Runs by families", MIX_SAID + cut, mix_figure(drawn)))
    rewarded = [run for run in trainings if run.rewarded][:MOST_RUNS]
    if rewarded:
        figure = dynamics_figure(rewarded, dict(steps))
        made.append(Drawn("dynamics", "Dynamics of training", DYNAMICS_SAID, figure))
    called = [(name, held) for name, held in steps if any(one.use.calls for one in held)]
    if called:
        figure = steps_figure(called[:MOST_RUNS])
        made.append(Drawn("steps", "Kinds of calls over training", STEPS_SAID, figure))
    logged = {column.name for column in family_columns(rewarded)}
    if columns := [name for name in CURVES if name in logged]:
        figure = by_family_figure(rewarded, columns)
        made.append(Drawn("families", "Training by family", FAMILIES_SAID, figure))
    return made


def _only(run: RunTools, families: set[str]) -> RunTools:
    held = {name: use for name, use in run.families.items() if name in families}
    return run.model_copy(update={"families": held})
