"""Tasks in a JSON Lines file with images beside it: the format for data of your own.

One object a line; only `question` is required:

    {"id": "mug", "images": ["mug.jpg"], "question": "What is printed on the mug?",
     "choices": ["CVPR", "SIGGRAPH"], "answer": "SIGGRAPH",
     "boxes": [{"box": [2053, 1368, 2312, 1620], "image": 1}], "meta": {"split": "test"}}

Image paths are relative to the file and may not leave its folder. Images come before the question,
or where it has the mark `<image>`, one for each. Boxes are xyxy pixels of the upright image.
Without `id` a row is called after its line number; no two rows have one id. `source` says where the
question comes from; without it, from the file. The file is UTF-8.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field, JsonValue, ValidationError

from saccade.config import explain
from saccade.errors import FormatError, ImageError
from saccade.files import beside, make_folder, read_lines, read_text_lines, write_whole
from saccade.formats.marks import IMAGE, as_text, check_choices, interleaved, marked
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.images.image import Image
from saccade.types import Record, TargetBox, Task

MAX_LINE_BYTES = 2**20


class TaskRow(Record):
    """A line of the file."""

    id: str | None = None
    images: tuple[str, ...] = ()
    question: str = Field(min_length=1)
    choices: tuple[str, ...] = Field(default=(), max_length=26)
    answer: str | None = None
    boxes: tuple[TargetBox, ...] = ()
    judge: str | None = None
    source: str = ""
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
        FormatError: names file and line of the first row that cannot be used, and of the row whose
            id it repeats.
    """
    lines: dict[str, int] = {}
    for number, line in read_text_lines(path, most=MAX_LINE_BYTES):
        if line.strip():
            row = _row(line.strip(), path, number)
            name = id_of(row, path, number)
            if name in lines:
                raise FormatError(
                    f"{path}:{number}: the id {name!r} is that of {path}:{lines[name]} already; "
                    "each question needs an id of its own"
                )
            lines[name] = number
            yield number, row


def id_of(row: TaskRow, path: Path, number: int) -> str:
    """What the question of a line is called; white space around a name is no part of it."""
    return (row.id or "").strip() or f"{path.stem}-{number}"


def count_rows(path: Path) -> int:
    """How many rows a file has, blank lines aside; rows that cannot be used count too.

    Raises:
        FormatError: the file cannot be read, or has a line that is too long.
    """
    return sum(bool(line.strip()) for _, line in read_lines(path, most=MAX_LINE_BYTES))


def write_tasks(tasks: Iterable[Task], folder: Path) -> Path:
    """Write `tasks.jsonl` with its images beside it; `read_tasks` gives the same tasks.

    Images that stand within a question are written as marks; white space beside them is not kept.

    Raises:
        FormatError: two tasks have one id, or a text shows the mark of an image.
        StoreError: the folder cannot be written.
    """
    make_folder(folder / "images")
    lines: dict[str, str] = {}
    for task in tasks:
        if task.id in lines:
            raise FormatError(f"{folder}: two questions have the id {task.id!r}")
        for image in task.images:
            file = folder / "images" / image.source.name
            if not file.exists():
                write_whole(file, image.source.encoded())
        row = TaskRow(
            id=task.id,
            images=tuple(f"images/{image.source.name}" for image in task.images),
            question=as_text(task.prompt, task.choices, f"{folder}: {task.id}"),
            choices=task.choices,
            answer=task.answer,
            boxes=task.boxes,
            judge=task.judge,
            source=task.source,
            meta=task.meta,
        )
        lines[task.id] = row.model_dump_json(exclude_defaults=True) + "\n"
    write_whole(folder / "tasks.jsonl", "".join(lines.values()).encode())
    return folder / "tasks.jsonl"


def _row(line: str, path: Path, number: int) -> TaskRow:
    where = f"{path}:{number}"
    try:
        row = TaskRow.model_validate_json(line)
        json.loads(line, object_pairs_hook=_each_once, parse_float=_number, parse_constant=_number)
    except ValidationError as error:
        mistakes = "; ".join(explain(TaskRow, error)[:3])
        said = mistakes.removeprefix("run file: ").replace("line 1 ", "")
        raise FormatError(f"{where}: {said}{_remedy(line)}") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: {error}") from error
    question = marked(row.question, len(row.images), f"{where}: question")
    if not question.replace(IMAGE, "").strip():
        raise FormatError(f"{where}: question: no text")
    check_choices(row.choices, question, len(row.images), where)
    for target in row.boxes:
        if target.image > len(row.images):
            raise FormatError(f"{where}: a box on image {target.image} of {len(row.images)}")
    return row


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON; of a key that comes twice, parsers keep one value and lose the other."""
    read = dict(pairs)
    if len(read) < len(pairs):
        twice = next(key for key in read if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"{twice}: this key comes twice; keep one of them")
    return read


def _number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number of JSON; leave it out, or write null")
    return number


def _remedy(line: str) -> str:
    """What is to be done about a line that is no row, where its first or last character tells."""
    if line.startswith("["):
        return "; a row is an object on a line: jq -c '.[]' OLD > NEW takes a list apart"
    if line in ("{", "}"):
        return "; a row is an object on one line: jq -c . OLD > NEW brings it there"
    if line.endswith("},"):
        return "; no comma follows a row: leave it out"
    if line.startswith("{'"):
        return "; JSON has double quotes"
    return ""


def _task(row: TaskRow, path: Path, number: int, max_pixels: int) -> Task:
    where = f"{path}:{number}"
    images = tuple(_image(name, path, where, max_pixels) for name in row.images)
    try:
        return Task(
            id=id_of(row, path, number),
            prompt=interleaved(row.question, images, f"{where}: question"),
            answer=row.answer,
            choices=row.choices,
            boxes=row.boxes,
            judge=row.judge,
            source=row.source or path.name,
            meta=row.meta,
        )
    except ValidationError as error:
        raise FormatError(f"{where}: {explain(Task, error)[0]}") from error


def _image(name: str, path: Path, where: str, max_pixels: int) -> Image:
    file = beside(path, name, f"{where}: image")
    try:
        return Image.open(file, name=f"{where}: {name}", max_pixels=max_pixels)
    except ImageError as error:
        raise FormatError(str(error)) from error
