"""MMStar. Formats: the data card of Lin-Chen/MMStar; lmms-eval, tasks/mmstar/utils.py."""

from pathlib import Path

import pytest
from tables import packed, png, scored, tasks, values, write_parquet, write_tsv

from saccade.bench.sets.options.mmstar import MMStar, parted
from saccade.errors import FormatError

QUESTION = "Which is right?\nOptions: A: The case is on it., B: red, blue, C: nan, D: It is A: b."


def row(index: int, question: str = QUESTION, **fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "image": png(), "answer": "B", "category": "math", "l2_category": "geometry",
        "meta_info": {"source": "MathVista", "split": "testmini", "image_path": "images/1.jpg"},
    }  # fmt: skip
    return {"index": index, "question": question, **usual, **fields}


@pytest.mark.parametrize(
    ("text", "question", "options"),
    [
        (QUESTION, "Which is right?", ["The case is on it.", "red, blue", "It is A: b."]),
        (
            "Hint: Please answer, e.g., A, B, C, D, at the end.\nQuestion: How long?\n"
            "Choices:\n(A) 1 cm\n(B) 2 cm",
            "How long?",
            ["1 cm", "2 cm"],
        ),
        ("What Options: are there?", "What Options: are there?", []),
        ("Only one?\nOptions: A: yes", "Only one?\nOptions: A: yes", []),
        ("Q?\nOptions: A. 1 B. 2 C. 3", "Q?", ["1", "2", "3"]),
        ("<b>?\nOptions: A: CO2, B: C: D, C: H2O", "<b>?", ["CO2", "C: D", "H2O"]),
    ],
)
def test_options_are_parted_from_the_question(text: str, question: str, options: list[str]) -> None:
    assert [*parted(text).options.values()] == options
    assert parted(text).question == question


def test_the_parquet_has_tasks_with_options(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "mmstar.parquet", row(0), row(1, "No options? ", answer="D"))
    first, second = tasks("mmstar", file)
    assert first.choices == ("The case is on it.", "red, blue", "It is A: b.")
    assert first.answer == "B. red, blue"
    assert second.choices == ("A", "B", "C", "D")
    (_, moved) = tasks("mmstar", file, order="hashed")
    assert moved.choices == ("A", "B", "C", "D")


def test_an_option_that_is_nan_leaves_the_letters_of_the_others(tmp_path: Path) -> None:
    (task,) = tasks("mmstar", write_parquet(tmp_path / "mmstar.parquet", row(0, answer="D")))
    assert task.answer == "C. It is A: b."  # D of the file is the third that is shown
    assert list(str(task.meta["letters"])) == ["A", "B", "D"]


def test_numbers_are_by_ability_and_kind(tmp_path: Path) -> None:
    held = {"image": packed(), "question": "Which?", "A": "x", "B": "y", "answer": "A"}
    rows = [
        {"index": n, "category": "math", "l2_category": kind, **held}
        for n, kind in enumerate(["geometry", "geometry", "statistical reasoning"])
    ]
    asked = tasks("mmstar", write_tsv(tmp_path / "MMStar.tsv", *rows))
    held_ = [scored(task, v) for task, v in zip(asked, (1.0, 0.0, 1.0), strict=True)]
    found = values(MMStar(), held_)
    assert found["accuracy", "all"] == found["accuracy", "math"] == pytest.approx(2 / 3)
    assert found["accuracy", "math/geometry"] == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("change", "match"),
    [({"answer": "Z"}, "answer"), ({"question": ""}, "question"), ({"image": b"x"}, "image")],
)
def test_mistakes_name_file_and_row(tmp_path: Path, change: dict[str, object], match: str) -> None:
    file = write_parquet(tmp_path / "mmstar.parquet", row(0), row(1) | change)
    with pytest.raises(FormatError, match=rf"mmstar\.parquet: row 1: {match}"):
        tasks("mmstar", file)
