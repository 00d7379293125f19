"""Task files of the user's own: every mistake is named by file and line."""

import json
from pathlib import Path

import pytest
from PIL import Image as PILImage

from saccade.errors import FormatError
from saccade.formats.tasks import count_rows, read_tasks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "data"
    inside.mkdir()
    PILImage.new("RGB", (100, 80)).save(inside / "a.png")
    PILImage.new("RGB", (100, 80)).save(tmp_path / "outside.png")
    (inside / "link.png").symlink_to(tmp_path / "outside.png")
    (inside / "text.png").write_text("no image")
    return inside


def tasks_of(folder: Path, *rows: object) -> list:
    file = folder / "tasks.jsonl"
    file.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n")
    return list(read_tasks(file))


def test_a_row_becomes_a_task(folder: Path) -> None:
    row = {
        "id": "mug", "images": ["a.png"], "question": "What?", "choices": ["x", "y"], "answer": "y",
        "boxes": [{"box": [1, 2, 3, 4]}], "meta": {"split": "test"},
    }  # fmt: skip
    first, second = tasks_of(folder, row, "", {"question": "1 + 1?"})
    assert (first.id, first.question, first.answer, first.source) == (
        "mug",
        "What?",
        "y",
        "tasks.jsonl",
    )
    assert first.images[0].size == (100, 80)
    assert first.boxes[0].box == (1, 2, 3, 4)
    assert (second.id, second.images) == ("tasks-3", ())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{broken", "tasks.jsonl:2"),
        ("[]", "tasks.jsonl:2"),
        ({"images": ["a.png"]}, "tasks.jsonl:2: question"),
        ({"question": "q", "picture": "a.png"}, "tasks.jsonl:2: picture"),
        ({"question": "q", "images": ["../outside.png"]}, "outside the folder"),
        ({"question": "q", "images": ["/etc/hostname"]}, "outside the folder"),
        ({"question": "q", "images": ["link.png"]}, "outside the folder"),
        ({"question": "q", "images": ["none.png"]}, "tasks.jsonl:2: .*cannot be read"),
        ({"question": "q", "images": ["text.png"]}, "tasks.jsonl:2: .*not an image"),
        ({"question": "q", "boxes": [{"box": [1, 2, 3, 4]}]}, "box on image 1 of 0"),
        ({"question": "q", "boxes": [{"box": [1, 2, 3]}]}, "tasks.jsonl:2: boxes"),
        ({"question": "q", "choices": ["x"] * 27}, "tasks.jsonl:2: choices: .*at most 26"),
        ({"question": "q", "id": "x" * 501}, "tasks.jsonl:2: id: .*at most 500"),
        ('{"question": "' + "x" * 2**20 + '"}', "a line of more than"),
    ],
)
def test_a_bad_row_is_named(folder: Path, row: object, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        tasks_of(folder, {"question": "fine"}, row)


def test_rows_are_counted_without_reading_images(folder: Path) -> None:
    tasks_of(folder, {"question": "a"}, "", {"question": "b", "images": ["a.png"]})
    assert count_rows(folder / "tasks.jsonl") == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        list(read_tasks(tmp_path / "none.jsonl"))
