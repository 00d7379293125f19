"""The report of runs: what each measured, how they compare, and how trainings went.

The same parts are a terminal's tables, Markdown, LaTeX, JSON and a figure; every number is from
`saccade.measures`.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import quote

from pydantic import JsonValue

from saccade.bench.measured.searches import Searches, searches_of
from saccade.bench.results import Measured, is_bench, known_benchmark, measured_of
from saccade.files import make_folder, write_whole, writing
from saccade.measures.summary import Pair, Summary, summary, summary_by
from saccade.runs.manifest import as_typed, read_manifest
from saccade.types import Record
from saccade.view.benchmarks import bench_panels, bench_parts, searches_parts
from saccade.view.compare import (
    FLIPS_SHOWN,
    Comparison,
    LinkTo,
    Outcomes,
    compare_all,
    comparison_parts,
    outcomes_of,
)
from saccade.view.dynamics import (
    Dynamics,
    dynamics_json,
    dynamics_parts,
    is_training,
    read_dynamics,
)
from saccade.view.figures import Bars, draw
from saccade.view.names import run_names
from saccade.view.record import finite
from saccade.view.sound import Damage, sound_entries
from saccade.view.tables import Part, Table, interval, latex, markdown, number

ALL = "all"
PAGES = ("view.html", "view/index.html")
"""Where `saccade view` writes the page of runs in the folder of the first one."""
LEFT_OUT_SHOWN = 5
"""Records that could not be used, of which tables say why; the JSON says it of all."""
OTHER_QUESTIONS = "Runs of different benchmarks ask other questions and are not compared."
KINDS = (".md", ".tex", ".json", ".png")
"""Endings of the files of a report."""


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


class Report(NamedTuple):
    """What runs measured."""

    runs: tuple[RunReport, ...]
    comparisons: tuple[Comparison, ...]
    """Of each run of episodes with the first of them."""
    trainings: tuple[Dynamics, ...]
    measured: tuple[Measured, ...] = ()
    """Of the runs of benchmarks, which are not among `runs`."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The folders of the runs of episodes."""
        benchmarks = tuple(run.path for run in self.measured)
        return benchmarks + tuple(run.path for run in self.runs)

    @property
    def page(self) -> Path | None:
        """Where the page of the runs of episodes is, or would be."""
        if not self.paths:
            return None
        places = [Path(self.paths[0]) / name for name in PAGES]
        return next((place for place in places if place.is_file()), places[0])


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


def report(paths: Sequence[Path], *, compat: bool = False) -> Report:
    """Read runs, and compare those of episodes with the first of them.

    Runs of a benchmark are compared with the first run of the same one.

    Args:
        paths: Run folders.
        compat: Whether replies to benchmarks are scored as VLMEvalKit does, too.

    Raises:
        StoreError: there is no run in a folder.
        FormatError: the `run.json` of a folder, or a line of the metrics of a training, is damaged.
            Records that cannot be used are left out and named.
    """
    named = list(zip(paths, run_names(paths), strict=True))
    read = [_read(path, name, compat=compat) for path, name in named if not is_training(path)]
    return Report(
        tuple(made for made, _ in read if isinstance(made, RunReport)),
        compare_all([found for _, found in read]),
        tuple(read_dynamics(path, name) for path, name in named if is_training(path)),
        tuple(made for made, _ in read if isinstance(made, Measured)),
    )


def report_parts(
    made: Report, link: LinkTo, *, flips: int | None = None, published: bool = False
) -> list[Part]:
    """The report as tables and sentences.

    Args:
        made: What runs measured.
        link: Where the name of an episode leads.
        flips: Number of flipped tasks that are shown for each direction; None shows all.
        published: Whether the numbers that others published on the benchmarks are shown, in a table
            of their own.
    """
    parts = bench_parts(made.measured, published=published)
    compared = comparison_parts(made.comparisons, link, at_most=flips)
    if len({run.benchmark for run in made.measured} | {"" for _ in made.runs}) > 1:
        compared.append(OTHER_QUESTIONS)
    if made.runs:
        accuracy, *others = _summaries(made.runs)
        searched = searches_parts((run.run, of) for run in made.runs for of in run.searches)
        notes = [note for run in made.runs for note in _left_out(run)]
        parts += [accuracy, *notes, *compared, *searched, *others]
    else:
        parts += compared
    return parts + dynamics_parts(made.trainings)


def short_parts(made: Report, *, published: bool = False) -> list[Part]:
    """The same for a terminal: the first flips alone, with links if there is a page."""
    page = made.page
    if page is None or not page.is_file():
        parts = report_parts(made, lambda place: None, flips=FLIPS_SHOWN, published=published)
        flipped = any(found.gained or found.lost for found in made.comparisons)
        runs = shlex.join(made.paths)
        return [*parts, f"See them side by side: saccade view {runs} --open"] if flipped else parts
    where = page.resolve().as_uri()
    return report_parts(
        made, lambda place: f"{where}#{place}", flips=FLIPS_SHOWN, published=published
    )


