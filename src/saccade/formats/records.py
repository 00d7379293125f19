"""Rows of the files in which data sets are published, one by one, each with its place for messages.

    for row in read_records(Path("test.jsonl")):
        question = row.read(Question)          # a pydantic model; a mistake names file and row
        photo = row.image(question.image, max_pixels=10**8)

Read are `.jsonl`, `.json` (a list of objects, an object that holds one list of them, or an object
of objects by their keys), `.parquet`, and `.tsv` or `.csv` with a head line. What a row costs is
bounded, and nothing in a file can name another one outside of its folder.
"""

from __future__ import annotations

import ast
import base64
import binascii
import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from saccade.config import explain
from saccade.errors import FormatError, ImageError
from saccade.files import beside, open_file, read_text_lines, read_whole, text_of
from saccade.formats.columns import rows_of
from saccade.formats.listed import elements_of, stream_elements
from saccade.images.image import Image

Model = TypeVar("Model", bound=BaseModel)

MAX_LINE_BYTES = 64 * 2**20
MAX_JSON_BYTES = 512 * 2**20
MAX_FIELD_CHARS = 128 * 2**20
"""Of a field of a `.tsv` file, which may hold an image, and of the lines that its row takes."""
MAX_LITERAL_CHARS = 2**20
"""Longer texts are texts, whatever they begin with."""
BATCH_ROWS = 8
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_FROM_URLS, _BLANKS = bytes.maketrans(b"-_", b"+/"), b" \t\r\n"

SUFFIXES = (".jsonl", ".json", ".parquet", ".tsv", ".csv")


class Row(NamedTuple):
    """A row of a file."""

    file: Path
    place: str
    """As in "test.jsonl:3" or "test.parquet: row 2": the file and the row."""
    values: dict[str, object]

    def read(self, model: type[Model]) -> Model:
        """The row as a record.

        Raises:
            FormatError: a column is missing or holds something else; names file and row.
        """
        try:
            return model.model_validate(self.values)
        except ValidationError as error:
            raise self.wrong("; ".join(explain(model, error)[:3])) from error

    def wrong(self, what: str) -> FormatError:
        """The error that says what is wrong with this row."""
        return FormatError(f"{self.place}: {what}")

    def image(
        self, value: object, *, max_pixels: int, folder: str = "", column: str = "image"
    ) -> Image:
        """An image of the row.

        Args:
            value: Its encoded bytes, an object with `bytes` or `path` as `datasets` writes it, or
                its path relative to the folder of the file.
            max_pixels: Larger ones are refused.
            folder: Put before a path.
            column: What it is called in messages.

        Raises:
            FormatError: there is none, or it cannot be read; names file and row.
        """
        where = f"{self.place}: {column}"
        data, path = _parts(value)
        try:
            if data:
                return Image.from_bytes(data, name=where, max_pixels=max_pixels)
            if not path:
                raise FormatError(f"{where}: no image")
            file = beside(self.file, f"{folder}/{path}" if folder else path, where)
            return Image.open(file, name=f"{where}: {path[:200]}", max_pixels=max_pixels)
        except ImageError as error:
            raise FormatError(str(error)) from error

    def packed_image(self, text: str, *, max_pixels: int, column: str = "image") -> Image:
        """An image of the row that is written as base64, with or without `data:...;base64,`.

        Read are both alphabets, line breaks, and texts without the padding at their end.

        Raises:
            FormatError: it is none, or cannot be read; names file and row.
        """
        packed = text.partition(",")[2] if text.startswith("data:") else text
        try:
            plain = packed.encode("ascii").translate(_FROM_URLS, _BLANKS)
            data = base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.wrong(f"{column}: no base64 ({error})") from error
        return self.image(data, max_pixels=max_pixels, column=column)


def _parts(value: object) -> tuple[bytes | None, str | None]:
    if isinstance(value, bytes):
        return value, None
    if isinstance(value, dict):
        data, path = value.get("bytes"), value.get("path")
        return data if isinstance(data, bytes) else None, path if isinstance(path, str) else None
    return None, value if isinstance(value, str) else None


