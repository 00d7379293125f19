"""Runs of benchmarks in a report: tables, comparisons by question, and what others published."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from benching import bench_run
from building import a_task, plain
from command import here
from PIL import Image as PILImage
from test_page import episode, keep

from saccade.bench.results import Measured, measure
from saccade.measures.paired import mcnemar
from saccade.view.benchmarks import bench_panels, bench_parts
from saccade.view.compare import Comparison
from saccade.view.report import as_json, as_markdown, report, write_report
from saccade.view.reports.overview import figure_of
from saccade.view.tables import Part, Table, markdown
from saccade.view.tables import plain as text_of

ITEMS = [f"{kind}{number}" for kind in "dr" for number in range(5)]


def played(out: Path, right: str, **fields: object) -> Path:
    """A run that answers the named items rightly, the others wrongly."""
    plays = {name: ["right" if name in right.split() else "wrong"] for name in ITEMS}
    return bench_run(out, plays, **fields)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same questions three times, the options in other orders."""
    folder = tmp_path_factory.mktemp("benches")
    return [
        played(folder / "direct", "d0 d1", arm="direct"),
        played(folder / "cot", "d0 d1 d2", arm="cot", seed=5),
        played(folder / "agent", " ".join(ITEMS[1:]), order="file"),
    ]


def tables(parts: list[Part]) -> dict[str, Table]:
    return {part.title: part for part in parts if isinstance(part, Table)}


def row(table: Table, *keys: str) -> dict[str, str]:
    (found,) = (r for r in table.rows if tuple(map(text_of, r[: len(keys)])) == keys)
    return dict(zip(table.head, map(text_of, found), strict=True))


def test_the_first_table_shows_the_headline_and_what_is_outside_of_it(tmp_path: Path) -> None:
    plays = {
        "d1": ["right"], "d2": ["none"], "d3": ["cut"], "d4": ["turns"], "d5": ["unread"],
        "d6": ["judged"], "d7": ["abort"], "d8": ["bad"],
    }  # fmt: skip
    run = bench_run(tmp_path / "run", plays, kind="benching:Letters")
    made = measure(run, compat=True)
    first = bench_parts([made])[0]
    assert isinstance(first, Table)
    shown = row(first, "run", "V*Bench")
    assert (shown["metric"], shown["value"], shown["n"], shown["items"]) == (
        "accuracy", "0.500", "6", "8",
    )  # fmt: skip
    assert shown["95 % CI"] == "[0.188, 0.812]", "Wilson, three of six"
    assert (shown["rule alone"], shown["n by rule"], shown["judged"]) == ("0.400", "5", "1")
    assert shown["of answered"] == "1.000"
    assert (shown["VLMEvalKit"], shown["n by it"]) == ("1.000", "2"), "what has an A, B or C"
    rates = [shown[name] for name in ("abstained", "out of turns", "truncated", "too many images")]
    assert rates == ["0.143", "0.143", "0.143", "0.000"], "of seven finished ones"
    apart = [shown[name] for name in ("undecided", "not scored", "aborted", "timeout")]
    assert apart == ["1", "0", "1", "0"]


def test_every_group_has_its_rates_beside_its_n(runs: list[Path]) -> None:
    held = tables(bench_parts([measure(run) for run in runs]))
    shown = row(held["By group"], "agent", "direct_attributes", "accuracy")
    assert (shown["value"], shown["n"], shown["aborted"]) == ("0.800", "5", "0")
    assert row(held["Protocol"], "cot")["seed"] == "5"
    assert row(held["Protocol"], "agent")["order"] == "file"
    assert row(held["Cost"], "agent")["prompt tokens"] == "1000"
    assert "Tool use" not in held, "no run called a tool"


def test_published_numbers_stand_alone_and_only_where_asked(runs: list[Path]) -> None:
    measured = [measure(run) for run in runs]
    silent = markdown(bench_parts(measured))
    assert "DeepEyes-7B" not in silent
    asked = bench_parts(measured, published=True)
    assert asked[: len(bench_parts(measured))] == bench_parts(measured)
    others = tables(asked)["Published, not measured by us: V*Bench"]
    ours = {run.name for run in runs}
    for table in tables(asked).values():
        cells = {text_of(cell) for line in table.rows for cell in line}
        assert not (ours & cells and "DeepEyes-7B" in cells), table.title
    found = [r for r in others.rows if r[0] == "DeepEyes-7B" and r[2] == "all"]
    assert sorted(r[4] for r in found) == ["84.3", "85.6", "89.0", "90.1"]
    assert sum(isinstance(p, str) and p.startswith("[1] ") for p in asked) == 1


def compared(paths: list[Path]) -> tuple[Comparison, ...]:
    return report(paths).comparisons


