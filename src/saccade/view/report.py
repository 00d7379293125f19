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
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import quote

from pydantic import JsonValue

from saccade.bench.measured.searches import Searches, searches_of
from saccade.bench.results import Measured, is_bench, known_benchmark, measured_of
from saccade.errors import MissingExtra
from saccade.files import make_folder, write_whole
from saccade.measures.summary import Pair, summary, summary_by
from saccade.runs.manifest import as_typed, read_manifest
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
from saccade.view.names import run_names
from saccade.view.record import finite
from saccade.view.reports.changes import Change, changes_of
from saccade.view.reports.figures import figures_of
from saccade.view.reports.gathered import RunTools, StepTools, run_tools, steps_tools
from saccade.view.reports.html import NO_FIGURES, Picture, page, png_of
from saccade.view.reports.overview import Bars, figure_of
from saccade.view.reports.run_tables import RunReport, summary_parts
from saccade.view.reports.tool_tables import families_parts, mix_parts, steps_parts, tools_parts
from saccade.view.sound import Damage, sound_entries
from saccade.view.tables import Part, latex, markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALL = "all"
PAGES = ("view.html", "view/index.html")
"""Where `saccade view` writes the page of runs in the folder of the first one."""
LEFT_OUT_SHOWN = 5
"""Records that could not be used, of which tables say why; the JSON says it of all."""
OVERVIEW_SAID = (
    "Accuracy with its 95 % interval, and what trainings logged, by step. n is in the tables below."
)
OTHER_QUESTIONS = "Runs of different benchmarks ask other questions and are not compared."
TWICE = {"summaries", "asked"}
"""What the JSON has elsewhere."""
KINDS = (".md", ".tex", ".json", ".html", ".png")
"""Endings of the files of a report."""


class Report(NamedTuple):
    """What runs measured."""

    runs: tuple[RunReport, ...]
    comparisons: tuple[Comparison, ...]
    """Of each run of episodes with the first of them."""
    trainings: tuple[Dynamics, ...]
    measured: tuple[Measured, ...] = ()
    """Of the runs of benchmarks, which are not among `runs`."""
    tools: tuple[RunTools, ...] = ()
    """What was called in all runs of episodes, those of benchmarks included."""
    changes: tuple[Change, ...] = ()
    """How often these call, beside the first run that was asked the same."""
    kept: tuple[tuple[str, tuple[StepTools, ...]], ...] = ()
    """The same of the kept steps of trainings, by the name of each."""
    given: tuple[str, ...] = ()
    """The folders, in the order in which they were named."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The folders of the runs of episodes."""
        benchmarks = tuple(run.path for run in self.measured)
        return benchmarks + tuple(run.path for run in self.runs)

    @property
    def command(self) -> str:
        """The command that makes it again."""
        return f"saccade report {shlex.join(self.given)}"

    @property
    def page(self) -> Path | None:
        """Where the page of the runs of episodes is, or would be."""
        if not self.paths:
            return None
        places = [Path(self.paths[0]) / name for name in PAGES]
        return next((place for place in places if place.is_file()), places[0])


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
    trainings = [(path, name) for path, name in named if is_training(path)]
    read = [_read(*one, compat=compat) for one in named if one not in trainings]
    kept = ((name, steps_tools(path)) for path, name in trainings)
    tools = tuple(run.tools for run in read)
    return Report(
        tuple(run.made for run in read if isinstance(run.made, RunReport)),
        compare_all([run.outcomes for run in read]),
        tuple(read_dynamics(path, name) for path, name in trainings),
        tuple(run.made for run in read if isinstance(run.made, Measured)),
        tools,
        changes_of({run.run: run.asked for run in tools}),
        tuple((name, steps) for name, steps in kept if steps),
        tuple(map(str, paths)),
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
        accuracy, *others = summary_parts(made.runs)
        searched = searches_parts((run.run, of) for run in made.runs for of in run.searches)
        notes = [note for run in made.runs for note in _left_out(run)]
        parts += [accuracy, *notes, *compared, *searched, *others]
    else:
        parts += compared
    parts += [*mix_parts(made.tools), *tools_parts(made.tools, made.changes)]
    parts += [*dynamics_parts(made.trainings), *families_parts(made.trainings)]
    return parts + steps_parts(made.kept)


def short_parts(made: Report, *, published: bool = False) -> list[Part]:
    """The same for a terminal: the first flips alone, with links if there is a page."""
    page = made.page
    if page is None or not page.is_file():
        parts = report_parts(made, _nowhere, flips=FLIPS_SHOWN, published=published)
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
        "tools": [run.model_dump(mode="json", exclude=TWICE) for run in made.tools],
        "changes": [change.model_dump(mode="json") for change in made.changes],
        "kept_steps": {
            name: [step.model_dump(mode="json") for step in steps] for name, steps in made.kept
        },
    }
    return cast(dict[str, JsonValue], finite(content))


