"""Twelve questions about ten photographs. Format: `questions.json` of the shared data."""

import json
from pathlib import Path

import pytest
from photos import write_photos
from PIL import Image as PILImage

from saccade.bench.sets.own.vstar_mini import OURS, PHOTOGRAPHS, VStarMini
from saccade.bench.source import BenchTasks
from saccade.config import Part
from saccade.errors import ConfigError, FormatError
from saccade.types import Task


def tasks(folder: Path, **options: object) -> list[Task]:
    source = BenchTasks(benchmark=Part(kind="vstar_mini"), data=folder, **options)  # type: ignore[arg-type]
    return [*source.tasks(seed=0, max_pixels=10**8)]


def changed(folder: Path, **changes: object) -> Path:
    file = write_photos(folder, 2) / "questions.json"
    rows = json.loads(file.read_text())
    rows[1] |= changes
    file.write_text(json.dumps(rows))
    return folder


def test_questions_have_options_boxes_and_groups(tmp_path: Path) -> None:
    first, second = tasks(write_photos(tmp_path / "d", 2), order="file")
    assert (first.answer, first.choices[1]) == ("B. HARBOR", "HARBOR")
    assert first.boxes[0].box == (10, 12, 30, 24)
    assert (first.family, second.family) == ("relative_position", "direct_attributes")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answer_index": 3}, r"row 1: answer_index: 3 of 3 options"),
        ({"answer_index": None}, r"row 1: answer_index"),
        ({"id": "q00"}, r"row 1: the id 'q00' is that of .*row 0 already"),
        ({"image": "images/9.jpg"}, r"row 1.*9\.jpg"),
        ({"image": "../../../etc/passwd"}, r"row 1.*image"),
        ({"bbox": [900, 900, 950, 950]}, r"row 1: box .* is not on the image of 64x48"),
        ({"options": ["one"]}, r"row 1: options"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(FormatError, match=rf"questions\.json: {said}"):
        tasks(changed(tmp_path / "d", **changes))


def test_without_the_photographs_it_is_said_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SACCADE_DATA", str(tmp_path))
    source = BenchTasks(benchmark=Part(kind="vstar_mini"))
    said = r"not on this machine\n.*github\.com/penghao-wu/vstar.*\n.*\n.*data=PATH.*photographs"
    with pytest.raises(ConfigError, match=said):
        source.ids(0)
    write_photos(tmp_path / "vstar_mini", 1)
    assert source.ids(0) == ["q00"]


@pytest.mark.parametrize("inside", ["", "images"])
def test_the_questions_are_in_the_package(tmp_path: Path, inside: str) -> None:
    folder = tmp_path / inside
    folder.mkdir(exist_ok=True)
    names = [name for group in PHOTOGRAPHS.values() for name in group]
    for name in names:
        (folder / name).touch()
    PILImage.new("L", (2400, 1700)).save(folder / "blackmug.JPG", "jpeg", quality=1)
    first, *others = VStarMini().items(tmp_path)
    assert [item.id for item in others] == [f"vm-{number:02d}" for number in range(2, 13)]
    task = first.make(10**8)
    assert (task.answer, task.boxes[0].box) == ("A. SIGGRAPH", (2053, 1368, 2312, 1620))
    (folder / "nba.png").unlink()
    with pytest.raises(FormatError, match=r"1 are missing: nba\.png; they are published in https"):
        next(VStarMini().items(tmp_path))


def test_the_packaged_questions_are_those_of_the_data_set(shared_data: Path) -> None:
    held = json.loads((shared_data / "vstar_mini" / "questions.json").read_text())
    for ours, theirs in zip(json.loads(OURS.read_text()), held, strict=True):
        assert all(ours[key] == theirs[key] for key in set(ours) - {"image"})
        assert theirs["image"] == f"images/{ours['image']}"


def test_the_real_photographs_are_read(shared_data: Path) -> None:
    asked = tasks(shared_data / "vstar_mini")
    assert len(asked) == 12
    assert max(task.images[0].size.area for task in asked) > 2e7
    assert all(len(task.boxes) == 1 and task.answer for task in asked)