def test_a_question_is_the_same_in_every_order_of_its_options(runs: list[Path]) -> None:
    """Options were moved by another seed in one run, and not at all in the other."""
    cot, agent = compared(runs)
    assert (cot.first, cot.run, cot.changed, cot.common) == ("direct", "cot", 0, 10)
    assert [flip.task for flip in cot.gained] == ["vstar-direct_attributes-d2"]
    assert agent.paired is not None
    assert (agent.changed, agent.paired.gained, agent.paired.lost) == (0, 8, 1)
    assert agent.paired.p == mcnemar(8, 1)
    assert any("arm" in line for line in cot.differs)


def test_more_than_one_comparison_is_adjusted(runs: list[Path], tmp_path: Path) -> None:
    cot, agent = compared(runs)
    assert cot.paired is not None
    assert agent.paired is not None
    assert agent.holm_p == pytest.approx(2 * agent.paired.p)
    assert cot.holm_p == cot.paired.p == 1.0
    text = as_markdown(report(runs), tmp_path)
    assert "| run | n | difference | 95 % CI | McNemar p | Holm p | gained | lost |" in text
    (one,) = compared(runs[:2])
    assert one.holm_p is None
    assert "Holm" not in as_markdown(report(runs[:2]), tmp_path)


def test_other_questions_are_not_compared(runs: list[Path], tmp_path: Path) -> None:
    other = played(tmp_path / "letters", "d0", kind="benching:Letters")
    task = a_task(plain(9, 9), "Which?", answer="A")
    rollout = keep(tmp_path / "rollout", [(task, episode(task, ["<answer>A</answer>"]))])
    made = report([runs[0], other, rollout, runs[1]])
    assert [(found.first, found.run) for found in made.comparisons] == [("direct", "cot")]
    text = as_markdown(made, tmp_path)
    assert "Runs of different benchmarks ask other questions and are not compared." in text
    assert "| rollout | all | 1.000 |" in text, "a plain rollout has the tables that it had"
    assert [run.run for run in made.runs] == ["rollout"]


def test_a_run_that_is_judged_anew_is_still_one_of_the_benchmark(
    runs: list[Path], tmp_path: Path
) -> None:
    again = tmp_path / "again"
    done = here("rescore", str(runs[2]), "reward.judge=exact", f"out={again}")
    assert done.returncode == 0, done.stderr
    made = report([runs[2], again])
    assert made.measured[1].accuracy() == made.measured[0].accuracy()
    (found,) = made.comparisons
    assert (found.common, found.gained, found.lost) == (10, (), ())


def test_rotations_of_a_question_are_compared_as_one(tmp_path: Path) -> None:
    names = ["d0", "d1"]
    first, second = (
        bench_run(tmp_path / run, {n: [play] for n, play in zip(names, plays, strict=True)},
                  order="circular")
        for run, plays in (("a", ["wrong", "wrong"]), ("b", ["right", "wrong"]))
    )  # fmt: skip
    (found,) = compared([first, second])
    assert found.paired is not None
    assert (found.common, found.paired.n, found.paired.gained) == (6, 2, 1)
    assert found.graded


def test_it_is_written_in_all_forms(runs: list[Path], tmp_path: Path) -> None:
    made = report(runs)
    written = write_report(made, tmp_path / "out", published=True)
    held = json.loads((tmp_path / "out" / "report.json").read_text())
    assert held == as_json(made)
    assert [Measured.model_validate(run) for run in held["benchmarks"]] == [*made.measured]
    tex = (tmp_path / "out" / "report.tex").read_text()
    assert "% Published, not measured by us: V*Bench" in tex
    with PILImage.open(written[-1]) as image:
        assert image.format == "PNG"


def test_bars_and_names_of_many_groups_have_their_room(runs: list[Path]) -> None:
    (panel,) = bench_panels([measure(run) for run in runs])
    many = {f"Perception/a rather long name of a subtask {n}": m
            for n in range(40) for m in panel.runs["agent"].values()}  # fmt: skip
    figure = figure_of([], [], panels=[panel, panel._replace(runs={"a": many, "b": many})])
    figure.draw_without_rendering()
    for sub in figure.subfigs:
        (axes,) = sub.axes
        labels = [label.get_window_extent() for label in axes.get_yticklabels()]
        assert not any(a.overlaps(b) for a, b in pairwise(labels))
        assert min(label.x0 for label in labels) >= 0
        assert axes.get_window_extent().width > 300
        legend = axes.get_legend()
        assert legend is not None
        assert not legend.get_window_extent().overlaps(axes.get_window_extent())


def test_the_command_prints_them(runs: list[Path]) -> None:
    paths = [str(run) for run in runs[:2]]
    done = here("report", *paths, "--published", "--compat", "vlmevalkit")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("**Benchmarks**")
    assert "| n by it |" in done.stdout
    assert "**Published, not measured by us: V\\*Bench**" in done.stdout
    wrong = here("report", *paths, "--compat", "lmms")
    assert wrong.returncode == 2
    assert "vlmevalkit" in wrong.stderr
