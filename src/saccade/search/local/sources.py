"""What an index is built from: rows of a file, or the files of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from saccade.errors import ConfigError, FormatError
from saccade.formats.records import SUFFIXES, Row, read_records
from saccade.search.local.document import Document

MAX_ID = 1000
COLUMNS = ("id", "title", "text", "url", "image")


class Item(NamedTuple):
    """A document that a source names."""

    place: str
    """For messages, as in "rows.jsonl:3"."""
    document: Document
    row: Row | None = None
    """Where its picture is read from; None where it has none."""
    image: object = None


class _Columns(BaseModel):
    """The columns of a row; others are left alone."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str = Field(min_length=1, max_length=MAX_ID)
    title: str = ""
    text: str = ""
    url: str = ""
    image: object = None


def items_of(source: Path) -> Iterator[Item]:
    """The documents of a file, one by one.

    Raises:
        FormatError: a row is wrong; names file, row, and what was expected.
    """
    if source.suffix not in SUFFIXES:
        raise ConfigError(
            f"{source}: expected a folder, or a file that ends in {', '.join(SUFFIXES)}"
        )
    for row in read_records(source, wanted=lambda name: name in COLUMNS):
        yield _item(row)


def _item(row: Row) -> Item:
    values = {name: value for name, value in row.values.items() if value is not None}
    read = row._replace(values=values).read(_Columns)
    document = Document(read.id, read.title, read.url, read.text.strip())
    has_image = read.image not in (None, "")
    if not document.text and not has_image:
        raise FormatError(
            f"{row.place}: expected a text or an image, got neither (columns: "
            f"{', '.join(list(row.values)[:8])}); an index is built from id, title, text, and "
            "optional url and image"
        )
    return Item(row.place, document, row if has_image else None, read.image)
