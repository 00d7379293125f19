"""InfoSeek. Format: open-vision-language/infoseek, README; edchengg/infoseek_eval."""

import json
import re
from pathlib import Path

import pytest
from looked_up import figures, png, scored, tasks

from saccade.bench.sets.search.infoseek import InfoSeek
from saccade.errors import FormatError
from saccade.types import Task


def written(folder: Path, *rows: dict[str, object]) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    (folder / "images" / "oven_04990048.jpg").write_bytes(png())
    lines = (json.dumps(row) for row in rows)
    (folder / "infoseek_val.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "infoseek_train.jsonl").write_text("no JSON: it is not read\n")
    return folder


def a_row(number: int = 0, **changes: object) -> dict[str, object]:
    return {
        "data_id": f"infoseek_val_{number:08d}",
        "image_id": "oven_04990048",
        "question": "Which place is this animal endemic to?",
        "answer": ["People's Republic of China"],
        "answer_eval": ["cn", "China", "\U0001f1e8\U0001f1f3"],
        "data_split": "val_unseen_entity",
    } | changes


QUANTITY = {"answer": ["0.0"], "answer_eval": [{"wikidata": 0.0, "range": [-1.0, 1.0]}]}


def one(folder: Path, **changes: object) -> Task:
    return tasks("infoseek", written(folder, a_row(**changes)))[0]


def test_answers_are_those_that_the_evaluation_takes(tmp_path: Path) -> None:
    task = one(tmp_path)
    assert task.id == "infoseek_val_00000000"
    assert task.meta["answers"] == [
        "People's Republic of China", "cn", "China", "\U0001f1e8\U0001f1f3",
    ]  # fmt: skip
    assert task.answer == "People's Republic of China or cn or China or \U0001f1e8\U0001f1f3"
    assert task.family == "val_unseen_entity"
    assert task.images[0].size == (8, 8)


@pytest.mark.parametrize("where", ["oven_1.JPEG", "oven_images/04/oven_1.png", "images/oven_1.jpg"])
def test_photographs_of_oven_are_found_where_they_lie(tmp_path: Path, where: str) -> None:
    where = where.replace("oven_1", "oven_04990049")
    (tmp_path / where).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / where).write_bytes(png(5))
    assert one(tmp_path, image_id="oven_04990049").images[0].size == (5, 5)


async def test_a_number_in_the_range_is_right(tmp_path: Path) -> None:
    task = one(tmp_path, **QUANTITY)
    assert task.answer == "0.0 (from -1 to 1)"
    said = [(await InfoSeek().judge(task, a)).correct for a in ("0.5", "1", "2", "about half")]
    assert said == [True, True, None, None]


async def test_a_reply_without_a_number_is_not_zero_as_in_infoseek_eval(tmp_path: Path) -> None:
    task = one(tmp_path, **QUANTITY)
    assert theirs("a rather small one", (-1.0, 1.0))
    assert (await InfoSeek().judge(task, "a rather small one")).correct is None
    assert (await InfoSeek().judge(task, "I don't know")).correct is False


def theirs(reply: str, limits: tuple[float, float]) -> bool:
    """process_numerical_answer and metric_numerical_range of infoseek_eval.py, restated."""
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", reply)][:2] or [0, 0]
    return all(limits[0] <= number <= limits[1] for number in numbers)


def test_numbers_by_split(tmp_path: Path) -> None:
    rows = [a_row(0), a_row(1, data_split="val_unseen_question"), a_row(2)]
    asked = tasks("infoseek", written(tmp_path, *rows))
    values = [1.0, 0.0, 0.0]
    found = figures(
        InfoSeek().metrics([scored(t, "China", v) for t, v in zip(asked, values, strict=True)])
    )
    assert found["accuracy", "all"] == 0.333
    assert found["accuracy", "val_unseen_entity"] == 0.5
    assert found["accuracy", "val_unseen_question"] == 0
    assert found["exact match", "all"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": []}, "answer: none.*val split"),
        ({"question": None}, "question"),
        ({"image_id": "oven_1"}, "image_id"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    written(tmp_path, a_row(0), a_row(1, **changes))
    with pytest.raises(FormatError, match=rf"infoseek_val\.jsonl:2.*{message}"):
        tasks("infoseek", tmp_path)


def test_a_repeated_id_is_named(tmp_path: Path) -> None:
    written(tmp_path, a_row(0), a_row(0))
    with pytest.raises(FormatError, match=r"infoseek_val\.jsonl:2.*infoseek_val\.jsonl:1"):
        tasks("infoseek", tmp_path)


async def test_the_real_rows_of_mmsearch_r1_are_read(shared_data: Path) -> None:
    file = shared_data / "fvqa_mini" / "infoseek_5.parquet"
    if not file.is_file():
        pytest.skip(f"no real rows at {file}")
    asked = tasks("infoseek", file)
    assert len(asked) == 5
    assert asked[0].question == "What is the country of origin of this food?"
    assert asked[0].family == "infoseek_train_split"
    assert all(task.images[0].size.width > 100 for task in asked)
    judge = InfoSeek().judge
    assert (await judge(asked[2], "the knights of St John")).correct is True
    assert (await judge(asked[0], "Portugal")).correct is None
