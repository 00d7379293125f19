"""RefCOCO as lmms-lab and VLMEvalKit publish it.

The columns of the parquet files are those of the card of lmms-lab/RefCOCO, the row of the TSV that
of issue 1330 of VLMEvalKit, whose reader is vlmeval/dataset/refcoco.py.
"""

import base64
import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from building import RECORD, a_task, a_trajectory, a_turn, plain, played
from PIL import Image as PILImage

from saccade.bench import BENCHMARKS
from saccade.bench.benchmark import Scored
from saccade.bench.scorers.boxes import read_box
from saccade.bench.scoring import BenchReward, rule_verdict
from saccade.bench.sets.boxes.refcoco import RefCoco, RefCocoG, RefCocoPlus
from saccade.bench.source import BenchTasks
from saccade.config import Part
from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import FormatError
from saccade.images.geometry import Box, CoordSpace, PixelBudget
from saccade.measures.intervals import wilson
from saccade.rewards import RewardOptions
from saccade.types import TargetBox, Task

PIXELS = 10**8


def jpeg(width: int = 640, height: int = 480) -> bytes:
    buffer = io.BytesIO()
    PILImage.new("RGB", (width, height), "navy").save(buffer, "JPEG")
    return buffer.getvalue()


def row(**changes: object) -> dict[str, object]:
    return {
        "question_id": "1719310",
        "image": {"bytes": jpeg(), "path": "COCO_train2014_000000581857.jpg"},
        "question": "Provide a short description for this region.",
        "answer": ["the lady with the blue shirt", "lady in blue"],
        "segmentation": [100.0, 100.0, 300.0, 100.0, 300.0, 300.0],
        "bbox": [100.0, 100.0, 200.0, 200.0],
        "iscrowd": 0,
        "file_name": "COCO_train2014_000000581857_16.jpg",
    } | changes


def write(folder: Path, *rows: dict[str, object], name: str = "testA-00000-of-00001") -> Path:
    (folder / "data").mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "data" / f"{name}.parquet")
    return folder


def write_tsv(folder: Path, *rows: tuple[str, str, str, str, str]) -> Path:
    path = folder / "RefCOCO.tsv"
    with path.open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(["index", "image", "question", "answer", "category"])
        table.writerows(rows)
    return path


def tasks(place: Path, kind: str = "refcoco", **options: object) -> list[Task]:
    part = Part.model_validate({"kind": kind, **options})
    return [*BenchTasks(benchmark=part, data=place).tasks(seed=0, max_pixels=PIXELS)]


def boxed(*sides: float) -> Task:
    """A photograph of 640x480 with a true box, (100, 100, 300, 300) if none is given."""
    target = TargetBox(box=Box(*(sides or (100, 100, 300, 300))))
    return a_task(plain(640, 480), "Where?", answer="a box", boxes=(target,))


async def judged(task: Task, answer: str, **environment: object) -> tuple[bool | None, float]:
    played_in = Environment(DeepEyes(), **environment)  # type: ignore[arg-type]
    trajectory = await played(f"<answer>{answer}</answer>", task=task, environment=played_in)
    verdict = await RefCoco().judge_episode(task, trajectory)
    return verdict.correct, verdict.grade or 0.0


def test_each_expression_is_a_question_and_those_of_an_object_are_one_unit(tmp_path: Path) -> None:
    first, second = tasks(write(tmp_path, row()))
    assert "the lady with the blue shirt" in first.question
    assert "lady in blue" in second.question
    assert first.boxes[0].box == (100, 100, 300, 300)
    assert (first.family, first.answer) == ("testA", "[100, 100, 300, 300]")
    assert first.id != second.id
    assert first.meta["unit"] == second.meta["unit"]


def test_a_split_is_asked_alone(tmp_path: Path) -> None:
    write(tmp_path, row(), name="val-00000-of-00004")
    write(tmp_path, row(question_id="2"), name="test-00000-of-00002")
    write(tmp_path, row(question_id="3"), name="train-00000-of-00002")
    assert {task.family for task in tasks(tmp_path)} == {"val", "test"}
    assert {task.family for task in tasks(tmp_path, split="test")} == {"test"}


