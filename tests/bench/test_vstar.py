"""V*Bench in its own files. Format: penghao-wu/vstar, vstar_bench_eval.py (commit of 2024-02)."""

import json
from pathlib import Path

import pytest
from PIL import Image as PILImage

from saccade.bench.sets.highres.vstar import VStar
from saccade.bench.source import BenchTasks
from saccade.config import Part
from saccade.errors import FormatError
from saccade.types import Task

PIXELS = 10**8


def write(folder: Path, name: str, **changes: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    PILImage.new("RGB", (120, 80), "white").save(folder / f"{name}.jpg")
    row = {
        "target_object": ["glove"],
        "bbox": [[10, 20, 30, 40]],
        "question": "What is the colour of the glove?",
        "options": ["It is blue.", "It is red.", "It is white."],
    }
    (folder / f"{name}.json").write_text(json.dumps(row | changes))


def tasks(folder: Path, **options: object) -> list[Task]:
    source = BenchTasks(benchmark=Part(kind="vstar"), data=folder, **options)  # type: ignore[arg-type]
    return [*source.tasks(seed=0, max_pixels=PIXELS)]


def test_the_first_option_is_right_and_boxes_have_two_corners(tmp_path: Path) -> None:
    write(tmp_path / "direct_attributes", "sa_1")
    (task,) = tasks(tmp_path, order="file")
    assert task.answer == "A. It is blue."
    assert task.boxes[0].box == (10, 20, 40, 60)
    assert task.boxes[0].label == "glove"
    assert task.family == "direct_attributes"


def test_options_are_moved_by_a_hash_and_the_record_says_from_where(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / "relative_position", f"sa_{number}")
    shown = tasks(tmp_path)
    letters = {(task.answer or "")[0] for task in shown}
    assert letters == {"A", "B", "C"}
    for task in shown:
        order = task.meta["order"]
        assert isinstance(order, list)
        assert order[ord((task.answer or "")[0]) - 65] == 0


def test_a_missing_column_names_the_file(tmp_path: Path) -> None:
    write(tmp_path / "direct_attributes", "sa_1", question="")
    with pytest.raises(FormatError, match=r"sa_1\.json.*question"):
        tasks(tmp_path)


def test_a_missing_photograph_names_the_file(tmp_path: Path) -> None:
    write(tmp_path / "direct_attributes", "sa_1")
    (tmp_path / "direct_attributes" / "sa_1.jpg").unlink()
    with pytest.raises(FormatError, match=r"sa_1\.json"):
        tasks(tmp_path)


def test_n_items_are_among_those_of_a_larger_number(tmp_path: Path) -> None:
    for number in range(9):
        write(tmp_path / "relative_position", f"sa_{number}")
    few, more = ({t.id for t in tasks(tmp_path, n=n)} for n in (3, 6))
    assert len(few) == 3
    assert few < more


def test_shards_are_disjoint_and_together_everything(tmp_path: Path) -> None:
    for number in range(9):
        write(tmp_path / "relative_position", f"sa_{number}")
    parts = [{t.id for t in tasks(tmp_path, shard=f"{k}/3")} for k in (1, 2, 3)]
    assert set.union(*parts) == {t.id for t in tasks(tmp_path)}
    assert sum(map(len, parts)) == 9


def test_its_metadata_is_said() -> None:
    assert VStar.about.items == 191
