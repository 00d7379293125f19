"""OCRBench. Format: Yuliang-Liu/MultimodalOCR, OCRBench/OCRBench/OCRBench.json; lmms-eval,
lmms_eval/tasks/ocrbench/upload_ocrbench.py (the parquet of echo840/OCRBench); VLMEvalKit,
vlmeval/dataset/utils/ocrbench.py."""

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
)

from saccade.bench.sets.charts.ocrbench import FORMULA, OCRBench
from saccade.errors import FormatError
from saccade.types import Task

WORD = {
    "dataset_name": "IIIT5K", "id": 2843, "image_path": "IIIT5K/test/918_1.png",
    "question": "what is written in the image?", "answers": "CENTRE",
    "type": "Regular Text Recognition",
}  # fmt: skip
EQUATION = WORD | {
    "dataset_name": "HME100k", "answers": "\\frac { 1 } { 2 } x\n", "type": FORMULA,
}  # fmt: skip
VALUES = WORD | {
    "dataset_name": "textVQA", "answers": ["7", "seven"], "type": "Scene Text-centric VQA",
}  # fmt: skip


def written(folder: Path, *rows: dict[str, object]) -> Path:
    pictures = [f"OCRBench_Images/{row['image_path']}" for row in rows]
    write_json(folder / "OCRBench.json", list(rows), *pictures)
    return folder


async def test_any_gold_text_that_is_held_is_right(tmp_path: Path) -> None:
    word, equation, values = tasks("ocrbench", written(tmp_path, WORD, EQUATION, VALUES))
    said = ["centre", "It says 'Centre'.", "CENTER", ""]
    assert await judged(OCRBench(), word, *said) == [True, True, False, False]
    said = [r"$\frac{1}{2}x$", r"\frac { 1 } { 2 } x", r"\frac{1}{2} X"]
    assert await judged(OCRBench(), equation, *said) == [True, True, False]
    said = ["7", "Seven of them", "17", "7.5", "the number is 7.", "8"]
    assert await judged(OCRBench(), values, *said) == [True, True, False, False, True, False]


def test_areas_are_those_of_the_published_table(tmp_path: Path) -> None:
    kinds = ["Irregular Text Recognition", "Handwriting Recognition", "Digit String Recognition"]
    rows = [WORD, EQUATION, VALUES, *(WORD | {"type": kind} for kind in kinds)]
    read = tasks("ocrbench", written(tmp_path, *rows))
    found = numbers(OCRBench(), [scored(task, n % 2 == 0) for n, task in enumerate(read)])
    assert found["accuracy", "area: Text Recognition"] == 0.5
    assert found["accuracy", "area: Scene Text-centric VQA"] == 1
    assert found["accuracy", f"area: {FORMULA}"] == 0
    assert found["accuracy", "type: Digit String Recognition"] == 0
    assert found["accuracy", "all"] == 0.5


def test_ids_are_made_of_rows_since_those_of_the_file_repeat(tmp_path: Path) -> None:
    assert len({task.id for task in tasks("ocrbench", written(tmp_path, WORD, WORD))}) == 2


async def test_our_rule_and_that_of_vlmevalkit_differ_where_it_is_said() -> None:
    await assert_differences(OCRBench())


async def test_an_empty_gold_text_is_part_of_nothing() -> None:
    """Upstream it is part of every reply."""
    task = Task(id="t", prompt=("?",), answer="7", meta={"gold": ["", "7"]})
    assert await judged(OCRBench(), task, "8") == [False]
    assert OCRBench().compat(task, "8") == 1


def test_parquet_and_tsv_give_the_same_tasks(tmp_path: Path) -> None:
    image = {"bytes": png(), "path": ""}
    question = VALUES["question"]
    card = {"dataset": "textVQA", "question": question, "answer": ["7", "seven"], "image": image,
            "question_type": "Scene Text-centric VQA"}  # fmt: skip
    row = {"index": 0, "image": packed(), "question": question, "answer": "['7', 'seven']",
           "category": "Scene Text-centric VQA"}  # fmt: skip
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", [card])
    write_tsv(tmp_path / "OCRBench.tsv", [row])
    (parquet,) = tasks("ocrbench", tmp_path)
    (tsv,) = tasks("ocrbench", tmp_path / "OCRBench.tsv")
    assert (parquet.question, parquet.meta) == (tsv.question, tsv.meta)
    assert parquet.meta["gold"] == ["7", "seven"]


def test_mistakes_name_file_and_row(tmp_path: Path) -> None:
    for changes, what in (
        ({"answers": []}, "no answer"),
        ({"question": ""}, "no text"),
        ({"image_path": "none.png"}, "none.png"),
    ):
        file = tmp_path / "OCRBench.json"
        write_json(file, [WORD, WORD | changes], f"OCRBench_Images/{WORD['image_path']}")
        with pytest.raises(FormatError, match=rf"OCRBench\.json: row 1: .*{what}"):
            tasks("ocrbench", tmp_path)
    missing = {key: value for key, value in WORD.items() if key != "type"}
    with pytest.raises(FormatError, match=r"OCRBench\.json: row 0: type: missing"):
        tasks("ocrbench", written(tmp_path, missing))
