"""POPE. Formats: AoiDragon/POPE, output/coco/*.json; vlmeval/dataset/utils/yorn.py."""

import json
from pathlib import Path

import pytest
from tables import packed, png, scored, tasks, values, write_parquet, write_tsv

from saccade.bench.sets.options.pope import Pope
from saccade.errors import FormatError
from saccade.types import Task

NAME = "COCO_val2014_000000310196.jpg"


def write_labels(folder: Path, split: str, *labels: str, image: str = NAME) -> Path:
    (folder / "val2014").mkdir(exist_ok=True, parents=True)
    (folder / "val2014" / NAME).write_bytes(png())
    lines = [
        {"question_id": n + 1, "image": image, "text": f"Is there a thing {n} in the image?",
         "label": label}
        for n, label in enumerate(labels)
    ]  # fmt: skip
    file = folder / f"coco_pope_{split}.json"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_label_files_hold_an_object_a_line_and_images_stand_apart(tmp_path: Path) -> None:
    write_labels(tmp_path, "adversarial", "yes", "no")
    write_labels(tmp_path, "random", "yes")
    found = tasks("pope", tmp_path)
    assert [task.id for task in found] == [
        "pope-adversarial-1", "pope-adversarial-2", "pope-random-1",
    ]  # fmt: skip
    assert [task.answer for task in found] == ["yes", "no", "yes"]
    assert found[0].question == "Is there a thing 0 in the image?"
    assert found[0].meta["unit"] == found[2].meta["unit"]  # the same question in two splits


def test_the_repository_of_the_authors_may_be_named_as_it_is(tmp_path: Path) -> None:
    write_labels(tmp_path / "output" / "coco", "random", "yes")
    (tmp_path / "output" / "coco" / "val2014").rename(tmp_path / "val2014")
    assert len(tasks("pope", tmp_path)) == 1


def test_the_tsv_names_the_splits_of_a_row(tmp_path: Path) -> None:
    rows = [
        {"index": 1, "image": packed(), "question": "Is there?", "answer": "Yes",
         "category": "adversarial,popular,random"},
        {"index": 2, "image": "1", "question": "Is there not?", "answer": "No",
         "category": "popular"},
    ]  # fmt: skip
    first, second = tasks("pope", write_tsv(tmp_path / "POPE.tsv", *rows))
    assert (first.answer, second.answer) == ("yes", "no")
    found = values(Pope(), [scored(first, 1.0, "yes"), scored(second, 0.0, "yes")])
    # By hand: three times yes and right, once yes and wrong, as POPE_rating counts them.
    assert found["accuracy", "all"] == pytest.approx(3 / 4)
    assert found["precision", "all"] == pytest.approx(3 / 4)
    assert found["F1", "popular"] == pytest.approx(2 / 3)
    assert found["F1", "random"] == 1.0


def test_the_parquet_of_lmms_eval_is_read(tmp_path: Path) -> None:
    held = {
        "id": "0", "question_id": "1", "question": "Is there?", "answer": "no",
        "image_source": "COCO_val2014_1", "image": {"bytes": png(), "path": None},
        "category": "popular",
    }  # fmt: skip
    (task,) = tasks("pope", write_parquet(tmp_path / "test-0.parquet", held))
    assert task.id == "pope-popular-0"
    assert task.answer == "no"


def four(tmp_path: Path) -> list[Task]:
    write_labels(tmp_path, "popular", "yes", "yes", "yes", "no", "no", "no")
    return tasks("pope", tmp_path)


def test_the_numbers_are_those_of_a_table_made_by_hand(tmp_path: Path) -> None:
    """TP 2, FN 1, FP 1, TN 1; one attempt says neither, and is in no rate but its own."""
    held = [
        scored(task, value, answer)
        for task, value, answer in zip(
            four(tmp_path),
            (1.0, 1.0, 0.0, 0.0, 1.0, None),
            ("yes", "yes", "no", "yes", "no", "I cannot tell"),
            strict=True,
        )
    ]
    found = values(Pope(), held)
    assert found["precision", "all"] == pytest.approx(2 / 3)
    assert found["recall", "all"] == pytest.approx(2 / 3)
    assert found["F1", "all"] == pytest.approx(2 / 3)
    assert found["accuracy", "all"] == pytest.approx(3 / 5)
    assert found["yes ratio", "all"] == pytest.approx(3 / 5)
    assert found["neither yes nor no", "all"] == pytest.approx(1 / 6)
    metrics = Pope().metrics(held)
    assert metrics[0].name == Pope.headline == "F1"
    assert all(m.low is not None and m.high is not None for m in metrics if m.value is not None)
    assert metrics[0].method == "wilson"


async def test_unknown_is_never_no(tmp_path: Path) -> None:
    task = four(tmp_path)[-1]
    verdict = await Pope().judge(task, "It is not clear what is in the image")
    assert verdict.correct is None
    assert verdict.unread
    assert (await Pope().judge(task, "No.")).correct is True
    assert (await Pope().judge(task, "Yes.")).correct is False


def test_both_published_rules_are_restated(tmp_path: Path) -> None:
    """By hand, of three times yes and three times no, each answered yes, no, and neither."""
    asked = four(tmp_path)
    replies = ["Yes", "No", "I cannot tell"] * 2
    found, authors = (
        values(one, [scored(t, one.compat(t, r), r) for t, r in zip(asked, replies, strict=True)])
        for one in (Pope(), Pope(published="authors"))
    )
    # POPE_rating: neither is no in F1, and wrong in accuracy. TP 1, FP 1, FN 2.
    assert found["F1", "all"] == pytest.approx(2 / (2 + 1 + 2))
    assert found["accuracy", "all"] == pytest.approx(2 / 6)
    # evaluate.py: neither is yes. TP 2, FP 2, FN 1, TN 1.
    assert authors["F1", "all"] == pytest.approx(4 / (4 + 2 + 1))
    assert authors["accuracy", "all"] == pytest.approx(3 / 6)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"question_id": 1, "image": "a.jpg", "text": "?"}', r":1: .*label"),
        ('{"question_id": 1, "image": "a.jpg", "text": "?", "label": "maybe"}', r":1: .*label"),
        ('{"question_id": 1, "image": "../a.jpg", "text": "?", "label": "no"}', r":1: image"),
        ('{"question_id": 1, "image": "b.jpg", "text": "?", "label": "no"}', r":1: image: no b"),
        ("[1]", r":1: expected an object"),
        ("{", r":1: expected an object a line"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, text: str, match: str) -> None:
    file = write_labels(tmp_path, "random", "yes")
    file.write_text(text + "\n")
    with pytest.raises(FormatError, match=rf"coco_pope_random\.json{match}"):
        tasks("pope", tmp_path)


def test_a_label_file_with_a_line_twice_is_refused(tmp_path: Path) -> None:
    file = write_labels(tmp_path, "random", "yes")
    file.write_text(file.read_text() * 2)
    with pytest.raises(FormatError, match=r"random\.json:2: the id 'pope-random-1'"):
        tasks("pope", tmp_path)
