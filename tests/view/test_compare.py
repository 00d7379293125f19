"""Runs compared task by task: what is paired, what is left out, and where the links lead."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from building import a_task, plain
from rich.console import Console
from selenium import webdriver
from test_page import episode, keep, texts

from saccade.cli.common.tables import show_parts
from saccade.measures.intervals import wilson
from saccade.measures.paired import paired
from saccade.types import Task, Trajectory
from saccade.view.compare import Comparison
from saccade.view.names import run_names
from saccade.view.page import make_page, write_page
from saccade.view.report import as_markdown, report, short_parts, write_report
from saccade.view.tables import Link, Table

IMAGE = plain(90, 90)
NAME = "task %d with (brackets), a # and a |"


def attempts(task: Task, answers: str) -> list[tuple[Task, Trajectory]]:
    """A sample for each letter; `A` is right, and `-` was not decided."""
    pairs = []
    for sample, answer in enumerate(answers):
        made = episode(task, [f"<answer>{answer}</answer>"])
        change: dict[str, object] = {"sample": sample, "id": f"{task.id}:{sample}"}
        if answer == "-":
            change |= {"score": None, "verdict": None}
        pairs.append((task, made.model_copy(update=change)))
    return pairs


def run_of(out: Path, answers: Mapping[int, str], **fields: object) -> Path:
    """A run of tasks by number, each with the answers of its samples."""
    known: dict[str, object] = {"answer": "A", "source": "quiz"}
    pairs: list[tuple[Task, Trajectory]] = []
    for number, letters in answers.items():
        task = a_task(IMAGE, f"Which is {number}?", id=NAME % number, **(known | fields))
        pairs += attempts(task, letters)
    return keep(out, pairs)


def compared(*runs: Path) -> Comparison:
    return report(runs).comparisons[-1]


def names(flips: Sequence[object]) -> list[int]:
    return [int(re.findall(r"\d+", flip.task)[0]) for flip in flips]  # type: ignore[attr-defined]


def test_the_comparison_is_that_of_measures_on_common_tasks(tmp_path: Path) -> None:
    first = run_of(tmp_path / "a", {0: "A", 1: "A", 2: "B", 3: "B", 4: "-", 5: "A", 8: "A"})
    second = run_of(tmp_path / "b", {1: "B", 0: "A", 3: "A", 2: "A", 4: "A", 5: "A", 9: "A"})
    found = compared(first, second)
    assert found.paired == paired([1, 1, 0, 0, 1], [1, 0, 1, 1, 1])
    assert (found.common, found.unscored, found.only_first, found.only_second) == (6, 1, 1, 1)
    assert (names(found.gained), names(found.lost)) == ([2, 3], [1])


def test_samples_of_a_task_count_as_one_task(tmp_path: Path) -> None:
    found = compared(
        run_of(tmp_path / "a", {0: "ABBB", 1: "AABB", 2: "AAAA"}),
        run_of(tmp_path / "b", {0: "ABAA", 1: "BBAA", 2: "AAA-"}),
    )
    assert found.paired == paired([0.25, 0.5, 1.0], [0.75, 0.5, 1.0])
    (flip,) = found.gained
    assert (flip.before, flip.after, found.samples) == (0.25, 0.75, 4)
    assert flip.anchor.endswith("%3A2"), "the first sample on which they differ"


def test_runs_of_one_name_are_told_apart_by_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("x/a", "y/a"):
        (tmp_path / place).mkdir(parents=True)
        run_of(tmp_path / place / "run", {0: "A"})
    here, there = tmp_path / "x/a/run", tmp_path / "y/a/run"
    monkeypatch.chdir(here)
    assert [run.run for run in report([Path()]).runs] == ["run"]
    made = report([Path(), there])
    assert [run.run for run in made.runs] == ["x/a/run", "y/a/run"]
    assert [(found.first, found.run) for found in made.comparisons] == [("x/a/run", "y/a/run")]
    html = make_page([Path(), there]).html
    assert '"name": "x/a/run"' in html
    assert "<title>x/a/run \u00b7 y/a/run" in html
    assert run_names([here, Path("..") / "run", tmp_path]) == ("run", "run", tmp_path.name)
    assert run_names([Path("/"), Path("/tmp")]) == ("/", "tmp")


def test_report_and_page_say_how_many_tasks_the_samples_are_of(tmp_path: Path) -> None:
    made = report([run_of(tmp_path / "a", {0: "AAAA", 1: "BBBB", 2: "AAAA"})])
    low, high = wilson(2, 3)
    text = as_markdown(made, tmp_path)
    assert "| 95 % CI | n | tasks | reward |" in text
    assert f"| a | all | 0.667 | [{low:.3f}, {high:.3f}] | 12 | 3 |" in text
    said = f"95 % CI [{low:.3f}, {high:.3f}], n = 12 samples of 3 tasks"
    assert said in make_page([tmp_path / "a"]).html


def test_tasks_of_one_name_with_another_question_are_not_compared(tmp_path: Path) -> None:
    first, second = run_of(tmp_path / "a", {0: "A"}), run_of(tmp_path / "b", {0: "B"}, answer="B")
    found = compared(first, second)
    assert (found.paired, found.changed, found.common) == (None, 1, 0)
    text = as_markdown(report([first, second]), tmp_path)
    assert "1 task ids are shared by other questions" in text
    assert "There is nothing to compare" in text
    assert "| b | all | 1.000 |" in text, "each is reported all the same"


def test_each_run_is_compared_with_the_first(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path / name, {0: "A", 1: right})
        for name, right in zip("abc", "ABA", strict=True)
    ]
    made = report(runs).comparisons
    assert [(found.first, found.run) for found in made] == [("a", "b"), ("a", "c")]
    assert [len(found.lost) for found in made] == [1, 0]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Twelve tasks that were gained, and one that was lost."""
    folder = tmp_path_factory.mktemp("flips")
    wrong, right = dict.fromkeys(range(12), "B"), dict.fromkeys(range(12), "A")
    first = run_of(folder / "a-long-name-of-the-first-run", wrong | {12: "A"})
    return first, run_of(folder / "other", right | {12: "B"})