def as_json(made: Report) -> dict[str, JsonValue]:
    """The report for machines: every field of every summary, comparison and step.

    A number that is not finite, which JSON does not know, is null.
    """
    content = {
        "runs": [run.model_dump(mode="json") for run in made.runs],
        "comparisons": [found.model_dump(mode="json") for found in made.comparisons],
        "trainings": [dynamics_json(run) for run in made.trainings],
        "benchmarks": [run.model_dump(mode="json") for run in made.measured],
    }
    return cast(dict[str, JsonValue], finite(content))


def write_report(made: Report, out: Path, *, published: bool = False) -> tuple[Path, ...]:
    """Write the report into files.

    Args:
        made: What runs measured.
        out: A file that ends in one of `KINDS`, or a folder that gets one of each: `report.md`,
            `report.tex`, `report.json` and `report.png`.
        published: Whether the tables show the numbers that others published, too.

    Returns:
        The files that were written.

    Raises:
        StoreError: a file cannot be written.
        MissingExtra: matplotlib is not installed; the other files are written.
    """
    one = out.suffix in KINDS and not out.is_dir()
    files = [out] if one else [out / f"report{kind}" for kind in KINDS]
    make_folder(files[0].parent)
    for file in files:
        if file.suffix == ".png":
            bars = [Bars(run.run, run.families) for run in made.runs]
            with writing(file):
                draw(bars, made.trainings, file, panels=bench_panels(made.measured))
        else:
            text = _text(made, file, published=published)
            write_whole(file, text.encode("utf-8", "replace"))
    return tuple(files)


def _text(made: Report, file: Path, *, published: bool) -> str:
    """The content of a file; links in it are relative to its folder."""
    if file.suffix == ".json":
        return json.dumps(as_json(made), indent=2, allow_nan=False) + "\n"
    if file.suffix == ".tex":
        return latex(report_parts(made, lambda place: None, published=published))
    return as_markdown(made, file.parent, published=published)


def as_markdown(made: Report, folder: Path, *, published: bool = False) -> str:
    """The report as Markdown, with links that lead from a folder to the page of the runs."""
    page = made.page
    if page is None:
        return markdown(report_parts(made, lambda place: None, published=published))
    where = quote(Path(os.path.relpath(page, folder)).as_posix())
    parts = report_parts(made, lambda place: f"{where}#{place}", published=published)
    if any(found.gained or found.lost for found in made.comparisons):
        runs = shlex.join(made.paths)
        parts.append(f"The page that the links lead to is made by: saccade view {runs}")
    return markdown(parts)


def _read(path: Path, name: str, *, compat: bool) -> tuple[RunReport | Measured, Outcomes]:
    damage = Damage()
    manifest = read_manifest(path)
    pairs: list[Pair] = [(e.task, e.trajectory) for e in sound_entries(path, damage)]
    outcomes = outcomes_of(name, manifest, pairs)
    if is_bench(manifest):
        benchmark, said = known_benchmark(manifest)
        notes = [*said, *_cut("left out: ", damage.sentences)]
        made = measured_of(name, path, manifest, benchmark, pairs, compat=compat, notes=notes)
        return made, outcomes
    families = summary_by(lambda task: task.family, pairs)
    named = families if len(families) > 1 else {}
    plain = RunReport(
        run=name,
        path=str(path),
        fingerprint=manifest.fingerprint,
        command=as_typed(manifest.command),
        families={**named, ALL: summary(pairs)},
        searches=_searches(pairs, tuple(named)),
        left_out=damage.sentences,
    )
    return plain, outcomes


def _searches(pairs: Sequence[Pair], families: Sequence[str]) -> tuple[Searches, ...]:
    """What was searched for in the families in which anything was; last in all of them."""
    named = [searches_of(name, (p for p in pairs if p[0].family == name)) for name in families]
    return tuple(of for of in (*named, searches_of(ALL, pairs)) if of is not None)


def _left_out(run: RunReport) -> list[str]:
    """What was left out of the numbers of a run."""
    return _cut(f"{run.run}: left out: ", run.left_out)


def _cut(begin: str, sentences: Sequence[str]) -> list[str]:
    said = "; ".join(sentences[:LEFT_OUT_SHOWN])
    more = len(sentences) - LEFT_OUT_SHOWN
    return [begin + said + (f"; and {more} more" if more > 0 else "")] if sentences else []


def _summaries(runs: Sequence[RunReport]) -> list[Part]:
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
