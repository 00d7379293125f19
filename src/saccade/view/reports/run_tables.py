"""The tables of runs of episodes: accuracy, means, how episodes ended, what was run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from saccade.bench.measured.searches import Searches
from saccade.measures.summary import Summary
from saccade.types import Record
from saccade.view.tables import Part, Table, interval, number


class RunReport(Record):
    """What a run measured."""

    run: str
    path: str
    fingerprint: str | None
    command: str
    families: dict[str, Summary]
    """By the family or benchmark of the tasks; last those of `all`."""
    searches: tuple[Searches, ...] = ()
    """What was searched for, by the same families where anything was."""
    left_out: tuple[str, ...] = ()
    """Records that could not be used, and why."""


class Column(NamedTuple):
    """A column of a table that shows one field of `Summary`."""

    title: str
    field: str
    digits: int | None
    """Decimals that are printed; None for a count."""


ACCURACY = (
    Column("n", "scored", None),
    Column("reward", "score", 3),
    Column("tool-call rate", "tool_call_rate", 3),
    Column("mean IoU", "mean_iou", 3),
)
AT_LEAST = Column("at least", "accuracy_at_least", 3)
"""Before n, where answers are undecided: the accuracy if all of them were wrong."""
TASKS = Column("tasks", "tasks", None)
"""Beside n, where several samples of a task are scored."""
COST = (
    Column("turns", "turns", 2),
    Column("tool calls", "tool_calls", 2),
    Column("successful", "tool_calls_ok", 2),
    Column("response tokens", "response_tokens", 1),
    Column("prompt tokens", "prompt_tokens", 1),
    Column("seconds", "seconds", 2),
)
APART = (
    Column("abstained", "abstained", None),
    Column("undecided", "undecided", None),
    Column("unscored", "unscored", None),
    Column("timeout", "timeout", None),
    Column("aborted", "aborted", None),
)
COUNTS = ("stop reasons", "format problems", "patterns")


def summary_parts(runs: Sequence[RunReport]) -> list[Part]:
    """Four tables, that of the accuracy first."""
    rows = [(run.run, name, found) for run in runs for name, found in run.families.items()]
    n, *rest = ACCURACY
    columns = (n, TASKS, *rest) if any(found.repeated for _, _, found in rows) else ACCURACY
    if any(found.left_open for _, _, found in rows):
        columns = (AT_LEAST, *columns)
    accuracy = Table(
        "Accuracy",
        ("run", "family", "accuracy", "95 % CI", *(column.title for column in columns)),
        tuple(
            (run, name, number(s.accuracy, 3), interval(s.low, s.high), *_numbers(s, columns))
            for run, name, s in rows
        ),
        keys=2,
    )
    means = Table(
        "Means of finished episodes",
        ("run", "family", *(column.title for column in COST)),
        tuple((run, name, *_numbers(s, COST)) for run, name, s in rows),
        keys=2,
    )
    ends = Table(
        "How episodes ended",
        ("run", "family", *(column.title for column in APART), *COUNTS),
        tuple(
            (run, name, *_numbers(s, APART), *map(_counts, (s.stops, s.problems, s.patterns)))
            for run, name, s in rows
        ),
        keys=2,
        prose=COUNTS,
    )
    made = Table(
        "What was run",
        ("run", "environment", "command"),
        tuple((run.run, run.fingerprint or "-", run.command) for run in runs),
        prose=("environment", "command"),
    )
    return [accuracy, means, ends, made]


def _numbers(found: Summary, columns: Sequence[Column]) -> list[str]:
    return [number(getattr(found, column.field), column.digits) for column in columns]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items()) or "-"
