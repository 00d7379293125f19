"""MathVista. Format: lupantech/MathVista, data/testmini.json and its data card (AI4Math/MathVista);
VLMEvalKit, vlmeval/dataset/utils/mathvista.py."""

from pathlib import Path

import pytest
from maths_sets import (
    assert_differences,
    judged,
    numbers,
    packed,
    png,
    scored,
    tasks,
    write_json,
    write_parquet,
    write_tsv,
)  # fmt: skip

from saccade.bench.sets.maths.mathvista import MathVista
from saccade.errors import FormatError
from saccade.types import Task

META = {
    "split": "testmini", "language": "english", "img_width": 12, "source": "IconQA",
    "category": "math-targeted-vqa", "task": "figure question answering", "context": "bar chart",
    "grade": "college", "skills": ["statistical reasoning", "arithmetic reasoning"],
}  # fmt: skip


def problem(pid: str, **changes: object) -> dict[str, object]:
    row = {
        "question": "By what distance?", "image": f"images/{pid}.png", "choices": None,
        "unit": None, "precision": 1, "answer": "1.2", "question_type": "free_form",
        "answer_type": "float", "pid": pid, "metadata": META,
    }  # fmt: skip
    return row | changes


CHOICE = {
    "question": "Which is longer?", "choices": ["red", "blue", "neither of them"],
    "answer": "blue", "question_type": "multi_choice", "answer_type": "text", "precision": None,
}  # fmt: skip


def written(folder: Path, *rows: dict[str, object]) -> Path:
    content = {str(row["pid"]): row for row in rows}
    write_json(folder / "testmini.json", content, *(str(row["image"]) for row in rows))
    return folder


def test_a_problem_with_options_is_a_choice_and_a_number_says_its_form(tmp_path: Path) -> None:
    place = written(tmp_path, problem("1", unit="m"), problem("2", **CHOICE))
    number, choice = tasks("mathvista", place)
    assert number.question.endswith("(Unit: m)\nAnswer with a number with 1 decimals.")
    assert (number.answer, number.choices, number.id) == ("1.2", (), "mathvista-1")
    assert (choice.answer, choice.choices[1]) == ("B. blue", "blue")
    assert number.family == "figure question answering"


def test_parquet_and_tsv_give_the_same_tasks(tmp_path: Path) -> None:
    """VLMEvalKit's questions hold the hint and the options, its lists are texts."""
    card = problem("2", **CHOICE) | {"decoded_image": {"bytes": png(), "path": "2.jpg"}}
    write_parquet(tmp_path / "p" / "testmini-00000-of-00001.parquet", [card])
    row = {
        "index": 2, "image": packed(), "answer": "blue", "answer_option": "B",
        "question": "Hint: Please answer.\nQuestion: Which is longer?\nChoices:\n(A) red\n(B) blue",
        "question_type": "multi_choice", "answer_type": "text",
        "choices": "['red', 'blue', 'neither of them']", "skills": str(META["skills"]),
        "task": META["task"],
    }  # fmt: skip
    write_tsv(tmp_path / "MathVista_MINI.tsv", [row])
    (parquet,) = tasks("mathvista", tmp_path / "p")
    (tsv,) = tasks("mathvista", tmp_path / "MathVista_MINI.tsv")
    for name in ("id", "question", "choices", "answer", "family"):
        assert getattr(parquet, name) == getattr(tsv, name)
    assert parquet.meta["skills"] == tsv.meta["skills"] == META["skills"]


def test_options_that_name_figures_in_the_picture_are_not_moved(tmp_path: Path) -> None:
    letters = CHOICE | {"choices": ["A", "B", "C", "D"], "answer": "C"}
    place = written(tmp_path, problem("1", **letters))
    (task,) = tasks("mathvista", place, order="hashed")
    assert (task.choices, task.answer) == ((), "C")
    assert task.question.endswith("marked in the picture: A, B, C, D")


