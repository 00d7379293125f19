"""What columns of published files hold, whatever wrote them: text, lists, tables, pictures.

A list is a list in JSON and parquet, and its JSON or Python form in a table of text; a number is
text, an integer or a float; what is missing is null, NaN or the empty text.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, JsonValue

from saccade.formats.records import Row, read_records
from saccade.images.image import Image

MAX_LITERAL = 100_000
"""Characters of a list or table that is written as text."""
MAX_INDEX = 64
"""A picture of no more characters is the index of a row, or a path."""
RECENT = 8
"""Pictures of a TSV that are kept for the rows after them, which mostly name the last one."""


def text_of(value: object) -> str:
    """A cell as text: "" where nothing stands, "3" for 3.0."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def list_of(value: object) -> tuple[str, ...]:
    """A cell as a list of texts: a list, the text of one, or a single text."""
    found = _literal(value) if isinstance(value, str) else value
    if isinstance(found, list | tuple):
        return tuple(text_of(item) for item in found)
    if isinstance(value, str) and value.strip() in ("None", "null", "nan"):
        return ()
    return (text,) if (text := text_of(value)).strip() else ()


def table_of(value: object) -> dict[str, object]:
    """A cell as a table: an object, or the text of one; what is none is empty."""
    found = _literal(value) if isinstance(value, str) else value
    return {str(key): item for key, item in found.items()} if isinstance(found, dict) else {}


Text = Annotated[str, BeforeValidator(text_of)]
"""A column of text, in any form."""
Texts = Annotated[tuple[str, ...], BeforeValidator(list_of)]
"""A column of lists, in any form."""
Table = Annotated[dict[str, object], BeforeValidator(table_of)]
"""A column of objects, in any form."""


def noted(*tables: Mapping[str, object], **more: JsonValue) -> dict[str, JsonValue]:
    """What goes into `Task.meta`: texts, numbers and lists of them; nothing that is empty."""
    known: dict[str, JsonValue] = {}
    held: list[Mapping[str, object]] = [*tables, more]
    for name, value in [item for table in held for item in table.items()]:
        if isinstance(value, str | bool | int) or (
            isinstance(value, float) and math.isfinite(value)
        ):
            known[name] = value
        elif isinstance(value, list | tuple):
            known[name] = [text_of(item) for item in value]
    return {name: value for name, value in known.items() if value not in ("", [])}


def asked_in(row: Row, question: str) -> str:
    """The text of a question.

    Raises:
        FormatError: there is none; names file and row.
    """
    if not question.strip():
        raise row.wrong("question: no text")
    return question.strip()


def rows_of_set(file: Path) -> Iterator[Row]:
    """The rows of a file; of a TSV with the picture of another row where a row names its index.

    Source: VLMEvalKit, vlmeval/dataset/image_base.py: an `image` of at most 64 characters is the
    index of the row that has it.
    """
    recent: dict[str, str] = {}
    for row in read_records(file):
        held = row.values.get("image")
        if file.suffix != ".tsv" or not isinstance(held, str):
            yield row
        elif len(held) > MAX_INDEX:
            recent[text_of(row.values.get("index"))] = held
            if len(recent) > RECENT:
                del recent[next(iter(recent))]
            yield row
        else:
            index = held.strip().removesuffix(".0")
            packed = recent.get(index) or (_picture_of(file, index) if index else None)
            yield row._replace(values=row.values | {"image": packed}) if packed else row


def _picture_of(file: Path, index: str) -> str | None:
    for row in read_records(file):
        held = row.values.get("image")
        if text_of(row.values.get("index")) == index and isinstance(held, str):
            return held if len(held) > MAX_INDEX else None
    return None


def picture_in(row: Row, *columns: str) -> object:
    """What the first of these columns holds that has a picture; else the first that has a path."""
    held = [row.values[column] for column in columns if row.values.get(column)]
    inside = [value for value in held if not isinstance(value, str) or _is_packed(value)]
    return next(iter(inside or held), None)


def _is_packed(text: str) -> bool:
    return len(text) > MAX_INDEX and ("." not in text or text.startswith("data:"))


def photo(
    row: Row,
    place: Path,
    value: object,
    *,
    max_pixels: int,
    folders: Sequence[str] = ("",),
    column: str = "image",
) -> Image:
    """The picture of a row: packed as bytes or base64, or a file that is looked for.

    Args:
        row: Where it stands.
        place: The folder or file that the user has named: pictures are below it, or beside the
            file of the row, or beside its folder where that is called `data`.
        value: What the column holds.
        max_pixels: Larger ones are refused.
        folders: Where pictures lie in these places, the likeliest first.
        column: What it is called in messages.

    Raises:
        FormatError: there is none, or it cannot be read; names file and row.
    """
    if not isinstance(value, str):
        return row.image(value, max_pixels=max_pixels, column=column)
    if _is_packed(value):
        return row.packed_image(value, max_pixels=max_pixels, column=column)
    for root in _roots(row.file, place):
        for folder in folders:
            if value.strip() and (root / folder / value).is_file():
                placed = row._replace(file=root / row.file.name)
                return placed.image(value, max_pixels=max_pixels, folder=folder, column=column)
    return row.image(value, max_pixels=max_pixels, folder=folders[0], column=column)


def _roots(file: Path, place: Path) -> Iterator[Path]:
    yield file.parent
    if place.is_dir():
        yield place
    if file.parent.name == "data":
        yield file.parent.parent


def _literal(text: str) -> object:
    """What a text in JSON or in Python's form of lists stands for; the text if it is neither."""
    inner = text.strip()
    if not inner or inner[0] not in "[({" or len(inner) > MAX_LITERAL:
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            return read(inner)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
    return text
