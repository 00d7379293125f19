"""LogicVista. Format: Yijia-Xiao/LogicVista, data/dataset.json; VLMEvalKit, vlmeval/dataset/utils/
logicvista.py."""

from pathlib import Path

import pytest
from maths_sets import Told, judged, numbers, packed, png, scored, tasks, write_json

from maths_sets import write_parquet, write_tsv  # isort: skip

from saccade.bench.sets.maths.logicvista import LogicVista
from saccade.errors import FormatError

QUESTION = {
    "imagename": "v1_0.png", "question": "Which choices in the image (A-G) belong together?",
    "answer": "A, C", "reasoning": "...", "skill": ["inductive"], "broad_capability": ["diagram"],
    "specific_capability": ["rule"], "imagesource": "tests", "sourcelink": "",
}  # fmt: skip
TOLD = QUESTION | {
    "question": "Select from A, B, and C. (A) All are pies (B) Some are cakes (C) None of these",
    "answer": "B", "skill": ["deductive", "numerical"],
}  # fmt: skip


def written(folder: Path, **questions: dict[str, object]) -> Path:
    content = questions or {"v1_0": QUESTION, "v1_1": TOLD}
    write_json(folder / "dataset.json", content, "images/v1_0.png")
    return folder


async def test_the_set_of_letters_counts(tmp_path: Path) -> None:
    """A reply that is no row of capitals is wrong upstream; the order of letters never matters."""
    both, one = tasks("logicvista", written(tmp_path), order="hashed")
    assert (both.answer, both.choices, len(both.meta["shown_options"])) == ("A, C", (), 7)  # type: ignore[arg-type]
    said = ["A, C", "C and A", "AC", "A", "A, B, C", "G", "A fine pair", "CANDLES"]
    assert await judged(LogicVista(), both, *said) == [True] * 3 + [False] * 3 + [None, None]
    said = ["B", "Some are cakes", "The answer is B.", "C", "A, B"]
    found = await judged(LogicVista(), one, *said[:4])
    assert found == [True, True, True, False]


def test_groups_are_skills(tmp_path: Path) -> None:
    one, two = tasks("logicvista", written(tmp_path))
    found = numbers(LogicVista(), [scored(one, 1), scored(two, 0)])
    assert found["accuracy", "all"] == 0.5
    assert found["accuracy", "skill: inductive"] == 1
    assert found["accuracy", "skill: numerical"] == 0
    assert found["accuracy", "capability: diagram"] == 0.5


def test_an_item_without_an_answer_is_asked_and_not_scored(tmp_path: Path) -> None:
    """Item v1_382 has neither question nor answer; upstream it is wrong whatever is said."""
    (task,) = tasks(
        "logicvista", written(tmp_path, v1_382=QUESTION | {"question": "", "answer": ""})
    )
    assert task.answer is None
    assert task.question.startswith("Answer the question that stands in the picture.")


async def test_an_answer_may_be_a_digit(tmp_path: Path) -> None:
    question = QUESTION | {"question": "Select from 1-5", "answer": "3"}
    (task,) = tasks("logicvista", written(tmp_path, v1_20=question))
    assert await judged(LogicVista(), task, "3", "4") == [True, False]


async def test_a_judge_sees_the_options(tmp_path: Path) -> None:
    task = tasks("logicvista", written(tmp_path))[1]
    told = Told()
    await LogicVista().judging(told).judge(task, "the one on cakes")
    assert told.seen[0].choices == ("All are pies", "Some are cakes", "None of these")


def test_parquet_and_tsv_give_the_same_tasks(tmp_path: Path) -> None:
    card = QUESTION | {"image": {"bytes": png(), "path": "v1_0.png"}, "id": "v1_0"}
    write_parquet(tmp_path / "p" / "test-00000-of-00001.parquet", [card])
    row = {"index": "v1_0", "image": packed(), "question": QUESTION["question"], "answer": "A, C",
           "skill": "['inductive']", "broad_capability": "['diagram']"}  # fmt: skip
    write_tsv(tmp_path / "LogicVista.tsv", [row])
    (parquet,) = tasks("logicvista", tmp_path / "p")
    (tsv,) = tasks("logicvista", tmp_path / "LogicVista.tsv")
    for name in ("id", "question", "answer", "meta"):
        assert getattr(parquet, name) == getattr(tsv, name)


def test_mistakes_name_file_and_row(tmp_path: Path) -> None:
    missing = {key: value for key, value in QUESTION.items() if key != "answer"}
    with pytest.raises(FormatError, match=r"dataset\.json: 'v1_9': answer: missing"):
        tasks("logicvista", written(tmp_path, v1_9=missing))
    with pytest.raises(FormatError, match=r"dataset\.json: 'v1_9': .*none\.png"):
        tasks("logicvista", written(tmp_path, v1_9=QUESTION | {"imagename": "none.png"}))