def test_a_text_that_stands_twice_is_one_option(tmp_path: Path) -> None:
    """Problem 781 of testmini: 9, 12, 18 and 18."""
    twice = CHOICE | {"choices": ["9", "12", "18", "18"], "answer": "18"}
    (task,) = tasks("mathvista", written(tmp_path, problem("781", **twice)))
    assert (task.choices, task.answer) == (("9", "12", "18"), "C. 18")


@pytest.mark.parametrize(
    ("answer", "right"),
    [("1.2", True), ("1.2 m", True), ("1.23", True), ("120 cm", True), ("d = 1.2", True),
     ("1.3", False), ("1", False), ("1.2 s", False), ("12/10", True), ("", False)],
)  # fmt: skip
async def test_a_number_is_right_if_it_rounds_to_the_gold_one(
    answer: str, right: bool, tmp_path: Path
) -> None:
    (task,) = tasks("mathvista", written(tmp_path, problem("1", unit="m")))
    assert await judged(MathVista(), task, answer) == [right]


async def test_lists_are_compared_as_lists(tmp_path: Path) -> None:
    """VLMEvalKit's post_check finds [2007, 2008] other than the same list."""
    row = problem("506", answer="[2007, 2008]", answer_type="list", precision=None)
    (task,) = tasks("mathvista", written(tmp_path, row))
    said = ["[2007, 2008]", "2007 and 2008", "(2007, 2008)", "[2008, 2007]", "[2007]", "A while"]
    assert await judged(MathVista(), task, *said) == [True, True, True, False, False, None]
    assert MathVista().compat(task, "[2007, 2008]") == 0


async def test_an_integer_is_not_cut(tmp_path: Path) -> None:
    """The authors' normalize_extracted_answer turns 2.9 into 2."""
    (task,) = tasks("mathvista", written(tmp_path, problem("1", answer="2", answer_type="integer")))
    assert await judged(MathVista(), task, "2", "2.0", "two", "2.9") == [True, True, True, False]


async def test_our_rule_and_that_of_vlmevalkit_differ_where_it_is_said() -> None:
    await assert_differences(MathVista())


def test_a_zero_that_vlmevalkit_finds_is_left_to_its_model() -> None:
    task = Task(id="t", prompt=("?",), answer="0", meta={"answer_type": "integer"})
    assert MathVista().compat(task, "0") is None
    assert MathVista().compat(task.model_copy(update={"answer": "7"}), "7") == 1


def test_a_problem_is_in_the_groups_of_all_its_skills(tmp_path: Path) -> None:
    place = written(tmp_path, problem("1"), problem("2", metadata=META | {"skills": ["algebra"]}))
    one, two = tasks("mathvista", place)
    found = numbers(MathVista(), [scored(one, 1), scored(two, 0)])
    assert found["accuracy", "all"] == 0.5
    assert found["accuracy", "skills: arithmetic reasoning"] == 1
    assert found["accuracy", "skills: algebra"] == 0
    assert found["accuracy", "source: IconQA"] == 0.5


def test_mistakes_name_file_and_row(tmp_path: Path) -> None:
    for changes, what in (
        ({"question": None}, "no text"),
        ({**CHOICE, "answer": "green"}, "none of the choices"),
    ):
        place = written(tmp_path, problem("7", **changes))
        with pytest.raises(FormatError, match=rf"testmini\.json: '7': .*{what}"):
            tasks("mathvista", place)
    (tmp_path / "images" / "7.png").write_bytes(b"no picture")
    with pytest.raises(FormatError, match=r"testmini\.json: '7'.*image"):
        tasks("mathvista", written_only(tmp_path))
    row = problem("8")
    del row["answer_type"]
    with pytest.raises(FormatError, match=r"testmini\.json: '8': answer_type: missing"):
        tasks("mathvista", written(tmp_path, row))


def written_only(folder: Path) -> Path:
    write_json(folder / "testmini.json", {"7": problem("7")})
    return folder


def test_two_problems_of_one_number_are_named(tmp_path: Path) -> None:
    rows = [problem("1"), problem("1")]
    write_json(tmp_path / "testmini.json", rows, "images/1.png")
    with pytest.raises(FormatError, match=r"row 1: the id 'mathvista-1' is that of .*row 0"):
        tasks("mathvista", tmp_path)
