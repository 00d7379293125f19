"""What runs of benchmarks measured, as tables.

The first table has a row for each run: its headline number with its interval, what the rule alone
says, and beside it what is in no average. Published numbers stand in a table of their own, and only
where they are asked for: they were measured by others, under other protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from saccade.bench.measured.ends import Ends
from saccade.bench.measured.searches import Searches
from saccade.bench.measured.tools import Calls
from saccade.bench.published import published as published_rows
from saccade.bench.results import Measured
from saccade.bench.scoring import RULE
from saccade.measures.means import Metric
from saccade.view.reports.overview import Panel
from saccade.view.tables import Part, Table, interval, number

RATES: tuple[tuple[str, Callable[[Ends], int]], ...] = (
    ("abstained", lambda ends: ends.abstained),
    ("out of turns", lambda ends: ends.out_of_turns),
    ("truncated", lambda ends: ends.truncated),
    ("too many images", lambda ends: ends.too_many_images),
)
"""Ends without an answer, as shares of the finished episodes. They score 0."""

APART: tuple[tuple[str, Callable[[Ends], int]], ...] = (
    ("undecided", lambda ends: ends.undecided),
    ("not scored", lambda ends: ends.reward_failed),
    ("aborted", lambda ends: ends.aborted),
    ("timeout", lambda ends: ends.timeout),
)
"""Counts of what is in no average."""

OUTSIDE = "Shares of finished episodes; those that end without an answer score 0. Undecided, not \
scored, aborted and timeout are counts of episodes that are in no average."

SEARCHED = (
    "Answer found: of the episodes that searched, the share in which a result that was shown \
holds a gold answer as whole words. Right where found, and where not: of these the scored ones."
)


def bench_parts(measured: Sequence[Measured], *, published: bool = False) -> list[Part]:
    """What runs of benchmarks measured, as tables and sentences.

    Args:
        measured: The runs, of one benchmark or of several.
        published: Whether the numbers that others published are shown, in a table of their own.
    """
    if not measured:
        return []
    parts: list[Part] = [_headline(measured), OUTSIDE]
    parts += [f"{m.run}: {note}" for m in measured for note in m.notes]
    uses = (_tools(measured), _by_tool(measured))
    for table in (_groups(measured), _repeated(measured), *uses):
        parts += [table] if table.rows else []
    parts += searches_parts((m.run, use.searches) for m in measured for use in m.tools)
    if (looked := _grounding(measured)).rows:
        parts.append(looked)
    parts += [_cost(measured), _protocol(measured), _environment(measured)]
    return parts + (_published(measured) if published else [])


def bench_panels(measured: Sequence[Measured]) -> list[Panel]:
    """The headline metric by group for the figure: a panel for each benchmark."""
    panels = []
    for name, title, headline in dict.fromkeys(
        (m.benchmark, m.title, m.headline) for m in measured
    ):
        runs = [m for m in measured if m.benchmark == name]
        held = {m.run: {x.group: x for x in m.metrics if x.name == headline} for m in runs}
        if any(held.values()):
            panels.append(Panel(title, headline, held))
    return panels


def _headline(measured: Sequence[Measured]) -> Table:
    compat = any(m.compat is not None for m in measured)
    head: tuple[str, ...] = (
        "run", "benchmark", "arm", "metric", "value", "95 % CI", "method", "n", "items",
        "questions", "rule alone", "n by rule", "judged", "of answered",
    )  # fmt: skip
    head += (("VLMEvalKit", "n by it") if compat else ()) + _ends_head()
    rows = tuple(_headline_row(m, compat) for m in measured)
    return Table("Benchmarks", head, rows, keys=2, prose=("arm", "metric", "method"))


def _headline_row(m: Measured, compat: bool) -> tuple[str, ...]:
    found, rule = m.accuracy(), m.accuracy(by=m.rule)
    theirs = m.accuracy(by=m.compat) if m.compat is not None else None
    row: tuple[str, ...] = (
        m.run, m.title, m.arm or "-", m.headline, *_value(found),
        found.method if found else "-", str(found.n if found else 0), str(m.items),
        str(m.questions), _mean(rule), str(rule.n if rule else 0), str(_judged(m)),
        _mean(m.accuracy(by=m.answered)),
    )  # fmt: skip
    if compat:
        row += (_mean(theirs), str(theirs.n) if theirs else "-")
    return row + _ends_cells(m.ended())


def _groups(measured: Sequence[Measured]) -> Table:
    """Every metric of every group, with how the episodes of the group ended."""
    rows = []
    for m in measured:
        if len(m.metrics) < 2:
            continue
        for metric in m.metrics:
            rule = _same(m.rule, metric)
            answered = _same(m.answered, metric)
            cells = (*_value(metric), str(metric.n), _mean(rule), _mean(answered))
            rows.append(
                (m.run, metric.group, metric.name, *cells, *_ends_cells(m.ended(metric.group)))
            )
    head = ("run", "group", "metric", "value", "95 % CI", "n", "rule alone", "of answered")
    return Table("By group", head + _ends_head(), tuple(rows), keys=3)


def _repeated(measured: Sequence[Measured]) -> Table:
    rows = []
    for m in measured:
        most = sum(metric.name.startswith("pass@") for metric in m.repeated)
        shown = {f"pass@{k}" for k in range(1, most + 1) if k & (k - 1) == 0 or k == most}
        for metric in m.repeated:
            if metric.name in shown or metric.name == "majority":
                cells = (*_value(metric), metric.method, str(metric.n))
                rows.append((m.run, metric.group, metric.name, *cells))
    head = ("run", "group", "metric", "value", "95 % CI", "method", "items")
    return Table("Several samples of an item", head, tuple(rows), keys=3, prose=("method",))


def _tools(measured: Sequence[Measured]) -> Table:
    rows = []
    for m in measured:
        for use in m.tools if any(use.calls.attempted for use in m.tools) else ():
            rates = (use.call_rate, use.invalid_rate, use.recovery, use.search_ratio)
            searched = use.search_ratio.value or use.after_search.n
            cells = [cell for rate in rates[:3] for cell in _value(rate)]
            search = [*_value(rates[3]), _mean(use.after_search)] if searched else ["-"] * 3
            rows.append((m.run, use.group, *_calls(use.calls), *cells, *search))
    head = (
        "run", "group", "calls", "successful", "refused", "in vain", "call rate", "95 % CI",
        "invalid-call rate", "95 % CI", "error recovery", "95 % CI", "search ratio", "95 % CI",
        "right after search",
    )  # fmt: skip
    return Table("Tool use", head, tuple(rows), keys=2)


def searches_parts(counted: Iterable[tuple[str, Searches | None]]) -> list[Part]:
    """What was searched for, and how to read it; nothing where nothing was.

    Args:
        counted: Names of runs, and what a group of their episodes searched for.
    """
    rows = []
    for run, s in counted:
        if s is not None:
            pages = (s.pages, s.fetched.succeeded, s.fetched.failed, s.fetched.cut)
            counts = map(str, (s.made, s.empty, s.repeated, s.hits, *pages))
            shares = [c for of in (s.found, s.used, s.without) for c in (*_value(of), str(of.n))]
            rows.append((run, s.group, *counts, *shares))
    head = (
        "run", "group", "searches", "empty", "repeated", "results", "pages", "fetched",
        "not fetched", "cut", "answer found", "95 % CI", "n", "right where found", "95 % CI", "n",
        "right where not", "95 % CI", "n",
    )  # fmt: skip
    return [Table("Searches", head, tuple(rows), keys=2), SEARCHED] if rows else []


def _by_tool(measured: Sequence[Measured]) -> Table:
    rows = [
        (m.run, use.group, calls.tool, *_calls(calls), str(calls.episodes))
        for m in measured
        for use in m.tools
        for calls in use.by_tool
        if len(m.tools[0].by_tool) > 1
    ]
    head = ("run", "group", "tool", "calls", "successful", "refused", "in vain", "episodes")
    return Table("Calls by tool", head, tuple(rows), keys=3)


def _grounding(measured: Sequence[Measured]) -> Table:
    rows = []
    for m in measured:
        for found in m.grounding:
            cells = [c for of in (found.looked, found.best_iou, found.coverage) for c in _value(of)]
            counts = (str(found.boxed), str(found.best_iou.n))
            rows.append((m.run, found.group, *counts, *cells))
    head = (
        "run", "group", "with true box", "looked", "share", "95 % CI", "best-crop IoU", "95 % CI",
        "target coverage", "95 % CI",
    )  # fmt: skip
    return Table("Grounding", head, tuple(rows), keys=2)


def _cost(measured: Sequence[Measured]) -> Table:
    head = (
        "run", "episodes", "with known tokens", "prompt tokens", "response tokens", "price",
        "median seconds",
    )  # fmt: skip
    rows = tuple(
        (
            m.run, str(m.cost.episodes), str(m.cost.counted), str(m.cost.prompt_tokens),
            str(m.cost.response_tokens), number(m.cost.price, 4), number(m.cost.seconds, 2),
        )
        for m in measured
    )  # fmt: skip
    return Table("Cost", head, rows)


def _protocol(measured: Sequence[Measured]) -> Table:
    head = ("run", "models", "judges", "samples", "seed", "order", "boxes", "shard")
    rows = tuple(
        (
            m.run, ", ".join(m.models) or "-", _named(m.judges), str(m.samples),
            "-" if m.seed is None else str(m.seed), m.order or "-", ", ".join(m.coords) or "-",
            m.shard,
        )
        for m in measured
    )  # fmt: skip
    return Table("Protocol", head, rows, prose=("models", "judges", "order", "boxes", "shard"))


def _environment(measured: Sequence[Measured]) -> Table:
    head = ("run", "environment", "commit", "begun", "command")
    rows = tuple(
        (m.run, m.fingerprint or "-", (m.commit or "-")[:12], m.created or "-", m.command)
        for m in measured
    )
    return Table("What was run", head, rows, prose=head[1:])


def _published(measured: Sequence[Measured]) -> list[Part]:
    """A table for each benchmark, apart from everything that was measured here."""
    parts: list[Part] = []
    for name, title in dict.fromkeys((m.benchmark, m.title) for m in measured):
        found = published_rows(name)
        if not found:
            parts.append(f"Published numbers of {title}: none are known here.")
            continue
        sources = list(dict.fromkeys((row.source, row.protocol) for row in found))
        rows = tuple(
            (
                row.model, row.tools, row.group, row.metric, f"{row.value:.1f}", row.unit,
                number(row.n, None), f"[{sources.index((row.source, row.protocol)) + 1}]",
                row.note or "-",
            )
            for row in found
        )  # fmt: skip
        head = ("model", "tools", "group", "metric", "value", "unit", "n", "source", "note")
        what = f"Published, not measured by us: {title}"
        parts.append(Table(what, head, rows, keys=4, prose=("unit", "source", "note")))
        parts += [f"[{i}] {cite}: {how}." for i, (cite, how) in enumerate(sources, start=1)]
    return parts


def _ends_head() -> tuple[str, ...]:
    return tuple(name for name, _ in (*RATES, *APART))


def _ends_cells(ends: Ends | None) -> tuple[str, ...]:
    if ends is None:
        return ("-",) * (len(RATES) + len(APART))
    rates = (number(ends.rate(count(ends)), 3) for _, count in RATES)
    return (*rates, *(str(count(ends)) for _, count in APART))


def _value(metric: Metric | None) -> tuple[str, str]:
    if metric is None:
        return "-", "-"
    return number(metric.value, 3), interval(metric.low, metric.high)


def _mean(metric: Metric | None) -> str:
    return number(metric.value, 3) if metric else "-"


def _same(metrics: Iterable[Metric], wanted: Metric) -> Metric | None:
    named = (m for m in metrics if (m.name, m.group) == (wanted.name, wanted.group))
    return next(named, None)


def _calls(calls: Calls) -> tuple[str, ...]:
    return tuple(map(str, (calls.attempted, calls.succeeded, calls.refused, calls.failed)))


def _judged(m: Measured) -> int:
    """How many answers a language model decided: its name holds the model and its prompt."""
    models = (judge for judge in m.judges if ":" in judge and not judge.startswith(RULE))
    return sum(m.judges[judge] for judge in models)


def _named(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items()) or "-"