def write_report(made: Report, out: Path, *, published: bool = False) -> tuple[Path, ...]:
    """Write the report into files.

    Args:
        made: What runs measured.
        out: A file that ends in one of `KINDS`, or a folder that gets one of each: `report.md`,
            `report.tex`, `report.json`, `report.html` and `report.png`; and `report-NAME.png` for
            each figure of tools and training that has something to show.
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
    pictures: list[Picture] = []
    missing = None
    if not one or out.suffix == ".html":
        try:
            pictures = _pictures(made)
        except MissingExtra as error:
            missing = error
    for file in (file for file in files if file.suffix != ".png"):
        text = _text(made, file, pictures, published=published)
        write_whole(file, text.encode("utf-8", "replace"))
    if one and out.suffix == ".png":
        write_whole(out, png_of(_overview(made)))
    if one:
        return (out,)
    if missing is not None:
        raise missing
    write_whole(files[-1], pictures[0].png)
    for picture in pictures[1:]:
        files.append(out / f"report-{picture.name}.png")
        write_whole(files[-1], picture.png)
    return tuple(files)


def _overview(made: Report) -> Figure:
    """The figure of accuracies and of everything that trainings logged."""
    bars = [Bars(run.run, run.families) for run in made.runs]
    return figure_of(bars, made.trainings, panels=bench_panels(made.measured))


def _pictures(made: Report) -> list[Picture]:
    """The overview, and all others that have something to show.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    found = [Picture("overview", "Overview", OVERVIEW_SAID, png_of(_overview(made)))]
    for drawn in figures_of(made.tools, made.trainings, made.kept):
        found.append(Picture(drawn.name, drawn.title, drawn.caption, png_of(drawn.figure)))
    return found


def _page(made: Report, folder: Path, pictures: Sequence[Picture], *, published: bool) -> str:
    """The report as a page; without matplotlib it has the tables alone."""
    names = [*(run.run for run in made.tools), *(run.run for run in made.trainings)]
    lines = [f"{len(names)} run(s): {', '.join(names)}.", f"Made by: {made.command}"]
    if not pictures:
        lines.append(NO_FIGURES)
    there = made.page is not None and made.page.is_file()
    link = _links(made, folder) if there else _nowhere
    parts = report_parts(made, link, flips=FLIPS_SHOWN, published=published)
    return page("Saccade report", lines, pictures, parts)


def _text(made: Report, file: Path, pictures: Sequence[Picture], *, published: bool) -> str:
    """The content of a file; links in it are relative to its folder."""
    if file.suffix == ".json":
        return json.dumps(as_json(made), indent=2, allow_nan=False) + "\n"
    if file.suffix == ".tex":
        return latex(report_parts(made, _nowhere, published=published))
    if file.suffix == ".html":
        return _page(made, file.parent, pictures, published=published)
    return as_markdown(made, file.parent, published=published)


def _nowhere(place: str) -> None:
    """No link."""


def _links(made: Report, folder: Path) -> LinkTo:
    """Where links in a file of a folder lead: to the page of the runs."""
    if made.page is None:
        return _nowhere
    where = quote(Path(os.path.relpath(made.page, folder)).as_posix())
    return lambda place: f"{where}#{place}"


def as_markdown(made: Report, folder: Path, *, published: bool = False) -> str:
    """The report as Markdown, with links that lead from a folder to the page of the runs."""
    parts = report_parts(made, _links(made, folder), published=published)
    if any(found.gained or found.lost for found in made.comparisons):
        runs = shlex.join(made.paths)
        parts.append(f"The page that the links lead to is made by: saccade view {runs}")
    return markdown(parts)


class _Run(NamedTuple):
    made: RunReport | Measured
    outcomes: Outcomes
    tools: RunTools


def _read(path: Path, name: str, *, compat: bool) -> _Run:
    damage = Damage()
    manifest = read_manifest(path)
    pairs: list[Pair] = [(e.task, e.trajectory) for e in sound_entries(path, damage)]
    outcomes = outcomes_of(name, manifest, pairs)
    if is_bench(manifest):
        benchmark, said = known_benchmark(manifest)
        notes = [*said, *_cut("left out: ", damage.sentences)]
        made = measured_of(name, path, manifest, benchmark, pairs, compat=compat, notes=notes)
        return _Run(made, outcomes, run_tools(name, pairs))
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
    return _Run(plain, outcomes, run_tools(name, pairs))


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
