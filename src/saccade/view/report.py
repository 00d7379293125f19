"""The table of one or more runs: Markdown, JSON and a picture, all from `measures`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from saccade.errors import MissingExtra
from saccade.measures import Pair, Summary, summary, summary_by
from saccade.runs.folder import RunReader
from saccade.types import Record

ALL = "all"


class Row(Record):
    """A group of episodes of a run."""

    run: str
    group: str
    """A family or benchmark, or `all`."""
    summary: Summary


class RunReport(Record):
    """A run and its rows."""

    run: str
    path: str
    fingerprint: str
    command: str
    rows: tuple[Row, ...]


class Column(NamedTuple):
    """A column of the printed table."""

    title: str
    field: str
    digits: int | None
    """None: a count."""


COLUMNS = (
    Column("n", "scored", None),
    Column("right", "accuracy", 3),
    Column("calls", "tool_calls", 2),
    Column("calls that worked", "tool_calls_ok", 2),
    Column("looked", "tool_call_rate", 3),
    Column("IoU", "mean_iou", 3),
    Column("tokens written", "response_tokens", 1),
    Column("tokens read", "prompt_tokens", 1),
    Column("score", "score", 3),
    Column("s", "seconds", 2),
    Column("abstained", "abstained", None),
    Column("unscored", "unscored", None),
    Column("timeout", "timeout", None),
    Column("aborted", "aborted", None),
)


def report(runs: Sequence[Path]) -> tuple[RunReport, ...]:
    """The numbers of runs, all of them from `saccade.measures`.

    Raises:
        StoreError: there is no run in a folder.
    """
    return tuple(_report_of(path) for path in runs)


def markdown(reports: Sequence[RunReport]) -> str:
    """The reports as a table, with why episodes stopped and what was wrong with their form."""
    head = ["run", "group", "n", "right [95 %]", *(c.title for c in COLUMNS[2:])]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in _rows(reports):
        s = row.summary
        right = "-" if s.accuracy is None else f"{s.accuracy:.3f} [{s.low:.3f}, {s.high:.3f}]"
        cells = [_cell(row.run), _cell(row.group), str(s.scored), right]
        cells += [_number(getattr(s, c.field), c.digits) for c in COLUMNS[2:]]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| run | group | stops | form problems | looks |", "|---|---|---|---|---|"]
    for row in _rows(reports):
        s = row.summary
        told = " | ".join(_counts(counts) for counts in (s.stops, s.problems, s.patterns))
        lines.append(f"| {_cell(row.run)} | {_cell(row.group)} | {told} |")
    lines.append("")
    for made in reports:
        command = made.command.replace("`", "'")
        lines.append(f"- {_cell(made.run)}: environment {made.fingerprint}, `{_cell(command)}`")
    return "\n".join(lines) + "\n"


def as_json(reports: Sequence[RunReport]) -> list[dict[str, JsonValue]]:
    """The reports for machines: run -> group -> every number of `Summary`."""
    return [
        {
            **made.model_dump(mode="json", exclude={"rows"}),
            "groups": {row.group: row.summary.model_dump(mode="json") for row in made.rows},
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
    groups = summary_by(lambda task: task.family, pairs)
    named = groups if len(groups) > 1 else {}
    rows = [Row(run=path.name, group=name, summary=s) for name, s in named.items()]
    rows.append(Row(run=path.name, group=ALL, summary=summary(pairs)))
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
    """Text that cannot end a cell, begin markup or hide anything."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")[:300]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{_cell(name)} {n}" for name, n in counts.items()) or "-"


def _draw(reports: Sequence[RunReport], out: Path) -> None:
    """Accuracy with its interval, one bar a group and run."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "plots") from error
    groups = list(dict.fromkeys(row.group for row in _rows(reports)))
    width = 0.8 / len(reports)
    figure = Figure(figsize=(2 + 1.1 * len(groups), 3.6), layout="constrained")
    axes = figure.add_subplot()
    for number, made in enumerate(reports):
        rows = [row for row in made.rows if row.summary.accuracy is not None]
        places = [groups.index(row.group) + (number + 0.5) * width - 0.4 for row in rows]
        right = [row.summary.accuracy or 0.0 for row in rows]
        low = [r - (row.summary.low or 0.0) for r, row in zip(right, rows, strict=True)]
        high = [(row.summary.high or 0.0) - r for r, row in zip(right, rows, strict=True)]
        axes.bar(places, right, width * 0.9, yerr=[low, high], capsize=3, label=made.run)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylim(0, 1)
    axes.set_ylabel("right answers, 95 % interval")
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(reports) > 1:
        axes.legend(frameon=False)
    figure.savefig(out, dpi=150)
