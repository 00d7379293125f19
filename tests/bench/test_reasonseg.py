"""ReasonSeg as its authors publish it: README, utils/data_processing.py of dvlab-research/LISA."""

import json
from pathlib import Path

import pytest
from building import a_trajectory, a_turn
from PIL import Image as PILImage

from saccade.bench.benchmark import Scored
from saccade.bench.sets.boxes.reasonseg import ReasonSeg
from saccade.bench.source import BenchTasks
from saccade.config import Part
from saccade.errors import FormatError
from saccade.types import Task

SQUARE = [[10.7, 20.2], [40, 20], [40, 60], [10, 60]]


def write(folder: Path, name: str = "val/1_1", **changes: object) -> Path:
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.new("RGB", (120, 80), "white").save(path.with_suffix(".jpg"))
    row = {
        "text": ["the thing that keeps the rain off", "what would you open in the rain?"],
        "is_sentence": False,
        "shapes": [{"label": "target", "points": SQUARE, "image_name": "1_1.jpg"}],
    }
    path.write_text(json.dumps(row | changes))
    return folder


def shape(label: str, x1: int, y1: int, x2: int, y2: int) -> dict[str, object]:
    return {"label": label, "points": [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]}


def tasks(place: Path, **options: object) -> list[Task]:
    part = Part.model_validate({"kind": "reasonseg", **options})
    return [*BenchTasks(benchmark=part, data=place).tasks(seed=0, max_pixels=10**8)]


def test_the_box_holds_all_pixels_of_the_drawn_polygon(tmp_path: Path) -> None:
    """cv2 draws whole pixels with the outline: columns 10 to 40, rows 20 to 60."""
    (task,) = tasks(write(tmp_path))
    assert task.boxes[0].box == (10, 20, 41, 61)
    assert task.answer == "[10, 20, 41, 61]"
    assert "the thing that keeps the rain off" in task.question
    assert (task.family, task.meta["query"]) == ("val", "short query")


def test_several_targets_have_one_box_and_what_overlaps_is_drawn_in_order_of_size(
    tmp_path: Path,
) -> None:
    """A small ignored part over a target hides it; a large one under a target does not."""
    both = [shape("target", 10, 10, 20, 20), shape("target", 60, 40, 70, 50)]
    (task,) = tasks(write(tmp_path / "a", shapes=both))
    assert task.boxes[0].box == (10, 10, 71, 51)
    hidden = [*both, shape("ignore", 58, 38, 72, 52), shape("ignore_hard", 0, 0, 119, 79)]
    (task,) = tasks(write(tmp_path / "b", shapes=hidden))
    assert task.boxes[0].box == (10, 10, 71, 51), "smaller shapes are drawn over larger ones"
    cut = [shape("target", 10, 10, 70, 50), shape("ignore", 10, 10, 20, 50)]
    (task,) = tasks(write(tmp_path / "c", shapes=[*cut, shape("flag", 0, 0, 119, 79)]))
    assert task.boxes[0].box == (21, 10, 71, 51)


def test_the_first_text_is_asked_and_all_of_them_are_one_unit(tmp_path: Path) -> None:
    write(tmp_path)
    assert len(tasks(tmp_path)) == 1
    several = tasks(tmp_path, texts="all")
    assert len({task.id for task in several}) == 2
    assert len({task.meta["unit"] for task in several}) == 1


def test_training_images_are_asked_only_where_they_are_named(tmp_path: Path) -> None:
    for name in ("train/1_1", "val/2_1", "test/3_1"):
        write(tmp_path, name)
    (tmp_path / "explanatory").mkdir()
    (tmp_path / "explanatory" / "train.json").write_text("[]")
    assert {task.family for task in tasks(tmp_path)} == {"val", "test"}
    assert {task.family for task in tasks(tmp_path, split="train")} == {"train"}


def test_files_in_the_encoding_of_windows_are_read_as_by_the_authors(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "val" / "1_1.json"
    row = json.loads(path.read_text()) | {"text": ["the shop\u2019s door"]}
    path.write_bytes(json.dumps(row, ensure_ascii=False).encode("cp1252"))
    (task,) = tasks(tmp_path)
    assert "the shop\u2019s door" in task.question


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"shapes": [shape("ignore", 1, 1, 9, 9)]}, r"1_1\.json: shapes: no pixel of a target"),
        ({"shapes": [shape("target", 500, 500, 600, 600)]}, r"1_1\.json: shapes: no pixel"),
        ({"text": []}, r"1_1\.json: .*text"),
        ({"shapes": None}, r"1_1\.json: .*shapes"),
        ({"shapes": [{"label": "target", "points": [[float("nan"), 1]]}]}, r"1_1\.json: .*points"),
    ],
)
def test_a_mistake_names_the_file(tmp_path: Path, changes: dict[str, object], wanted: str) -> None:
    with pytest.raises(FormatError, match=wanted):
        tasks(write(tmp_path, **changes))


def test_a_missing_or_broken_photograph_names_the_file(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "val" / "1_1.jpg").write_bytes(b"no image")
    with pytest.raises(FormatError, match=r"1_1\.json"):
        tasks(tmp_path)
    (tmp_path / "val" / "1_1.jpg").unlink()
    with pytest.raises(FormatError, match=r"1_1\.json"):
        tasks(tmp_path)


def test_giou_is_a_mean_and_ciou_is_of_summed_areas(tmp_path: Path) -> None:
    """By hand: a box of 1000 px that is hit exactly, and one of 100 px of which half is hit.

    gIoU = (1 + 0.5) / 2; cIoU = (1000 + 50) / (1000 + 100); one without a box adds to the union.
    """
    write(tmp_path, "test/1", shapes=[shape("target", 0, 0, 39, 24)], is_sentence=True)
    write(tmp_path, "test/2", shapes=[shape("target", 0, 0, 9, 9)])
    write(tmp_path, "test/3", shapes=[shape("target", 0, 0, 9, 9)])
    made = tasks(tmp_path)
    answers = ("[0, 0, 40, 25]", "[0, 0, 5, 10]", "nothing")
    values = (1.0, 0.5, 0.0)
    scored = [
        Scored(task, a_trajectory(a_turn(answer=answer), prompt=()), value)
        for task, answer, value in zip(made, answers, values, strict=True)
    ]
    found = {(m.name, m.group): m for m in ReasonSeg().metrics(scored[:2])}
    assert found["gIoU", "all"].value == pytest.approx(0.75)
    assert found["cIoU", "all"].value == pytest.approx(1050 / 1100)
    assert found["Acc@0.5", "all"].value == 1
    assert found["gIoU", "long query"].value == 1
    assert found["gIoU", "short query"].value == 0.5
    whole = {m.name: m for m in ReasonSeg().metrics(scored) if m.group == "all"}["cIoU"]
    assert whole.value == pytest.approx(1050 / 1200)
    assert whole.low is not None
    assert whole.high is not None
    assert whole.low <= 1050 / 1200 <= whole.high
    assert (whole.n, whole.units, whole.method) == (3, 3, "bootstrap")


async def test_the_verdict_is_the_iou_of_boxes(tmp_path: Path) -> None:
    (task,) = tasks(write(tmp_path, shapes=[shape("target", 0, 0, 9, 9)]))
    verdict = await ReasonSeg().judge(task, "[0, 0, 10, 40]")
    assert (verdict.correct, verdict.grade) == (False, 0.25)
