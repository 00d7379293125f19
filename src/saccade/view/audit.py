"""An audit as tables and as a figure: what looking contributes, and what cannot be said of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from saccade.bench.audit.record import ArmPair, ArmResult, Audit, Evidence
from saccade.errors import MissingExtra
from saccade.measures.means import Metric
from saccade.view.tables import Part, Table, interval, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHOD = (
    "Intervals are 95 %: Wilson's for accuracies, shares, gain and harm, Bonett and Price for "
    "differences, the bootstrap over questions for visual evidence gain. p is McNemar's, exact and "
    "two-sided; p (Holm) is adjusted for all pairs of the table. Noise of sampling adds to gain "
    "and to harm alike: their difference is the effect. An arm that the model has never met in "
    "training may lose for that alone."
)


def audit_parts(audit: Audit) -> list[Part]:
    """The tables of an audit, then its notes."""
    parts: list[Part] = [_arms(audit.arms)]
    parts += [_pairs(audit.pairs)] if audit.pairs else []
    parts += [_effects(audit)] if audit.effects else []
    parts += [_evidence(audit.evidence)] if audit.evidence else []
    return [*parts, METHOD, *audit.notes]


def draw_audit(audit: Audit, out: Path) -> None:
    """Write the figure as PNG.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    audit_figure(audit).savefig(out, dpi=150)


def audit_figure(audit: Audit) -> Figure:
    """The accuracy of each arm with its 95 % interval, arms without the tool in another colour.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "plots") from error
    shown = [arm for arm in audit.arms if arm.accuracy.value is not None]
    figure = Figure(figsize=(1.8 + 0.85 * max(len(shown), 2), 3.6), layout="constrained")
    axes = figure.add_subplot()
    values = [arm.accuracy.value or 0.0 for arm in shown]
    lows, highs = ([_end(arm.accuracy, high=high) for arm in shown] for high in (False, True))
    axes.bar(
        range(len(shown)), values, 0.7, color=[_colour(arm.arm) for arm in shown],
        yerr=[
            [max(0.0, v - low) for v, low in zip(values, lows, strict=True)],
            [max(0.0, high - v) for v, high in zip(values, highs, strict=True)],
        ],
        capsize=3, ecolor="0.2", error_kw={"linewidth": 1},
    )  # fmt: skip
    names = [f"{arm.arm}\nn = {arm.accuracy.n}" for arm in shown]
    axes.set_xticks(range(len(shown)), names, rotation=30, ha="right", fontsize=8)
    axes.set_ylim(0, 1)
    axes.set_ylabel("accuracy, 95 % CI")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _arms(arms: Sequence[ArmResult]) -> Table:
    head = ("arm", "accuracy", "95 % CI", "n", "questions", "no look", "no answer", "unscored",
            "failed", "left out")  # fmt: skip
    rows = tuple(
        (
            arm.arm, number(arm.accuracy.value, 3), interval(arm.accuracy.low, arm.accuracy.high),
            *(number(n, None) for n in (
                arm.accuracy.n, arm.accuracy.units, arm.no_look, arm.no_answer, arm.unscored,
                arm.failed, arm.left_out,
            )),
        )
        for arm in arms
    )  # fmt: skip
    return Table("Arms", head, rows)


def _pairs(pairs: Sequence[ArmPair]) -> Table:
    head = ("from", "to", "gained", "lost", "both", "neither", "difference", "95 % CI", "n", "p",
            "p (Holm)")  # fmt: skip
    rows = tuple(
        (
            pair.before, pair.after,
            *(number(n, None) for n in (
                pair.paired.gained, pair.paired.lost, pair.both, pair.neither
            )),
            f"{pair.paired.difference:+.3f}", interval(*pair.paired.interval, sign=True),
            number(pair.paired.n, None), f"{pair.paired.p:.2g}", f"{pair.p_holm:.2g}",
        )
        for pair in pairs
    )  # fmt: skip
    return Table("Pairs of arms, question by question", head, rows, keys=2)


def _effects(audit: Audit) -> Table:
    rows = []
    for effect in audit.effects:
        rows.append((f"tool gain: agent right, {effect.without} wrong", *_metric(effect.gain)))
        rows.append((f"tool harm: agent wrong, {effect.without} right", *_metric(effect.harm)))
    if audit.also_without is not None:
        said = "of what the agent solves with the tool: also solved without it"
        rows.append((said, *_metric(audit.also_without)))
    return Table("What the tool gives and takes", ("share", "value", "95 % CI", "n"), tuple(rows))


def _evidence(evidence: Sequence[Evidence]) -> Table:
    head = ("measure", "replaced by", "answer", "kept", "replaced", "gain", "95 % CI", "n",
            "questions")  # fmt: skip
    named = {"log_prob": "log p of the gold answer, nats", "accuracy": "accuracy"}
    rows = tuple(
        (
            named[e.measure], {"blank": "grey", "wrong": "another place"}[e.replaced_by], e.when,
            number(e.kept, 3), number(e.replaced, 3), number(e.gain, 3),
            interval(e.low, e.high, sign=True), number(e.n, None), number(e.units, None),
        )
        for e in evidence
    )  # fmt: skip
    return Table("Visual evidence gain: one observation replaced", head, rows, keys=3)


def _metric(metric: Metric) -> tuple[str, str, str]:
    return (
        number(metric.value, 3),
        interval(metric.low, metric.high),
        number(metric.n, None),
    )


def _end(metric: Metric, *, high: bool) -> float:
    end = metric.high if high else metric.low
    return (metric.value or 0.0) if end is None else end


def _colour(arm: str) -> str:
    without, staged = "0.65", "C1"
    known = {"direct": without, "no_tool": without, "agent": "C0", "true_box": "C2"}
    return known.get(arm, staged)
