"""TreeBench. Format: vlmeval/dataset/image_mcq.py (`TreeBench`); TreeVGR's inference script."""

from pathlib import Path

import pytest
from building import RECORD, a_trajectory, a_turn
from tables import packed, scored, tasks, values, write_tsv

from saccade.bench.benchmark import Scored
from saccade.bench.sets.highres.treebench import TreeBench, box_iou
from saccade.errors import FormatError
from saccade.images.geometry import CoordSpace
from saccade.types import Completion, Message, StopReason, Task, Trajectory


def row(index: int, **fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "image": packed(200, 100), "question": "Which?", "A": "red", "B": "blue", "C": "", "D": "",
        "multi-choice options": "A. red\nB. blue", "answer": "B",
        "category": "Perception/Attributes", "target_instances": "[[0, 0, 100, 50]]",
    }  # fmt: skip
    return {"index": index, **usual, **fields}


def one(tmp_path: Path, **fields: object) -> Task:
    (task,) = tasks("treebench", write_tsv(tmp_path / "TreeBench.tsv", row(0, **fields)))
    return task


def reasoned(task: Task, *texts: str, frame: CoordSpace = CoordSpace.ABSOLUTE) -> Trajectory:
    """An episode that was shown the image at half its size, and wrote these turns."""
    image = task.images[0]
    shown = type(image)(image.source, image.region, type(image.size)(100, 50))
    record = RECORD.model_copy(update={"coords": frame})
    prompt = (Message(role="user", content=(shown, "Which?")),)
    turns = [a_turn(text=text, answer="B") for text in texts]
    return a_trajectory(*turns, prompt=prompt, environment=record)


def test_boxes_are_true_boxes_of_the_file(tmp_path: Path) -> None:
    task = one(tmp_path, target_instances="[[10, 20, 30, 40], [5.5, 1, 250, 90]]")
    assert [target.box for target in task.boxes] == [(10, 20, 30, 40), (5.5, 1, 200, 90)]
    assert task.choices == ("red", "blue")


def test_boxes_are_read_as_the_image_was_shown_and_compared_in_the_file(tmp_path: Path) -> None:
    """The target is the upper left quarter; shown at half size, that is [0, 0, 50, 25]."""
    task = one(tmp_path)
    assert box_iou(task, reasoned(task, "It is <box>[0,0,50,25]</box>")) == 1.0
    assert box_iou(task, reasoned(task, "<box>[0, 0, 100.0, 25]</box>")) == pytest.approx(0.5)
    thousand = reasoned(task, "<box>[0,0,500,500]</box>", frame=CoordSpace.RELATIVE_1000)
    assert box_iou(task, thousand) == 1.0
    parts = reasoned(task, "<box>[0,0,0.5,0.5]</box>", frame=CoordSpace.RELATIVE_1)
    assert box_iou(task, parts) == 1.0


def test_the_best_box_of_any_turn_counts_for_each_target(tmp_path: Path) -> None:
    task = one(tmp_path, target_instances="[[0, 0, 100, 50], [100, 50, 200, 100]]")
    turns = ("<box>[0,0,50,25]</box>", "no <box>[9,9,1,1]</box> <box>[50,25,75,50]</box>")
    assert box_iou(task, reasoned(task, *turns)) == pytest.approx((1.0 + 0.5) / 2)
    assert box_iou(task, reasoned(task, "no box")) == 0.0


def test_a_thought_in_a_field_of_its_own_is_read(tmp_path: Path) -> None:
    task = one(tmp_path)
    held = reasoned(task, "B")
    thought = Completion(text="B", thought="<box>[0,0,50,25]</box>")
    turn = held.turns[0].model_copy(update={"completion": thought})
    assert box_iou(task, held.model_copy(update={"turns": (turn,)})) == 1.0


def test_what_failed_on_our_side_or_has_no_target_is_in_no_mean(tmp_path: Path) -> None:
    task = one(tmp_path)
    lost = reasoned(task, "<box>[0,0,50,25]</box>")
    assert box_iou(task, lost.model_copy(update={"stop": StopReason.ABORTED})) is None
    bare = one(tmp_path, target_instances="[]")
    assert box_iou(bare, reasoned(bare, "<box>[0,0,50,25]</box>")) is None


def test_accuracy_and_miou_are_by_group(tmp_path: Path) -> None:
    rows = [row(0), row(1), row(2, category="Reasoning/Comparison")]
    asked = tasks("treebench", write_tsv(tmp_path / "TreeBench.tsv", *rows))
    texts = ["<box>[0,0,50,25]</box>", "no box", "<box>[0,0,100,25]</box>"]
    held = [
        Scored(task, reasoned(task, text), value)
        for task, text, value in zip(asked, texts, (1.0, 0.0, None), strict=True)
    ]
    found = values(TreeBench(), held)
    assert found["accuracy", "all"] == pytest.approx(1 / 2)
    assert found["mIoU", "all"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert found["mIoU", "Perception/Attributes"] == pytest.approx(1 / 2)
    assert found["mIoU", "Reasoning"] == pytest.approx(1 / 2)
    assert ("accuracy", "Reasoning") not in found


def test_a_score_without_an_episode_of_boxes_has_accuracy_alone(tmp_path: Path) -> None:
    found = values(TreeBench(), [scored(one(tmp_path), 1.0, stop=StopReason.TIMEOUT)])
    assert {name for name, _ in found} == {"accuracy"}


@pytest.mark.parametrize("text", ["none", "[[1, 2, 3]]", "[['a', 1, 2, 3]]", "{'x': 1}"])
def test_targets_that_are_no_boxes_name_file_and_row(tmp_path: Path, text: str) -> None:
    with pytest.raises(FormatError, match=r"TreeBench\.tsv: row 0: target_instances: expected"):
        one(tmp_path, target_instances=text)


def test_a_file_without_targets_says_so(tmp_path: Path) -> None:
    held = row(0)
    held.pop("target_instances")
    with pytest.raises(FormatError, match=r"row 0: target_instances: this column is missing"):
        tasks("treebench", write_tsv(tmp_path / "TreeBench.tsv", held))
