"""Tasks in a JSON Lines file with images beside it: the format for data of your own.

One object a line; only `question` is required:

    {"id": "mug", "images": ["mug.jpg"], "question": "What is printed on the mug?",
     "choices": ["CVPR", "SIGGRAPH"], "answer": "SIGGRAPH",
     "boxes": [{"box": [2053, 1368, 2312, 1620], "image": 1}], "meta": {"split": "test"}}

Image paths are relative to the file and may not leave its folder. Boxes are xyxy pixels of the
image file. Without `id` a row is called after its line number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field, JsonValue, ValidationError

from saccade.config import explain
from saccade.errors import FormatError, ImageError
from saccade.files import read_lines, write_whole
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.images.image import Image
from saccade.types import Record, TargetBox, Task

MAX_LINE_BYTES = 2**20


class TaskRow(Record):
    """A line of the file."""

    id: str | None = None
    images: tuple[str, ...] = ()
    question: str = Field(min_length=1)
    choices: tuple[str, ...] = ()
    answer: str | None = None
    boxes: tuple[TargetBox, ...] = ()
    judge: str | None = None
    meta: dict[str, JsonValue] = Field(default_factory=dict)


def read_tasks(path: Path, *, max_pixels: int = MAX_SOURCE_PIXELS) -> Iterator[Task]:
    """The tasks of a JSON Lines file, one by one.

    Args:
        path: The file; image paths in it are relative to its folder.
        max_pixels: Larger images are refused.

    Raises:
        FormatError: names file and line of the first row that cannot be used.
    """
    for number, row in read_rows(path):
        yield _task(row, path, number, max_pixels)


def read_rows(path: Path) -> Iterator[tuple[int, TaskRow]]:
    """The lines of a file with their numbers, blank ones left out; no image is opened.

    Raises:
        FormatError: names file and line of the first row that cannot be used.
    """
    for number, line in read_lines(path, most=MAX_LINE_BYTES):
        if line.strip():
            try:
                yield number, TaskRow.model_validate_json(line)
            except ValidationError as error:
                raise FormatError(f"{path}:{number}: {explain(TaskRow, error)[0]}") from error


def count_rows(path: Path) -> int:
    """How many rows a file has, blank lines aside; rows that cannot be used count too.

    Raises:
        FormatError: the file cannot be read, or has a line that is too long.
    """
    return sum(bool(line.strip()) for _, line in read_lines(path, most=MAX_LINE_BYTES))


def write_tasks(tasks: Iterable[Task], folder: Path) -> Path:
    """Write `tasks.jsonl` with its images beside it; `read_tasks` gives the same tasks.

    The order of text and images within a question is not kept: images come first.

    Raises:
        StoreError: the folder cannot be written.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for task in tasks:
        for image in task.images:
            file = folder / "images" / image.source.name
            if not file.exists():
                write_whole(file, image.source.encoded())
        row = TaskRow(
            id=task.id,
            images=tuple(f"images/{image.source.name}" for image in task.images),
            question=task.question,
            choices=task.choices,
            answer=task.answer,
            boxes=task.boxes,
            judge=task.judge,
            meta=task.meta,
        )
        lines.append(row.model_dump_json(exclude_defaults=True) + "\n")
    write_whole(folder / "tasks.jsonl", "".join(lines).encode())
    return folder / "tasks.jsonl"


def _task(row: TaskRow, path: Path, number: int, max_pixels: int) -> Task:
    where = f"{path}:{number}"
    images = tuple(_image(name, path, where, max_pixels) for name in row.images)
    for target in row.boxes:
        if target.image > len(images):
            raise FormatError(f"{where}: a box on image {target.image} of {len(images)}")
    try:
        return Task(
            id=row.id or f"{path.stem}-{number}",
            prompt=(*images, row.question),
            answer=row.answer,
            choices=row.choices,
            boxes=row.boxes,
            judge=row.judge,
            source=path.name,
            meta=row.meta,
        )
    except ValidationError as error:
        raise FormatError(f"{where}: {explain(Task, error)[0]}") from error


def _image(name: str, path: Path, where: str, max_pixels: int) -> Image:
    folder = path.parent.resolve()
    file = (folder / name).resolve()
    if not file.is_relative_to(folder):
        raise FormatError(f"{where}: image {name!r} lies outside the folder of the file")
    try:
        return Image.open(file, max_pixels=max_pixels)
    except ImageError as error:
        raise FormatError(f"{where}: {error}") from error
