"""Prediction files. What VLMEvalKit reads of them: vlmeval/dataset/image_mcq.py (e8e78f05)."""

import csv
from pathlib import Path

import pytest
from building import a_task, a_trajectory, a_turn
from openpyxl import load_workbook
from tables import packed, tasks, write_tsv

from saccade.bench.predictions import in_file_order, write_predictions
from saccade.errors import FormatError, StoreError
from saccade.runs.folder import RunFolder
from saccade.runs.manifest import Manifest
from saccade.types import StopReason, Task, Trajectory

MANIFEST = Manifest(verb="bench", config={})
COLOURS = ("red", "blue", "green", "white")


def a_run(path: Path, *episodes: tuple[Task, Trajectory]) -> Path:
    with RunFolder(path, MANIFEST) as folder:
        for task, trajectory in episodes:
            folder.append(task, trajectory)
    return path


def answered(task: Task, answer: str | None, sample: int = 0) -> tuple[Task, Trajectory]:
    stop = StopReason.MAX_TURNS if answer is None else StopReason.ANSWER
    turn = a_turn(answer=answer)
    return task, a_trajectory(
        turn, id=f"{task.id}:{sample}", task_id=task.id, stop=stop, sample=sample
    )


@pytest.fixture
def asked(tmp_path: Path) -> list[Task]:
    rows = [
        {
            "index": n, "image": packed(), "question": f"What colour is {n}?", "category": "c",
            **dict(zip("ABCD", COLOURS, strict=True)), "answer": "A", "cycle_category": f"k{n}",
        }
        for n in (10, 9, 2)
    ]  # fmt: skip
    return tasks("vlmevalkit", write_tsv(tmp_path / "Mine.tsv", *rows), order="hashed")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [*csv.DictReader(file, delimiter="\t")]


def test_letters_are_those_of_the_file(tmp_path: Path, asked: list[Task]) -> None:
    """Each model answers with the letter that it was shown for red, which is A in the file."""
    said = [answered(task, (task.answer or "")[0]) for task in asked]
    assert {trajectory.answer for _, trajectory in said} != {"A"}
    written = write_predictions(a_run(tmp_path / "run", *said), tmp_path / "p.tsv")
    rows = read(tmp_path / "p.tsv")
    assert [row["prediction"] for row in rows] == ["A", "A", "A"]
    assert [row["answer"] for row in rows] == ["A", "A", "A"]
    assert [[row[letter] for letter in "ABCD"] for row in rows] == [[*COLOURS]] * 3
    assert [row["index"] for row in rows] == ["2", "9", "10"]
    assert [row["cycle_category"] for row in rows] == ["k2", "k9", "k10"]
    assert (written.rows, written.empty, written.unread) == (3, 0, 0)


def test_an_episode_without_an_answer_stays_empty(tmp_path: Path, asked: list[Task]) -> None:
    said = [answered(asked[0], None), answered(asked[1], "red")]
    written = write_predictions(a_run(tmp_path / "run", *said), tmp_path / "p.tsv")
    assert [row["prediction"] for row in read(tmp_path / "p.tsv")] == ["A", ""]
    assert written.empty == 1


@pytest.mark.parametrize(
    ("answer", "text", "known"),
    [
        ("C", "A", True),
        ("The answer is **C**.", "A", True),
        ("red", "A", True),
        ("white", "D", True),
        ("A reddish one", "A reddish one", True),
        ("B or C, who knows", "D or A, who knows", False),
        ("I cannot tell", "I cannot tell", True),
        ("", "", True),
    ],
)
def test_answers_are_read_where_they_can_be(answer: str, text: str, known: bool) -> None:
    task = a_task(
        choices=("blue", "white", "red", "green"), answer="C. red", meta={"order": [1, 3, 0, 2]}
    )
    assert in_file_order(task, answer) == (text, known)


def test_in_the_order_of_the_file_nothing_is_changed() -> None:
    task = a_task(choices=("red", "blue"), answer="A. red")
    assert in_file_order(task, "It is (B), I think: A is dark") == (
        "It is (B), I think: A is dark",
        True,
    )


def test_letters_that_the_file_leaves_out_are_given_back() -> None:
    task = a_task(choices=("red", "blue"), answer="B. blue", meta={"letters": "AD"})
    assert in_file_order(task, "B").text == "D"


def test_a_spreadsheet_has_the_same_cells_and_says_what_it_cut(
    tmp_path: Path, asked: list[Task]
) -> None:
    said = [answered(asked[0], "=1+1"), answered(asked[1], "x" * 40_000)]
    written = write_predictions(a_run(tmp_path / "run", *said), tmp_path / "p.xlsx")
    sheet = load_workbook(tmp_path / "p.xlsx")["Sheet1"]
    head = [cell.value for cell in sheet[1]]
    assert head[:2] == ["index", "question"]
    assert head[-2:] == ["prediction", "reply"]
    assert [sheet[row][0].value for row in (2, 3)] == [9, 10]  # numbers, as in the TSV
    cell = sheet[3][head.index("prediction")]
    assert (cell.value, cell.data_type) == ("=1+1", "s")
    assert {cut.column for cut in written.cut} == {"prediction", "reply"}
    assert "40000 characters" in written.warning
    assert ".tsv file cuts none" in written.warning


def test_one_sample_is_written_and_rotations_have_the_index_of_a_cycle(tmp_path: Path) -> None:
    held = {"index": 7, "image": packed(), "question": "?", "A": "x", "B": "y", "answer": "A"}
    turned = tasks("vlmevalkit", write_tsv(tmp_path / "M.tsv", held), order="circular")
    said = [answered(task, "A", sample) for task in turned for sample in (0, 1)]
    run = a_run(tmp_path / "run", *said)
    write_predictions(run, tmp_path / "p.tsv", sample=1)
    rows = read(tmp_path / "p.tsv")
    assert [row["index"] for row in rows] == ["7", "1000007"]
    assert [row["prediction"] for row in rows] == ["A", "B"]
    assert [row["answer"] for row in rows] == ["A", "A"]
    with pytest.raises(FormatError, match="no episode with the sample 2"):
        write_predictions(run, tmp_path / "p.tsv", sample=2)


def test_another_ending_and_no_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"\.tsv or \.xlsx"):
        write_predictions(tmp_path, tmp_path / "p.csv")
    with pytest.raises(StoreError):
        write_predictions(tmp_path / "none", tmp_path / "p.tsv")
