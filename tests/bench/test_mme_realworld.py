"""MME-RealWorld. Formats: vlmeval/dataset/image_mcq.py (`MMERealWorld`), and the authors'
evaluation/output_test_template.json."""

import json
from pathlib import Path

import pytest
from tables import packed, png, scored, tasks, values, write_parquet, write_tsv

from saccade.bench.sets.highres.mme_realworld import MMERealWorld
from saccade.errors import FormatError

OPTIONS = ["(A) 13", "(B) 90", "(C) 77", "(D) 6", "(E) The image does not feature the buses"]


def row(index: int, category: str, l2: str, **fields: object) -> dict[str, object]:
    usual = {"question": "How many?", "multi-choice options": str(OPTIONS), "answer": "E"}
    return {
        "index": index, "image": packed(), **usual,
        "category": category, "l2-category": l2, **fields,
    }  # fmt: skip


def authors(**fields: object) -> dict[str, object]:
    return {
        "Question_id": "perception/monitoring/Vehicle/counting/0310",
        "Image": "monitoring_images/1.jpg", "Text": "How many?", "Question type": "Multiple Choice",
        "Answer choices": OPTIONS, "Ground truth": "E", "Category": "Vehicle/counting",
        "Subtask": "Monitoring", "Task": "Perception", **fields,
    }  # fmt: skip


def test_options_are_a_list_as_text(tmp_path: Path) -> None:
    file = write_tsv(tmp_path / "m.tsv", row(0, "Perception/Monitoring", "Vehicle/counting"))
    (task,) = tasks("mme_realworld_lite", file)
    assert task.choices == ("13", "90", "77", "6", "The image does not feature the buses")
    assert task.answer == "E. The image does not feature the buses"
    assert task.family == "Perception/Monitoring"
    (moved,) = tasks("mme_realworld_lite", file, order="hashed")
    assert sorted(moved.choices) == sorted(task.choices)
    assert (moved.answer or "").endswith("feature the buses")


def test_the_large_file_has_columns_and_a_text_of_options(tmp_path: Path) -> None:
    text = "The choices are listed below:\n" + "\n".join(OPTIONS)
    columns = {letter: option[4:] for letter, option in zip("ABCDE", OPTIONS, strict=True)}
    held = row(0, "Reasoning/OCR with Complex Context", "scene", **columns)
    file = write_tsv(tmp_path / "m.tsv", held | {"multi-choice options": text})
    (task,) = tasks("mme_realworld", file)
    assert task.choices[3] == "6"


def test_the_authors_json_stands_beside_its_images(tmp_path: Path) -> None:
    (tmp_path / "data/imgs/monitoring_images").mkdir(parents=True)
    (tmp_path / "data/imgs/monitoring_images/1.jpg").write_bytes(png())
    file = tmp_path / "data/MME_RealWorld.json"
    file.write_text(json.dumps([authors(), authors(Task="position", Question_id="perception/2")]))
    task, other = tasks("mme_realworld", tmp_path)
    assert other.family == task.family
    assert task.id == "mme_realworld-perception/monitoring/Vehicle/counting/0310"
    assert task.choices[1] == "90"
    assert task.family == "Perception/Monitoring"
    assert task.images[0].size == (40, 30)


def test_the_parquet_of_lmms_eval_is_read(tmp_path: Path) -> None:
    held = {
        "index": "p/1", "question": "How many?", "multi-choice options": OPTIONS, "answer": "B",
        "bytes": packed(), "category": "Perception/Remote Sensing", "l2-category": "color",
        "image": "remote_sensing/03553_Toronto.png",
    }  # fmt: skip
    held.pop("image")
    file = write_parquet(tmp_path / "train-0.parquet", held)
    (task,) = tasks("mme_realworld_lite", file)
    assert task.answer == "B. 90"


def test_accuracy_is_of_items_and_macro_accuracy_of_subtasks(tmp_path: Path) -> None:
    """By hand: Monitoring 1 of 3, Remote Sensing 1 of 1, Reasoning/Monitoring 0 of 1."""
    rows = [
        row(0, "Perception/Monitoring", "vehicle/attribute/color"),
        row(1, "Perception/Monitoring", "Vehicle/attribute/shape"),
        row(2, "Perception/Monitoring", "person/counting"),
        row(3, "Perception/Remote Sensing", "color"),
        row(4, "Reasoning/Monitoring", "intention"),
    ]
    asked = tasks("mme_realworld", write_tsv(tmp_path / "m.tsv", *rows))
    held = [scored(task, value) for task, value in zip(asked, (1.0, 0, 0, 1.0, 0), strict=True)]
    found = values(MMERealWorld(), held)
    assert found["accuracy", "all"] == pytest.approx(2 / 5)
    assert found["accuracy", "Perception"] == pytest.approx(2 / 4)
    assert found["accuracy", "Perception/Monitoring"] == pytest.approx(1 / 3)
    assert found["accuracy", "Perception/Monitoring/vehicle/attribute"] == pytest.approx(1 / 2)
    assert found["macro accuracy", "all"] == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert found["macro accuracy", "Perception"] == pytest.approx((1 / 3 + 1) / 2)
    assert found["macro accuracy", "Reasoning"] == 0.0


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"multi-choice options": "[eval('1')]"}, "options: expected a list"),
        ({"answer": "F"}, "answer: expected one of A, B, C, D, E"),
        ({"image": ""}, "image: none"),
    ],
)
def test_mistakes_name_file_and_row(tmp_path: Path, change: dict[str, object], match: str) -> None:
    first = row(0, "Perception/Monitoring", "x")
    file = write_tsv(tmp_path / "m.tsv", first, row(1, "Perception/Monitoring", "x") | change)
    with pytest.raises(FormatError, match=rf"m\.tsv: row 1: .*{match}"):
        tasks("mme_realworld", file)
