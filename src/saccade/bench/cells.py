"""What stands in a cell of a published table, in the forms in which the same thing is written.

A number comes as text and text as a number, what is missing as null, NaN or the empty text, a list
as JSON or as Python writes it, and an image as bytes, as base64, or as a path that begins above or
below the folder of the file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BeforeValidator, JsonValue

from saccade.formats.records import Row, read_records, unpacked
from saccade.formats.vlmevalkit import REFERENCE, Span, TsvRow, name_of, read_tsv
from saccade.images.image import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_NOTHING = ("None", "null", "nan")


def text_of(value: object) -> str:
    """A cell as text: "" where nothing stands, "3" for 3.0."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def list_of(value: object) -> tuple[str, ...]:
    """A cell as a list of texts: a list, one that is written as text, or a single text.

    Options by their letters are a list in the order of the letters.
    """
    found = unpacked(value)
    if isinstance(found, dict):
        found = [found[key] for key in sorted(found, key=str)]
    if isinstance(found, list | tuple):
        return tuple(text_of(item) for item in found)
    if isinstance(value, str) and value.strip() in _NOTHING:
        return ()
    return (text,) if (text := text_of(value)).strip() else ()


def _golds(value: object) -> object:
    """A cell as gold answers: those of a list that are not empty, or one text, such as "(3, 4)"."""
    found = unpacked(value)
    listed = found if isinstance(found, list) or found is value else value
    values = listed if isinstance(listed, list | tuple) else [listed]
    texts = (one.strip() if isinstance(one, str) else one for one in map(_scalar, values))
    return tuple(text for text in texts if text != "")


def table_of(value: object) -> dict[str, object]:
    """A cell as a table: an object, or the text of one; what is none is empty."""
    found = unpacked(value)
    return {str(key): item for key, item in found.items()} if isinstance(found, dict) else {}


def _scalar(value: object) -> object:
    return value if isinstance(value, list | tuple | dict | bytes) else text_of(value)


def _flag(value: object) -> object:
    known = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
    return known.get(text_of(value).strip().lower(), value)


Text = Annotated[str, BeforeValidator(_scalar)]
"""A column of text, in any form."""
Texts = Annotated[tuple[str, ...], BeforeValidator(list_of)]
"""A column of lists, in any form; every place of a list stays."""
Golds = Annotated[tuple[str, ...], BeforeValidator(_golds)]
"""A column of gold answers, one or several."""
Table = Annotated[dict[str, object], BeforeValidator(table_of)]
"""A column of objects, in any form."""
Flag = Annotated[bool, BeforeValidator(_flag)]
"""A column of 0 and 1, in any form."""


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


def first_of(row: Row, *columns: str) -> object:
    """What the first of these columns holds that holds something; None if none does."""
    for column in columns:
        value = row.values.get(column)
        if not _is_empty(value):
            return value
    return None


def picture_in(row: Row, *columns: str) -> object:
    """What the first of these columns holds that has a picture; else the first that has a path."""
    held = [row.values[column] for column in columns if not _is_empty(row.values.get(column))]
    inside = [value for value in held if not isinstance(value, str) or is_packed(value)]
    return next(iter(inside or held), None)


def _is_empty(value: object) -> bool:
    """Whether a cell holds nothing; an image without bytes and path is nothing."""
    if isinstance(value, dict) and set(value) <= {"bytes", "path"}:
        return not any(value.values())
    if isinstance(value, list | tuple | dict | bytes):
        return not value
    return not text_of(value).strip()


def rows_of_set(file: Path, *, wanted: Callable[[str], bool] | None = None) -> Iterator[Row]:
    """The rows of a file; of a TSV with the picture of another row where a row names its index.

    Args:
        file: The file.
        wanted: Whether a column is read, of files in which others can be left out; None: all.

    Raises:
        FormatError: the file or a row cannot be read; names file and row.
    """
    if file.suffix != ".tsv":
        yield from read_records(file, wanted=wanted)
        return
    for found in read_tsv(file):
        yield found.row._replace(values=_held(found))


def _held(found: TsvRow) -> dict[str, object]:
    """The cells of a row of a TSV.

    Source: VLMEvalKit, vlmeval/dataset/image_base.py: an `image` of at most 64 characters is the
    index of the row that has it.
    """
    values = {
        name: found.table.read(cell) if isinstance(cell, Span) else cell
        for name, cell in found.row.values.items()
    }
    named = values.get("image")
    if isinstance(named, str) and 0 < len(named.strip()) <= REFERENCE:
        name = name_of(named)
        values["image"] = found.table.image_of(name) or named
        if values["image"] == named and "." not in name:
            raise found.row.wrong(f"image: refers to the row {name!r}, which has no image")
    return values


def picture(
    row: Row,
    value: object,
    *,
    max_pixels: int,
    column: str = "image",
    folders: Sequence[str] = ("images",),
    place: Path | None = None,
) -> Image:
    """An image of a row: bytes, base64, or a path.

    Args:
        row: Where it stands.
        value: The cell, or a list that holds it alone.
        max_pixels: Larger ones are refused.
        column: What it is called in messages.
        folders: Where a path may begin beside the folder of the file, below it.
        place: The folder or file that the user has named: paths may begin there too.

    Raises:
        FormatError: there is none, several, or it cannot be read; names file and row.
    """
    if isinstance(value, list | tuple):
        if len(value) != 1:
            raise row.wrong(f"{column}: expected one image, got {len(value)}")
        value = value[0]
    if isinstance(value, dict):
        inside = value.get("bytes")
        value = value if isinstance(inside, bytes) and inside else inside or value.get("path")
    if isinstance(value, str):
        if is_packed(value):
            return row.packed_image(value, max_pixels=max_pixels, column=column)
        for root in _roots(row.file, place):
            if (found := _located(root, value, folders)) is not None:
                placed = row._replace(file=root / row.file.name)
                return placed.image(found, max_pixels=max_pixels, column=column)
    return row.image(value, max_pixels=max_pixels, column=column)


def is_packed(text: str) -> bool:
    """Whether a text is an image in base64 and no path: long, and without an ending."""
    return text.startswith("data:") or (len(text) > REFERENCE and "." not in text)


def _roots(file: Path, place: Path | None) -> Iterator[Path]:
    """Where paths in a file begin: in its folder, in what the user named, or above `data`."""
    yield file.parent
    if place is not None and place.is_dir():
        yield place
    if file.parent.name == "data":
        yield file.parent.parent


def _located(root: Path, name: str, folders: Sequence[str]) -> str | None:
    """A path as it is below a folder; None if it leads nowhere.

    Data sets name images from a folder above the one in which their file is, or by where they lay
    on the machine of their authors: leading folders that are not there are left out.
    """
    parts = PurePosixPath(name.strip().replace("\\", "/")).parts
    for tail in _tails(root, [part for part in parts if part not in ("/", ".")]):
        for folder in folders if "" in folders else ("", *folders):
            found = f"{folder}/{tail}" if folder else tail
            if os.path.isfile(root / found):
                return found
    return None


def _tails(root: Path, parts: Sequence[str]) -> Iterator[str]:
    """A path, and what is left of it without leading folders that the root does not have."""
    if ".." in parts or len(parts) > 64:
        return
    for start in range(len(parts)):
        yield "/".join(parts[start:])
        if os.path.isdir(root / parts[start]):
            return