def test_the_tsv_holds_three_sets_and_shares_of_the_sides(tmp_path: Path) -> None:
    packed = base64.b64encode(jpeg()).decode()
    question = "Please provide the bounding box coordinate: <ref>man in black</ref>"
    box = "[0.125000, 0.250000, 0.500000, 0.750000]"
    path = write_tsv(
        tmp_path,
        ("118", packed, question, box, "RefCOCO val"),
        ("119", packed, question, box, "RefCOCO+ test-A"),
        ("120", "119", question, box, "RefCOCOg test"),
    )
    (plus,) = tasks(path, "refcoco_plus")
    assert (plus.family, plus.id) == ("testA", "refcoco_plus-testA-119")
    assert plus.boxes[0].box == (80, 120, 320, 360)
    assert "man in black" in plus.question
    assert "<ref>" not in plus.question
    assert [task.family for task in tasks(path)] == ["val"]
    (longer,) = tasks(path, "refcocog")
    assert longer.images[0].size == (640, 480), "an image may be that of an earlier row"


def test_an_object_that_two_partitions_share_comes_twice_in_val(tmp_path: Path) -> None:
    write(tmp_path, row(), row(), name="val-00000-of-00001")
    assert len({task.id for task in tasks(tmp_path)}) == 4
    other = row(bbox=[1.0, 1.0, 5.0, 5.0])
    with pytest.raises(FormatError, match=r"val.*row 1: the id .*row 0"):
        tasks(write(tmp_path, row(), other, name="val-00000-of-00001"))


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([row(), row()], r"testA.*row 1: the id 'refcoco-testA-1719310-1' is that of .*row 0"),
        ([row(bbox=None)], r"row 0: bbox: expected four numbers"),
        ([row(bbox=[700.0, 1.0, 5.0, 5.0])], r"row 0: box .* is not on the image of 640x480"),
        ([row(image={"bytes": b"no image", "path": None})], r"row 0: image"),
        ([row(answer=[" "])], r"row 0: answer \(or question\): no expression"),
        ([{"question_id": "1", "bbox": [1.0, 1.0, 5.0, 5.0]}], r"row 0: image"),
    ],
)
def test_a_mistake_names_file_and_row(
    tmp_path: Path, rows: list[dict[str, object]], wanted: str
) -> None:
    with pytest.raises(FormatError, match=wanted):
        tasks(write(tmp_path, *rows))


@pytest.mark.parametrize(
    ("answer", "box"),
    [
        ("[10, 20, 30, 40]", (10, 20, 30, 40)),
        ('```json\n[{"bbox_2d": [10, 20, 30, 40], "label": "kite"}]\n```', (10, 20, 30, 40)),
        ("<box>(10,20),(30,40)</box>", (10, 20, 30, 40)),
        ("[[10, 20], [30, 40]]", (10, 20, 30, 40)),
        ('{"x1": 10, "y1": 20, "x2": 30, "y2": 40}', (10, 20, 30, 40)),
        ("10.5 20 30 40", (10.5, 20, 30, 40)),
        ("[30, 40, 10, 20]", (10, 20, 30, 40)),
        ("(0.1, .2, 0.3, 0.4). Again: (0.1, .2, 0.3, 0.4)", (0.1, 0.2, 0.3, 0.4)),
        ("-5, 20, 30, 40", (-5, 20, 30, 40)),
    ],
)
def test_a_box_is_read_in_the_forms_that_models_write(
    answer: str, box: tuple[float, float, float, float]
) -> None:
    assert read_box(answer).box == box


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("The kite is on the left.", "it names no box"),
        ("There are 2 kites and 3 birds, 1 of 4 is red, 5 is blue.", "it names no box"),
        ("[1, 2, 3, 4] or [5, 6, 7, 8]", "it names 2 boxes"),
        ("[10, 20, 10, 40]", "its box is empty"),
        ("[" * 9000 + "1, " * 3000, "it names no box"),
    ],
)
def test_an_answer_without_one_box_is_wrong_for_a_reason(answer: str, reason: str) -> None:
    assert read_box(answer) == (None, reason)


@pytest.mark.parametrize(
    ("coords", "answer"),
    [
        (CoordSpace.ABSOLUTE, "[100, 100, 300, 300]"),
        (CoordSpace.RELATIVE_1000, "[156.25, 208.33333, 468.75, 625]"),
        (CoordSpace.RELATIVE_1, "[0.15625, 0.20833333, 0.46875, 0.625]"),
    ],
)
async def test_a_box_is_read_in_the_frame_of_the_run(coords: CoordSpace, answer: str) -> None:
    as_it_is = PixelBudget(factor=1, max_pixels=PIXELS)
    correct, iou = await judged(boxed(), answer, coords=coords, view=as_it_is)
    assert (correct, iou) == (True, pytest.approx(1, abs=1e-6))