def read_records(path: Path, *, wanted: Callable[[str], bool] | None = None) -> Iterator[Row]:
    """The rows of a file, one by one.

    Args:
        path: The file; its ending says how it is read.
        wanted: Whether a column is read, of files in which others can be left out; None: all.

    Raises:
        FormatError: the file or a row cannot be read; names file and row.
        MissingExtra: a parquet file, and pyarrow is not installed.
    """
    keep = wanted or (lambda name: True)
    match path.suffix:
        case ".parquet":
            rows = rows_of(path, wanted=keep, together=BATCH_ROWS)
            return (Row(path, f"{path}: row {n}", row) for n, row in enumerate(rows))
        case ".jsonl":
            return _lines(path)
        case ".json":
            return _listed(path)
        case ".tsv" | ".csv":
            return _table(path, "\t" if path.suffix == ".tsv" else ",")
    raise FormatError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")


def stream_list(path: Path) -> Iterator[Row]:
    """The rows of a `.json` file that is one list of objects, of any size.

    `read_records` reads such a file too, with its text in memory.

    Raises:
        FormatError: the file or a row cannot be read; names file and row.
    """
    try:
        with open_file(path) as file:
            for number, value in enumerate(stream_elements(file, str(path))):
                place = f"{path}: row {number}"
                yield Row(path, place, _object(value, place, escapes=False))
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error


def unpacked(value: object) -> object:
    """The list or object that a text writes, as JSON or as Python does; other values as they are.

    Tables have no lists: what was one became a text on the way, by `json.dumps` or by `str`.
    """
    if not isinstance(value, str) or len(value) > MAX_LITERAL_CHARS:
        return value
    text = value.strip()
    if text[:1] not in ("[", "{", "("):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            found: object = read(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, list | tuple | dict) else value
    return value


def _lines(path: Path) -> Iterator[Row]:
    for number, line in read_text_lines(path, most=MAX_LINE_BYTES):
        if line.strip():
            place = f"{path}:{number}"
            escapes = _HALF.search(line) is not None
            yield Row(path, place, _object(_json(line, place), place, escapes=escapes))


def _listed(path: Path) -> Iterator[Row]:
    try:
        data = read_whole(path, most=MAX_JSON_BYTES)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error
    text = text_of(data, path)
    del data
    escapes = _HALF.search(text) is not None
    for name, value in elements_of(text, str(path)):
        place = f"{path}: row {name}" if isinstance(name, int) else f"{path}: {name[:80]!r}"
        held = _object(value, place, escapes=escapes)
        yield Row(path, place, held if isinstance(name, int) else {"key": name, **held})


def _table(path: Path, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(MAX_FIELD_CHARS)
    try:
        binary = open_file(path)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error
    with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as file:
        lines = _Lines(file, path)
        rows = csv.reader(lines, delimiter=delimiter)
        number = 0
        try:
            head = next(rows, [])
            if not any(head):
                raise FormatError(f"{path}: no head line with the names of the columns")
            for number, fields in enumerate(rows):
                lines.taken = 0
                if not fields:
                    continue
                if len(fields) != len(head):
                    raise FormatError(
                        f"{path}: row {number}: expected {len(head)} columns as in the head line, "
                        f"got {len(fields)}"
                    )
                values: dict[str, object] = dict(zip(head, fields, strict=True))
                yield Row(path, f"{path}: row {number}", values)
        except (csv.Error, UnicodeDecodeError) as error:
            raise FormatError(f"{path}: after row {number}: {error}") from error


class _Lines:
    """The lines of a file for the reader of CSV, which would keep a row of any length."""

    def __init__(self, file: io.TextIOWrapper, path: Path) -> None:
        self._file, self._path = file, path
        self.taken = 0
        """Characters since the last row."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_FIELD_CHARS + 1)
        self.taken += len(line)
        if self.taken > MAX_FIELD_CHARS:
            raise FormatError(f"{self._path}: a row of more than {MAX_FIELD_CHARS} characters")
        if not line:
            raise StopIteration
        return line


def _json(text: str, where: str) -> object:
    try:
        return json.loads(text, parse_constant=lambda _: math.nan)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: not JSON ({error})") from error


def _object(value: object, where: str, *, escapes: bool) -> dict[str, object]:
    """A row in JSON; `escapes`: whether its text may write half of a pair of UTF-16."""
    if not isinstance(value, dict):
        raise FormatError(f"{where}: expected an object, got {type(value).__name__}")
    if escapes:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except (UnicodeEncodeError, RecursionError) as error:
            raise FormatError(f"{where}: half of a pair of UTF-16 is no text ({error})") from error
    return value
