"""A benchmark in a terminal: one table, and a few lines; `saccade report` has all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from saccade.cli.common.say import say_json

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.bench.results import Measured
    from saccade.measures.means import Metric
    from saccade.view.tables import Part


def show(result: Mapping[str, JsonValue], *, as_json: bool) -> None:
    """Print what a benchmark has come to."""
    if as_json:
        say_json(result)
        return
    from rich.text import Text

    from saccade.bench.results import Measured
    from saccade.cli.common.console import terminal
    from saccade.cli.common.tables import show_parts

    measured, console = Measured.model_validate(result["measured"]), terminal()
    show_parts(console, list(_parts(measured)))
    causes = result["causes"]
    for cause in causes if isinstance(causes, list) else []:
        console.print(Text(str(cause), style="yellow"))
    console.print(
        f"environment {measured.fingerprint}, run folder {result['out']}; all tables: "
        f"saccade report {result['out']}",
        style="dim", soft_wrap=True,
    )  # fmt: skip


def _parts(measured: Measured) -> Iterator[Part]:
    from saccade.view.tables import Table, interval, number

    compat, tools = measured.compat is not None, {use.group: use for use in measured.tools}
    looked = {found.group: found.best_iou for found in measured.grounding}
    head = ("", measured.headline, "95 % CI", "rule alone", *(["VLMEvalKit"] if compat else []),
            "n", "tool-call rate", "best-crop IoU")  # fmt: skip
    rows = []
    for metric in measured.metrics:
        rule = _named(measured.rule, metric.name, metric.group)
        theirs = _named(measured.compat or (), metric.name, metric.group)
        use, iou = tools.get(metric.group), looked.get(metric.group)
        plain = metric.name == measured.headline
        rows.append((
            metric.group if plain else f"{metric.group}: {metric.name}",
            number(metric.value, 3), interval(metric.low, metric.high), number(rule, 3),
            *([number(theirs, 3)] if compat else []), str(metric.n),
            number(use.call_rate.value if use else None, 3), number(iou.value if iou else None, 3),
        ))  # fmt: skip
    model = ", ".join(measured.models)
    title = f"{measured.title}, arm {measured.arm}{f', {model}' if model else ''}"
    yield Table(title, head, tuple(rows), keys=1)
    yield _ends(measured)
    yield from _searches(measured)
    yield from measured.notes
    yield _cost(measured)


def _ends(measured: Measured) -> str:
    """What is behind the averages, and what is in none."""
    ends = measured.ended()
    if ends is None:
        return "no episode"
    without = (
        ("abstained", ends.abstained), ("out of turns", ends.out_of_turns),
        ("truncated", ends.truncated), ("too many images", ends.too_many_images),
    )  # fmt: skip
    apart = (
        ("undecided", ends.undecided), ("not scored", ends.reward_failed),
        ("aborted", ends.aborted), ("timeout", ends.timeout),
    )  # fmt: skip
    shares = ", ".join(f"{name} {ends.rate(count) or 0:.3f}" for name, count in without)
    counts = ", ".join(f"{name} {count}" for name, count in apart)
    return f"ended without an answer, scored 0: {shares}; in no average: {counts}"


def _searches(measured: Measured) -> Iterator[str]:
    """What was searched for and found, where anything was."""
    from saccade.view.tables import number

    found = measured.tools[0].searches if measured.tools else None
    if found is not None:
        yield (
            f"{found.made} searches ({found.empty} empty, {found.repeated} more repeated), answer "
            f"found {number(found.found.value, 3)} (n {found.found.n}), right where found "
            f"{number(found.used.value, 3)} (n {found.used.n}), where not "
            f"{number(found.without.value, 3)} (n {found.without.n})"
        )


def _cost(measured: Measured) -> str:
    cost = measured.cost
    if not cost.counted:
        return f"{cost.episodes} episodes; nothing tells how many tokens"
    price = "" if cost.price is None else f", price {cost.price:.4f}"
    of = "" if cost.counted == cost.episodes else f" (known of {cost.counted})"
    return (
        f"{cost.episodes} episodes{of}: {cost.prompt_tokens:,} + {cost.response_tokens:,} tokens"
        f"{price}"
    )


def _named(metrics: Iterable[Metric], name: str, group: str) -> float | None:
    return next((m.value for m in metrics if (m.name, m.group) == (name, group)), None)
