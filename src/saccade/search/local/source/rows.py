"""What an index is built from: rows of a file, or the files of a folder (see `folder`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from saccade.errors import ConfigError, FormatError
from saccade.formats.columns import count_parquet_rows
from saccade.formats.records import SUFFIXES, Row, read_records
from saccade.formats.tasks import count_rows
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.images.image import Image
from saccade.search.local.store.document import Document

MAX_ID, MAX_TITLE, MAX_URL = 1000, 10_000, 10_000
MAX_TEXT = 32 * 2**20
"""Number of characters of a document."""
COLUMNS = ("id", "title", "text", "url", "image")


class Item(NamedTuple):
    """A document that a source names."""

    place: str
    """For messages, as in "rows.jsonl:3"."""
    document: Document
    picture: Callable[[], Image] | None = None
    """Reads its image; what is wrong with it is an `ImageError`, or a `FormatError` with place."""


class _Columns(BaseModel):
    """The columns of a row; others are left alone."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str = Field(min_length=1, max_length=MAX_ID)
    title: str = Field(default="", max_length=MAX_TITLE)
    text: str = Field(default="", max_length=MAX_TEXT)
    url: str = Field(default="", max_length=MAX_URL)
    image: object = None


def rows_in(source: Path) -> int | None:
    """How many rows a file has; None where it would have to be read as a whole to know.

    Raises:
        FormatError: it cannot be read.
    """
    if source.suffix == ".jsonl":
        return count_rows(source)
    return count_parquet_rows(source) if source.suffix == ".parquet" else None


def items_of(source: Path) -> Iterator[Item]:
    """The documents of a file, one by one.

    Raises:
        ConfigError: it is no file of rows.
        FormatError: while it is read: a row is wrong; names file, row, and what was expected.
    """
    if source.suffix not in SUFFIXES:
        raise ConfigError(
            f"{source}: expected a folder, or a file that ends in {', '.join(SUFFIXES)}"
        )
    return map(_item, read_records(source, wanted=lambda name: name in COLUMNS))


def _item(row: Row) -> Item:
    values = {name: value for name, value in row.values.items() if value is not None}
    try:
        read = row._replace(values=values).read(_Columns)
    except FormatError as error:
        raise FormatError(
            f"{error}; an index is built from id, title, text, and optional url and image (this "
            f"row has {', '.join(sorted(values)[:8]) or 'none'})"
        ) from error
    document = Document(read.id, read.title, read.url, read.text.strip())
    if read.image not in (None, ""):
        picture = partial(row.image, read.image, max_pixels=MAX_SOURCE_PIXELS)
        return Item(row.place, document, picture)
    if not document.text:
        raise row.wrong("expected a text or an image, got neither; remove the row")
    return Item(row.place, document)
