"""What stands in a cell of a published table, in the forms in which the same thing is written.

A number comes as text and text as a number, a list as JSON or as Python writes it, an image as
bytes, as base64 or as a path that begins above the folder of the file.
"""

from __future__ import annotations

import ast
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BeforeValidator

from saccade.formats.records import Row
from saccade.images.image import Image

MAX_LIST_CHARS = 1_000_000
"""A longer text is not read as a list."""
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{64,}={0,2}\s*")


def as_text(value: object) -> object:
    """A cell as text: nothing and NaN are "", numbers are written as they are read."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return str(value) if isinstance(value, int | float) else value


def as_texts(value: object) -> object:
    """A cell as texts: a list, one that is written as JSON or as Python writes it, or one text."""
    if isinstance(value, str):
        value = listed(value)
    values = value if isinstance(value, list | tuple) else [value]
    texts = [as_text(one) for one in values]
    return tuple(t.strip() if isinstance(t, str) else t for t in texts if t not in ("", None))


def listed(text: str) -> object:
    """The list that a text writes; the text itself where it writes none."""
    inner = text.strip()
    if not inner.startswith("[") or len(inner) > MAX_LIST_CHARS:
        return text
    try:
        found = json.loads(inner)
    except (ValueError, RecursionError):
        try:
            found = ast.literal_eval(inner)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return text
    return found if isinstance(found, list) else text


def as_flag(value: object) -> object:
    """A cell as yes or no: 0 and 1 in any writing."""
    text = as_text(value)
    known = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
    return known.get(text.strip().lower(), value) if isinstance(text, str) else value


Text = Annotated[str, BeforeValidator(as_text)]
Texts = Annotated[tuple[str, ...], BeforeValidator(as_texts)]
Flag = Annotated[bool, BeforeValidator(as_flag)]


def first_of(row: Row, *columns: str) -> object:
    """What the first of these columns holds that holds something; None if none does."""
    for column in columns:
        value = row.values.get(column)
        if as_text(value) not in ("", None) and value not in ([], (), {}, b""):
            return value
    return None


def picture(
    row: Row,
    value: object,
    *,
    max_pixels: int,
    column: str = "image",
    folders: Sequence[str] = ("images",),
) -> Image:
    """An image of a row: bytes, base64, or a path.

    Args:
        row: Where it stands.
        value: The cell, or a list that holds it alone.
        max_pixels: Larger ones are refused.
        column: What it is called in messages.
        folders: Where a path may begin beside the folder of the file, below it.

    Raises:
        FormatError: there is none, several, or it cannot be read; names file and row.
    """
    if isinstance(value, list | tuple):
        if len(value) != 1:
            raise row.wrong(f"{column}: expected one image, got {len(value)}")
        value = value[0]
    if isinstance(value, str):
        if is_packed(value):
            return row.packed_image(value, max_pixels=max_pixels, column=column)
        value = located(row.file, value, folders)
    elif isinstance(value, dict) and not value.get("bytes") and isinstance(value.get("path"), str):
        value = located(row.file, value["path"], folders)
    return row.image(value, max_pixels=max_pixels, column=column)


def is_packed(text: str) -> bool:
    """Whether a text is an image in base64 and no path."""
    if text.startswith("data:"):
        return True
    if len(text) < 1000 and PurePosixPath(text).suffix.lower() in IMAGE_SUFFIXES:
        return False
    return _BASE64.fullmatch(text) is not None


def located(file: Path, name: str, folders: Sequence[str] = ()) -> str:
    """A path as it is below the folder of a file.

    Data sets name images from a folder above the one in which their file is, or by where they lay
    on the machine of their authors: leading folders that are not there are left out. A path that
    leads nowhere stays as it is.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    for tail in _tails(file.parent, [part for part in parts if part not in ("/", ".")]):
        for folder in ("", *folders):
            found = f"{folder}/{tail}" if folder else tail
            if os.path.isfile(file.parent / found):
                return found
    return name


def _tails(place: Path, parts: Sequence[str]) -> Iterator[str]:
    """A path, and what is left of it without leading folders that the place does not have."""
    if ".." in parts:
        return
    for start in range(len(parts)):
        yield "/".join(parts[start:])
        if os.path.isdir(place / parts[start]):
            return