def test_a_terminal_shows_ten_flips_and_files_show_all(
    many: tuple[Path, Path], tmp_path: Path
) -> None:
    made = report(many)
    (shown,) = [p for p in short_parts(made) if isinstance(p, Table) and "flipped" in p.title]
    assert [row[0] for row in shown.rows] == ["gained"] * 10 + ["lost"]
    assert "2 more tasks flipped; --json and --out hold all of them." in short_parts(made)
    for name in ("report.md", "report.tex"):
        write_report(made, tmp_path / name)
    assert (tmp_path / "report.md").read_text().count("\n| gained |") == 12
    assert (tmp_path / "report.tex").read_text().count("\ngained &") == 12


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_name_and_no_number_is_broken_in_a_terminal(many: tuple[Path, Path], width: int) -> None:
    parts = short_parts(report(many))
    shown = io.StringIO()
    show_parts(Console(file=shown, width=width, force_terminal=True, color_system=None), parts)
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    cells = " ".join(lines)
    for part in (part for part in parts if isinstance(part, Table)):
        for row in part.rows:
            for name, cell in zip(part.head, row, strict=True):
                text = cell.text if isinstance(cell, Link) else cell
                assert name in part.prose or text in cells, (name, text)
        for word in " ".join(part.head).split():
            assert word in cells


def test_a_flip_leads_to_its_episode_on_the_page(
    browser: webdriver.Chrome, many: tuple[Path, Path], tmp_path: Path
) -> None:
    """From the Markdown of a report in another folder, by the address alone."""
    write_page(many, many[0] / "view.html")
    text = as_markdown(report(many), tmp_path)
    links = re.findall(r"\| lost \| \[[^\]]*\]\(([^)]*)\)", text)
    assert len(links) == 1
    browser.get(tmp_path.as_uri() + "/" + links[0])
    assert texts(browser, "#detail h2") == ["Which is 12?"]
    assert texts(browser, "#detail h2 + p") == [NAME % 12 + ":0"]
    # A link that is followed on the open page, though a filter hides the episode.
    browser.execute_script("document.querySelector('#filters [name=words]').value = 'is 12'")
    browser.execute_script("byId('filters').dispatchEvent(new Event('input'))")
    assert texts(browser, "#count") == ["1 of 13 episodes"]
    (third,) = (flip for flip in compared(*many).gained if flip.task == NAME % 3)
    browser.execute_script("location.hash = arguments[0]", third.anchor)
    browser.execute_async_script("setTimeout(arguments[0])")  # after the event of the new address
    assert texts(browser, "#detail h2") == ["Which is 3?"]
    assert texts(browser, "#count") == ["13 of 13 episodes"]
