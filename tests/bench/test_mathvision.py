"""MATH-Vision. Format: mathllm/MATH-V, data/test.jsonl; VLMEvalKit, vlmeval/dataset/utils/mathv.py.
Sixty real items are in the shared data."""

import json
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
    write_parquet,
    write_tsv,
)  # fmt: skip

from saccade.bench.sets.maths.mathvision import MathVision
from saccade.errors import FormatError
from saccade.types import Task


def problem(number: int, **changes: object) -> dict[str, object]:
    row = {
        "id": str(number), "question": "How many?\n<image1>", "options": [], "answer": "6",
        "solution": None, "level": 2, "subject": "counting", "image": f"images/{number}.jpg",
    }  # fmt: skip
    return row | changes


def written(folder: Path, *rows: dict[str, object], name: str = "test") -> Path:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "images").mkdir(exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data" / f"{name}.jsonl").write_text(lines)
    for row in rows:
        (folder / str(row["image"])).write_bytes(png())
    return folder


OPTIONS = ["$\\frac{1}{2}$", "$2$", "$\\sqrt{2}$", "$3$", "$4$"]


def test_pictures_lie_beside_the_folder_of_the_file_as_named(tmp_path: Path) -> None:
    two = problem(2, question="Which <image1> is <image2>?", options=OPTIONS, answer="C")
    place = written(tmp_path, problem(1), two)
    number, choice = tasks("mathvision", place)
    assert number.question == "How many?\nAnswer with the value alone."
    assert choice.question == "Which image 1 is image 2?"
    assert (choice.answer, len(choice.choices)) == ("C. $\\sqrt{2}$", 5)
    assert tasks("mathvision", place / "data" / "test.jsonl")[0].id == "mathvision-1"


def test_options_are_moved_unless_they_are_letters_of_the_picture(tmp_path: Path) -> None:
    letters = problem(99, options=["A", "B", "C", "D", "E"], answer="D")
    rows = [problem(n, options=OPTIONS, answer="C") for n in range(6)]
    shown = tasks("mathvision", written(tmp_path, *rows, letters), order="hashed")
    assert len({task.answer for task in shown[:-1]}) > 1
    assert (shown[-1].answer, shown[-1].choices) == ("D", ())


async def test_values_and_options_are_read(tmp_path: Path) -> None:
    two = problem(2, options=OPTIONS, answer="C")
    letters = problem(3, options=["A", "B", "C", "D", "E"], answer="D")
    number, choice, letter = tasks("mathvision", written(tmp_path, problem(1), two, letters))
    assert await judged(MathVision(), number, "6", r"\boxed{6}", "12/2", "7") == [True] * 3 + [
        False
    ]
    assert await judged(MathVision(), choice, "C", "(B)", "none") == [True, False, False]
    assert await judged(MathVision(), letter, "D", "Picture D.", "E") == [True, True, False]


def test_nothing_that_a_model_writes_is_executed_for_vlmevalkit(tmp_path: Path) -> None:
    """Both published scorers call eval() on it: mathv.py, and MATH-V's evaluation/utils.py."""
    trace = tmp_path / "executed"
    reply = f"__import__('pathlib').Path({str(trace)!r}).write_text('6') * 0 + 6"
    assert MathVision().compat(Task(id="t", prompt=("How many?",), answer="6"), reply) is None
    assert not trace.exists()


async def test_our_rule_and_that_of_vlmevalkit_differ_where_it_is_said() -> None:
    await assert_differences(MathVision())


def test_groups_are_subjects_and_levels(tmp_path: Path) -> None:
    place = written(tmp_path, problem(1), problem(2, level=5, subject="algebra"))
    one, two = tasks("mathvision", place)
    found = numbers(MathVision(), [scored(one, 1), scored(two, 0)])
    assert found["accuracy", "all"] == 0.5
    assert found["accuracy", "subject: counting"] == 1
    assert found["accuracy", "level: 5"] == 0


def test_parquet_tsv_and_the_small_part(tmp_path: Path) -> None:
    card = problem(2, options=OPTIONS, answer="C")
    card["decoded_image"] = {"bytes": png(), "path": None}
    write_parquet(tmp_path / "p" / "test-00000-of-00001.parquet", [card])
    (parquet,) = tasks("mathvision", tmp_path / "p")
    row = {"index": 2, "image": packed(), "question": card["question"], "answer": "C",
           "choices": str(OPTIONS), "category": "counting", "level": 2}  # fmt: skip
    write_tsv(tmp_path / "MathVision.tsv", [row])
    (tsv,) = tasks("mathvision", tmp_path / "MathVision.tsv")
    assert (parquet.choices, parquet.answer, parquet.meta) == (tsv.choices, tsv.answer, tsv.meta)
    place = written(tmp_path / "j", problem(4), name="testmini")
    assert [task.id for task in tasks("mathvision", place, split="testmini")] == ["mathvision-4"]


def test_mistakes_name_file_and_row(tmp_path: Path) -> None:
    for changes, what in (
        ({"options": OPTIONS, "answer": "F"}, "letter of an option"),
        ({"answer": ""}, "answer: empty"),
        ({"question": ""}, "answer|question"),
    ):
        place = written(tmp_path, problem(1), problem(2, **changes))
        with pytest.raises(FormatError, match=rf"test\.jsonl:2: .*{what}"):
            tasks("mathvision", place)
    place = written(tmp_path, problem(1), problem(1))
    with pytest.raises(FormatError, match=r"test\.jsonl:2: the id .* is that of .*jsonl:1"):
        tasks("mathvision", place)
    (place / "images" / "1.jpg").unlink()
    with pytest.raises(FormatError, match=r"test\.jsonl:1: image"):
        tasks("mathvision", place)


def test_sixty_real_items(shared_data: Path) -> None:
    read = tasks("mathvision", shared_data / "mathvision_slice", order="hashed")
    assert len(read) == 60
    assert {len(task.choices) for task in read} == {0, 5}
    assert all(task.images[0].source.size[0] > 10 for task in read)


async def test_their_gold_answers_are_right(shared_data: Path) -> None:
    benchmark = MathVision()
    for task in tasks("mathvision", shared_data / "mathvision_slice", order="hashed"):
        assert (await benchmark.judge(task, task.answer or "")).correct is True, task.answer


def test_a_picture_stands_where_its_mark_is_and_several_in_one_are_named(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "question": "A heart.\\n<image1>\\nWhat does <image1> weigh?", "options": [],
         "answer": "140", "image": "images/1.png"},
        {"id": "2", "question": "Which graph fits <image1>?", "answer": "B",
         "options": ["<image2>", "<image3>"], "image": "images/1.png"},
        {"id": "3", "question": "No mark.", "options": [], "answer": "4", "image": "images/1.png"},
    ]  # fmt: skip
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(png())
    (tmp_path / "test.jsonl").write_text(lines)
    placed, several, plain = tasks("mathvision", tmp_path)
    assert placed.prompt[0] == "A heart."
    assert placed.prompt[2] == "What does the image weigh?\nAnswer with the value alone."
    assert several.prompt == (several.images[0], "Which graph fits image 1?")
    assert several.choices == ("image 2", "image 3")
    assert plain.prompt[0] is plain.images[0]
    assert not any("<image" in task.question for task in (placed, several, plain))
