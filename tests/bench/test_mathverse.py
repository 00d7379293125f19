"""MathVerse. Format: ZrrSkywalker/MathVerse, output_templates/ and data/testmini_text_only.json;
VLMEvalKit, vlmeval/dataset/utils/mathverse.py (whose metadata is the text of a table)."""

from pathlib import Path

import pytest
from maths_sets import (
    Told,
    judged,
    numbers,
    packed,
    png,
    scored,
    tasks,
    write_json,
    write_parquet,
    write_tsv,
)

from saccade.bench.sets.maths.mathverse import MathVerse
from saccade.errors import FormatError

ASKED = "DE parallel BC, then angle CED is ()\nChoices:\nA:40°\nB:60°\nC:120°\nD:140°"
META = {"split": "testmini", "source": "GeoQA", "subject": "Plane Geometry", "subfield": "Angle"}


def problem(number: int, version: str = "Text Dominant", **changes: object) -> dict[str, object]:
    row = {
        "sample_index": str(number), "problem_index": "1", "problem_version": version,
        "question": ASKED, "image": "images_version_1-4/image_1.png", "answer": "D",
        "question_type": "multi-choice", "metadata": META, "query_wo": "...", "query_cot": "...",
        "question_for_eval": ASKED,
    }  # fmt: skip
    return row | changes


def written(folder: Path, *rows: dict[str, object]) -> Path:
    pictures = [f"images/{row['image']}" for row in rows if row["image"]]
    write_json(folder / "testmini.json", list(rows), *pictures)
    return folder


async def test_options_of_the_text_are_read_by_letter_text_and_value(tmp_path: Path) -> None:
    (task,) = tasks("mathverse", written(tmp_path, problem(1)), order="hashed")
    assert (task.answer, task.choices) == ("D", ())
    said = ["D", "The answer is D", "140°", "D:140°", "B", "60°", ""]
    assert await judged(MathVerse(), task, *said) == [True] * 4 + [False] * 3


def test_a_question_in_the_picture_is_pointed_to(tmp_path: Path) -> None:
    place = written(tmp_path, problem(5, "Vision Only", question=""))
    (task,) = tasks("mathverse", place)
    assert task.question.startswith("Answer the question that stands in the picture.")
    assert task.meta["shown_options"] == ["40°", "60°", "120°", "140°"]


async def test_values_are_compared_as_mathematics(tmp_path: Path) -> None:
    rows = [
        problem(1, question_type="free-form", question="Find x.", answer=r"4\sqrt{6}"),
        problem(2, question_type="free-form", question="Which line?", answer="$x=0$"),
        problem(3, question_type="free-form", question="Angle?", answer="35\u63b3"),
    ]
    root, line, angle = tasks("mathverse", written(tmp_path, *rows))
    assert await judged(MathVerse(), root, "4√6", r"\sqrt{96}", "9.8") == [True, True, False]
    assert await judged(MathVerse(), line, "x = 0", "$x=0$") == [True, True]
    assert await judged(MathVerse(), angle, "35°", "36°") == [True, False]


def test_versions_of_a_problem_are_one_unit(tmp_path: Path) -> None:
    versions = ["Text Dominant", "Text Lite", "Vision Intensive", "Vision Dominant", "Vision Only"]
    place = written(tmp_path, *(problem(n, version) for n, version in enumerate(versions)))
    found = MathVerse().metrics(
        [scored(t, n == 0) for n, t in enumerate(tasks("mathverse", place))]
    )
    by_group = {metric.group: metric for metric in found}
    assert (by_group["all"].value, by_group["all"].n, by_group["all"].units) == (0.2, 5, 1)
    assert by_group["version: Text Dominant"].value == 1
    assert by_group["subject: Plane Geometry"].value == 0.2


def test_parquet_tsv_and_a_question_without_a_picture(tmp_path: Path) -> None:
    inside = problem(1, image={"bytes": png(), "path": "1.png"})
    write_parquet(tmp_path / "testmini.parquet", [inside])
    (parquet,) = tasks("mathverse", tmp_path)
    row = problem(1, image=packed(), metadata=str(META)) | {"index": 1}
    write_tsv(tmp_path / "MathVerse_MINIV.tsv", [row])
    (tsv,) = tasks("mathverse", tmp_path / "MathVerse_MINIV.tsv")
    assert (parquet.question, parquet.meta) == (tsv.question, tsv.meta)
    (text,) = tasks("mathverse", written(tmp_path / "t", problem(1, "Text Only", image="")))
    assert text.images == ()


async def test_some_rows_have_the_text_of_an_option_or_several_letters(tmp_path: Path) -> None:
    rows = [problem(1, answer="(C)"), problem(2, answer="60°"), problem(3, answer="C\nD")]
    one, two, both = tasks("mathverse", written(tmp_path, *rows))
    assert [one.answer, two.answer, both.answer] == ["C", "B", "C, D"]
    assert await judged(MathVerse(), both, "C and D", "C", "CD") == [True, False, True]


async def test_a_judge_sees_the_options_of_the_text(tmp_path: Path) -> None:
    (task,) = tasks("mathverse", written(tmp_path, problem(1)))
    told = Told()
    await MathVerse().judging(told).judge(task, "the largest")
    assert told.seen[0].choices == ("40°", "60°", "120°", "140°")


def test_mistakes_name_file_and_row(tmp_path: Path) -> None:
    for changes, what in (
        ({"answer": "perhaps"}, "letter of an option"),
        ({"image": ""}, "no image"),
        ({"image": "elsewhere.png", "problem_version": "Text Lite"}, "elsewhere"),
    ):
        write_json(tmp_path / "testmini.json", [problem(1, **changes)])  # type: ignore[arg-type]
        with pytest.raises(FormatError, match=rf"testmini\.json: row 0: .*{what}"):
            tasks("mathverse", tmp_path)
    assert numbers(MathVerse(), [])["accuracy", "all"] is None
