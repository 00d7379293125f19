"""What the readers of benchmarks share: a task from the pieces of a row, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from pydantic import JsonValue, ValidationError

from saccade.config import explain
from saccade.formats.marks import interleaved
from saccade.formats.records import Row
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.rewards.judges import gold_option
from saccade.types import OPTION_LETTERS, TargetBox, Task

MAX_OPTION_CHARS = 10_000


def task_of(
    row: Row,
    name: str,
    source: str,
    question: str,
    images: Sequence[Image],
    *,
    answer: str | None,
    choices: Sequence[str] = (),
    boxes: Sequence[TargetBox] = (),
    family: str = "",
    meta: Mapping[str, JsonValue] | None = None,
    placed: bool = False,
) -> Task:
    """The task of a row: its images, then its question, unless `placed` says where they stand.

    Args:
        row: Where it stands.
        name: What it is called.
        source: The benchmark.
        question: Its text.
        images: What is shown before the text.
        answer: The gold answer; of a question with options its letter, with or without its text.
        choices: The options.
        boxes: Where the asked object is.
        family: The group by which numbers are told apart.
        meta: What scoring and grouping need beside these.
        placed: Whether the images stand where the text has a mark `<image>` for each.

    Raises:
        FormatError: the answer is unknown, or a piece cannot be used; names file and row.
    """
    if not question.strip():
        raise row.wrong("question: no text")
    checked(row, choices)
    known = {"family": family} if family else {}
    prompt = (*images, question.strip())
    if placed:
        prompt = interleaved(question.strip(), images, f"{row.place}: question")
    try:
        task = Task(
            id=name,
            prompt=prompt,
            answer=answer,
            choices=tuple(choices),
            boxes=tuple(boxes),
            source=source,
            meta={**known, **(meta or {})},
        )
    except ValidationError as error:
        raise row.wrong("; ".join(explain(Task, error)[:3])) from error
    if answer is not None and not answer.strip():
        raise row.wrong("answer: empty")
    if task.choices and answer is not None and gold_option(task) is None:
        raise row.wrong(f"answer: {answer[:80]!r} names none of the options for sure")
    return task


def checked(row: Row, choices: Sequence[str]) -> Sequence[str]:
    """The options of a question, as they are.

    Raises:
        FormatError: there are more than letters, or one is too long; names file and row.
    """
    if len(choices) > len(OPTION_LETTERS):
        raise row.wrong(f"options: expected at most {len(OPTION_LETTERS)}, got {len(choices)}")
    if any(len(choice) > MAX_OPTION_CHARS for choice in choices):
        raise row.wrong(f"options: one has more than {MAX_OPTION_CHARS} characters")
    return choices


def boxes_of(
    row: Row,
    boxes: Sequence[Sequence[float]],
    image: Image,
    labels: Sequence[str] = (),
    *,
    number: int = 1,
) -> list[TargetBox]:
    """True boxes on an image of a row.

    Args:
        row: Where they stand.
        boxes: x1, y1, x2, y2 in pixels of the upright image: of a photograph with an EXIF
            orientation as it is shown.
        image: The image.
        labels: What they show, in the same order.
        number: Which image of the task it is, counted from 1.

    Raises:
        FormatError: a box is empty or does not lie on the image; names file and row.
    """
    width, height = image.source.size
    found = []
    for corners, label in zip_longest(boxes, labels, fillvalue=None):
        if corners is None:
            continue
        x1, y1, x2, y2 = map(float, corners)
        # Published boxes overhang by rounding: what is on the image counts.
        box = Box(max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2))
        if box.x1 >= box.x2 or box.y1 >= box.y2:
            raise row.wrong(f"box {list(corners)} is not on the image of {width}x{height}")
        found.append(TargetBox(box=box, image=number, label=str(label or "")))
    return found