async def test_pixels_are_those_of_the_image_as_shown() -> None:
    half = PixelBudget(factor=1, max_pixels=320 * 240)
    correct, iou = await judged(boxed(), "[50, 50, 150, 150]", view=half)
    assert (correct, iou) == (True, pytest.approx(1))
    assert (await judged(boxed(), "[100, 100, 300, 300]", view=half))[0] is False


async def test_what_overhangs_the_image_is_cut_and_what_lies_outside_is_wrong() -> None:
    task = boxed(600, 400, 640, 480)
    as_it_is = PixelBudget(factor=1, max_pixels=PIXELS)
    assert (await judged(task, "[600, 400, 900, 900]", view=as_it_is)) == (True, 1.0)
    assert (await judged(task, "[700, 500, 900, 900]", view=as_it_is)) == (False, 0.0)


async def test_a_640x480_box_in_pixels_is_a_hit_here_and_scaled_wrongly_in_vlmevalkit() -> None:
    """`_to_absolute` of vlmeval/dataset/refcoco.py divides all numbers up to 1000 by 1000."""
    answer = "[100, 100, 300, 300]"
    assert (await RefCoco().judge(boxed(), answer)).correct is True
    theirs = RefCoco().compat(boxed(), answer)
    assert theirs == pytest.approx(0.0839, abs=1e-4)  # (64, 48, 192, 144) and (100, 100, 300, 300)


@pytest.mark.parametrize("made", [RefCoco, RefCocoPlus, RefCocoG])
async def test_each_difference_from_vlmevalkit_is_as_it_says(made: type[RefCoco]) -> None:
    assert made.differences
    for one in made.differences:
        assert (await made().judge(one.task, one.reply)).correct is one.ours
        assert made().compat(one.task, one.reply) == pytest.approx(one.theirs, abs=1e-5)


async def test_the_reward_of_a_run_knows_what_was_shown() -> None:
    """The rule is noted beside the verdict, and both come from the episode."""
    task = boxed().model_copy(update={"judge": "benchmark"})
    reward = BenchReward(RefCoco(), RewardOptions(preset="benchmark"))
    environment = Environment(DeepEyes(), coords=CoordSpace.RELATIVE_1)
    text = "<answer>[0.15625, 0.20833333, 0.46875, 0.625]</answer>"
    scored = await reward.apply(task, await played(text, task=task, environment=environment))
    assert scored.verdict is not None
    assert scored.verdict == rule_verdict(scored)
    assert scored.verdict.correct
    assert scored.verdict.judge == "iou>=0.5:relative_1"
    await reward.close()


def test_accuracy_and_mean_iou_by_split() -> None:
    """By hand: IoUs 1, 0.5, 0.2 of two objects; two of three are hits."""
    meta = [("val", "a"), ("val", "a"), ("testA", "b")]
    made = [boxed().model_copy(update={"meta": {"family": f, "unit": u}}) for f, u in meta]
    scored = [
        Scored(task, a_trajectory(a_turn(answer="x"), environment=RECORD), value)
        for task, value in zip(made, (1.0, 0.5, 0.2), strict=True)
    ]
    found = {(m.name, m.group): m for m in RefCoco().metrics(scored)}
    assert found["Acc@0.5", "all"].value == pytest.approx(2 / 3)
    assert (found["Acc@0.5", "all"].n, found["Acc@0.5", "all"].units) == (3, 2)
    assert found["mean IoU", "all"].value == pytest.approx(1.7 / 3)
    assert found["mean IoU", "val"].value == pytest.approx(0.75)
    assert found["mean IoU", "all"].method == "wilson"
    one = found["Acc@0.5", "testA"]
    assert (one.value, one.method) == (0, "wilson")
    assert (one.low, one.high) == pytest.approx(wilson(0, 1))


def test_they_are_in_the_table() -> None:
    for kind in ("refcoco", "refcoco_plus", "refcocog"):
        assert BENCHMARKS[kind].startswith("saccade.bench.sets.boxes.refcoco:")
