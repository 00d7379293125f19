"""A row in the columns of VLMEvalKit as a task; see `saccade.formats.vlmevalkit` for what a row is.

for row in read_tsv(file):
    yield Item(f"mmstar-{row.id}", row.place, partial(_task, row))

def _task(row, max_pixels):
    return task_of_row(row, "mmstar", family=row.text("category"), max_pixels=max_pixels)
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from saccade.bench.benchmark import Item
from saccade.bench.order import gold_answer
from saccade.bench.parts import boxes_of, task_of
from saccade.formats.found import find_files
from saccade.formats.records import Row
from saccade.formats.vlmevalkit import Span, TsvRow, read_tsv, text_of_cell
from saccade.rewards.text import same_text
from saccade.types import Task

INDEX = "index"
"""Key of `Task.meta`: the index of the row in its file, for predictions that others score."""
LETTERS = "letters"
"""Key of `Task.meta`: the letters of the options in the file, where they are not A, B, C, ..."""
COLUMNS = "columns"
"""Key of `Task.meta`: the short columns that VLMEvalKit's scorers read beside the usual ones."""
MAX_KEPT_CHARS = 300

_NOT_KEPT = re.compile(
    r"index|image|images|image_path|question|prompt|answer|hint|choices|[A-Z]|bytes"
)
_LETTER = re.compile(r"\s*\(?\s*([A-Za-z])\s*\)?\s*[.:)]?\s*")


def rows_in(place: Path, patterns: Sequence[str], what: str) -> Iterator[TsvRow]:
    """The rows of the files of a data set, in the order of their names."""
    for file in find_files(place, patterns, what):
        yield from read_tsv(file)


def items_of(
    rows: Iterator[TsvRow], name: str, make: Callable[[TsvRow, str, int], Task]
) -> Iterator[Item]:
    """An item for each row, called by the benchmark and the index of the row."""
    for row in rows:
        called = f"{name}-{row.id}"
        yield Item(called, row.place, partial(make, row, called))


def task_of_row(
    row: TsvRow,
    name: str,
    source: str,
    *,
    max_pixels: int,
    question: str | None = None,
    options: Mapping[str, str] | None = None,
    answer: str | None = None,
    boxes: Sequence[Sequence[float]] = (),
    family: str = "",
    meta: Mapping[str, JsonValue] | None = None,
    text_only: bool = False,
) -> Task:
    """The task of a row.

    Args:
        row: The row.
        name: What the task is called.
        source: The benchmark.
        max_pixels: Larger images are refused.
        question: Its text; None: the column `question`, after its hint if it has one.
        options: Letter -> option; None: the columns A, B, ... or `multi-choice options`.
        answer: The gold answer: a letter or the text of an option, or a text where there are no
            options; None: the column `answer`.
        boxes: Where the asked object is: x1, y1, x2, y2 in pixels of the file.
        family: The group by which numbers are told apart.
        meta: What scoring and grouping need beside these.
        text_only: Whether a row may have no image; boxes need one.

    Raises:
        FormatError: a column is missing, an image cannot be read, or the answer is unknown; names
            file and row.
    """
    if question is None:
        if not row.has("question"):
            raise row.row.wrong("question: this column is missing")
        question = "\n".join(filter(None, [row.text("hint"), row.text("question")]))
    choices = row.options if options is None else dict(options)
    given = row.text("answer") if answer is None else answer
    letters = "".join(choices)
    noted: dict[str, JsonValue] = {INDEX: row.id}
    if letters != string.ascii_uppercase[: len(letters)]:
        noted[LETTERS] = letters
    if columns := _kept(row):
        noted[COLUMNS] = columns
    images = row.images(max_pixels=max_pixels)
    if not images and not text_only:
        raise row.row.wrong("image: none")
    return task_of(
        row.row, name, source, question, images,
        choices=tuple(choices.values()),
        answer=gold_of(row.row, choices, given) if choices else given or None,
        boxes=boxes_of(row.row, boxes, images[0]) if boxes else (),
        family=family,
        meta={**noted, **(meta or {})},
    )  # fmt: skip


def gold_of(row: Row, choices: Mapping[str, str], given: str) -> str | None:
    """The gold answer of a question with options, from a letter or the text of an option.

    None if the file has no column with answers, as those of test sets whose answers are kept.

    Raises:
        FormatError: it is neither; names file and row.
    """
    texts, letters = [*choices.values()], [*choices]
    match = _LETTER.fullmatch(given)
    if match and match[1].upper() in choices:
        return gold_answer(texts, letters.index(match[1].upper()))
    same = [place for place, text in enumerate(texts) if same_text(text, given)]
    if given and len(same) == 1:
        return gold_answer(texts, same[0])
    if not given and "answer" not in row.values:
        return None
    raise row.wrong(
        f"answer: expected one of {', '.join(letters)} or the text of an option, got {given[:80]!r}"
    )


def _kept(row: TsvRow) -> dict[str, JsonValue]:
    kept: dict[str, JsonValue] = {}
    for column, value in row.row.values.items():
        if isinstance(value, Span | bytes | dict) or _NOT_KEPT.fullmatch(column):
            continue
        text = str(value) if isinstance(value, list) else text_of_cell(value)
        if text and len(text) <= MAX_KEPT_CHARS:
            kept[column] = text
    return kept
