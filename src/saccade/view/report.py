"""The table of one or more runs as Markdown, JSON and a figure, all of it from `measures`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from saccade.errors import MissingExtra
from saccade.measures.summary import Pair, Summary, summary, summary_by
from saccade.runs.folder import RunReader
from saccade.types import Record

ALL = "all"


class Row(Record):
    """The episodes of one family of a run, or all of them."""

    run: str
    family: str
    """The family or benchmark of the tasks, or `all`."""
    summary: Summary


class RunReport(Record):
    """A run and its rows."""

    run: str
    path: str
    fingerprint: str
    command: str
    rows: tuple[Row, ...]


class Column(NamedTuple):
    """A column of the printed table that shows one field of `Summary`."""

    title: str
    field: str
    digits: int | None
    """Decimals that are printed; None for a count."""


COLUMNS = (
    Column("reward", "score", 3),
    Column("tool-call rate", "tool_call_rate", 3),
    Column("mean IoU", "mean_iou", 3),
    Column("n", "scored", None),
    Column("tool calls", "tool_calls", 2),
    Column("successful", "tool_calls_ok", 2),
    Column("response tokens", "response_tokens", 1),
    Column("prompt tokens", "prompt_tokens", 1),
    Column("seconds", "seconds", 2),
    Column("abstained", "abstained", None),
    Column("unscored", "unscored", None),
    Column("timeout", "timeout", None),
    Column("aborted", "aborted", None),
)


def report(runs: Sequence[Path]) -> tuple[RunReport, ...]:
    """The summaries of runs, a row for each family of a run.

    Raises:
        StoreError: there is no run in a folder.
    """
    return tuple(_report_of(path) for path in runs)


def markdown(reports: Sequence[RunReport]) -> str:
    """The reports as tables: the numbers, then stop reasons, format problems and patterns."""
    head = ["run", "family", "accuracy", "95 % CI", *(c.title for c in COLUMNS)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in _rows(reports):
        s = row.summary
        interval = "-" if s.accuracy is None else f"[{s.low:.3f}, {s.high:.3f}]"
        cells = [_cell(row.run), _cell(row.family), _number(s.accuracy, 3), interval]
        cells += [_number(getattr(s, c.field), c.digits) for c in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "| run | family | stop reasons | format problems | patterns |",
        "|---|---|---|---|---|",
    ]
    for row in _rows(reports):
        s = row.summary
        counts = " | ".join(map(_counts, (s.stops, s.problems, s.patterns)))
        lines.append(f"| {_cell(row.run)} | {_cell(row.family)} | {counts} |")
    lines.append("")
    for made in reports:
        command = made.command.replace("`", "'")
        lines.append(f"- {_cell(made.run)}: environment {made.fingerprint}, `{_cell(command)}`")
    return "\n".join(lines) + "\n"


def as_json(reports: Sequence[RunReport]) -> list[dict[str, JsonValue]]:
    """The reports for machines: a run, its families, and every field of their `Summary`."""
    return [
        {
            **made.model_dump(mode="json", exclude={"rows"}),
            "families": {row.family: row.summary.model_dump(mode="json") for row in made.rows},
        }
        for made in reports
    ]


def write_report(reports: Sequence[RunReport], out: Path) -> tuple[Path, ...]:
    """Write `report.md`, `report.json` and `report.png` into a folder.

    Raises:
        MissingExtra: matplotlib is not installed; the other two files are written.
    """
    out.mkdir(parents=True, exist_ok=True)
    text, numbers, picture = (out / f"report.{kind}" for kind in ("md", "json", "png"))
    text.write_text(markdown(reports))
    numbers.write_text(json.dumps(as_json(reports), indent=2) + "\n")
    _draw(reports, picture)
    return text, numbers, picture


def _report_of(path: Path) -> RunReport:
    reader = RunReader(path)
    pairs: list[Pair] = [(entry.task, entry.trajectory) for entry in reader.entries()]
    families = summary_by(lambda task: task.family, pairs)
    named = families if len(families) > 1 else {}
    rows = [Row(run=path.name, family=name, summary=s) for name, s in named.items()]
    rows.append(Row(run=path.name, family=ALL, summary=summary(pairs)))
    return RunReport(
        run=path.name,
        path=str(path),
        fingerprint=reader.manifest.fingerprint,
        command=reader.manifest.command,
        rows=tuple(rows),
    )


def _rows(reports: Sequence[RunReport]) -> list[Row]:
    return [row for made in reports for row in made.rows]


def _number(value: float | None, digits: int | None) -> str:
    return "-" if value is None else f"{value:.{digits or 0}f}"


def _cell(text: str) -> str:
    """Text that cannot end its cell, begin markup or hide characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")[:300]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{_cell(name)} {n}" for name, n in counts.items()) or "-"


def _draw(reports: Sequence[RunReport], out: Path) -> None:
    """Accuracy with its 95 % interval: a bar for each family and run."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "plots") from error
    families = list(dict.fromkeys(row.family for row in _rows(reports)))
    width = 0.8 / len(reports)
    figure = Figure(figsize=(2 + 1.1 * len(families), 3.6), layout="constrained")
    axes = figure.add_subplot()
    for number, made in enumerate(reports):
        rows = [row for row in made.rows if row.summary.accuracy is not None]
        places = [families.index(row.family) + (number + 0.5) * width - 0.4 for row in rows]
        accuracy = [row.summary.accuracy or 0.0 for row in rows]
        below = [a - (row.summary.low or 0.0) for a, row in zip(accuracy, rows, strict=True)]
        above = [(row.summary.high or 0.0) - a for a, row in zip(accuracy, rows, strict=True)]
        axes.bar(
            places, accuracy, width * 0.9, yerr=[below, above], label=made.run,
            capsize=3, ecolor="0.2", error_kw={"linewidth": 1},
        )  # fmt: skip
    axes.set_xticks(range(len(families)), families)
    axes.set_ylim(0, 1)
    axes.set_ylabel("accuracy, 95 % CI")
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(reports) > 1:
        figure.legend(loc="outside upper center", ncols=len(reports), frameon=False)
    figure.savefig(out, dpi=150)
