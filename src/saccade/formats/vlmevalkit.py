"""VLMEvalKit's TSV files, row by row; a file of gigabytes costs no more memory than a row.

    for row in read_tsv(Path("HRBench4K.tsv")):
        row.id, row.text("question"), row.options     # "0", "What ...?", {"A": "red", ...}
        (photo,) = row.images(max_pixels=10**8)          # read from the file when it is asked for

The columns are `index`, `image` (base64; a list of several; or, up to 64 characters, the index of
the row that holds the image), `image_path`, `question`, `A`, `B`, ... or `multi-choice options`,
`answer`, `hint`, `category`, `l2-category`, `split`, and what a data set adds. `.parquet`, `.json`,
`.jsonl` and `.csv` files with such columns are read too.

A row keeps where its image stands in the file, never the image, and so does the table for rows
that refer to each other. It is read in one pass, at the speed of the disk.

Source: VLMEvalKit e8e78f05, vlmeval/dataset/image_base.py (`ImageBaseDataset.__init__`) and
vlmeval/smp/misc.py (`toliststr`).
"""

from __future__ import annotations

import csv
import os
import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from saccade.errors import FormatError
from saccade.files import open_file
from saccade.formats.records import MAX_FIELD_CHARS, Row, read_records, unpacked
from saccade.images.image import Image

LONG = 512
"""A cell with more bytes stays in the file until it is asked for."""
REFERENCE = 64
"""An `image` of so many characters is the index of another row."""
MANY_OPTIONS = "multi-choice options"
INDICES = ("index", "idx", "id")
"""Columns that say what a row is called; in a `.tsv` file it is the first of them."""
IMAGES = ("image", "images", "Image", "bytes")
PATHS = ("image_path", "filename", "file_name", "data_id")
"""Columns with the path of an image."""

_MARK = "\x1a"
_LETTERED = re.compile(r"\s*[(\uff08]?([A-Z])[)\uff09.:\uff1a]\s*")
_QUOTED = re.compile(r"""['"]([^'"]+)['"]""")
_PATH = re.compile(r"[^\n]{1,255}\.(?:png|jpe?g|webp|bmp|gif|tiff?)", re.IGNORECASE)


class Span(NamedTuple):
    """A cell that is left in its file: the bytes from `start` to `end`."""

    start: int
    end: int


@dataclass
class Table:
    """A file, and where the images stand that its rows may refer to."""

    path: Path
    places: dict[str, Span | str] = field(default_factory=dict)
    """Index of a row -> its image, of the rows that were passed; a tiny one itself."""

    def read(self, span: Span) -> str:
        """The text of a cell that was left in the file.

        Raises:
            FormatError: the file has changed or is gone.
        """
        try:
            with open_file(self.path) as file:
                file.seek(span.start)
                return file.read(span.end - span.start).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FormatError(f"{self.path}: cannot be read again ({error})") from error

    def image_of(self, index: str) -> str | None:
        """The image of a row, which may come later in the file; None if it has none."""
        if index not in self.places and self.path.suffix == ".tsv":
            next((row for row in _rows(self) if index in self.places), None)
        place = self.places.get(index)
        return self.read(place) if isinstance(place, Span) else place


class TsvRow(NamedTuple):
    """A row; what it holds is read when it is asked for."""

    table: Table
    row: Row
    id: str
    """What VLMEvalKit calls the row: its index."""

    @property
    def place(self) -> str:
        """The file and the row, for messages."""
        return self.row.place

    def has(self, *names: str) -> bool:
        """Whether there is a column of one of these names."""
        return any(name in self.row.values for name in names)

    def value(self, *names: str) -> object:
        """What the first of these columns holds that is there and not empty; else None."""
        for name in names:
            value = self.row.values.get(name)
            if isinstance(value, Span):
                return self.table.read(value)
            if not is_missing(value):
                return value
        return None

    def text(self, *names: str) -> str:
        """The same as text; empty if there is none."""
        return text_of_cell(self.value(*names))

    @property
    def options(self) -> dict[str, str]:
        """Letter -> option, of those that are not empty; empty for a question without options."""
        found = {letter: self.text(letter) for letter in string.ascii_uppercase}
        found = {letter: text for letter, text in found.items() if text}
        return found or dict(read_options(self.value(MANY_OPTIONS, "choices", "options"), self.row))

    def images(self, *, max_pixels: int) -> list[Image]:
        """Its images in order; none for a question without.

        Args:
            max_pixels: Larger ones are refused.

        Raises:
            FormatError: one cannot be read, or the row that it refers to is not there; names file
                and row.
        """
        value = self.value(*IMAGES)
        if isinstance(value, str) and len(value) <= REFERENCE and not _PATH.fullmatch(value):
            kept = self.table.image_of(name_of(value))
            if kept is None:
                raise self.row.wrong(f"image: refers to the row {value!r}, which has no image")
            value = kept
        if value is None:
            value = self.value(*PATHS)
        return [self._image(one, max_pixels) for one in _listed(value)]

    def _image(self, value: object, max_pixels: int) -> Image:
        if isinstance(value, str) and not _PATH.fullmatch(value):
            return self.row.packed_image(value, max_pixels=max_pixels)
        if isinstance(value, str):
            # As VLMEvalKit lays them out, in images/NAME of the data set.
            name = self.row.file.stem.removesuffix("_local")
            folders = ("", f"images/{name}", "images", "data", "imgs", "data/imgs", "img")
            here = self.row.file.parent
            folder = next((f for f in folders if os.path.isfile(here / f / value)), "")
            return self.row.image(value, max_pixels=max_pixels, folder=folder)
        return self.row.image(value, max_pixels=max_pixels)


def read_tsv(path: Path, indices: Sequence[str] = INDICES) -> Iterator[TsvRow]:
    """The rows of a file, one by one.

    Args:
        path: The file.
        indices: Columns of which the first that is there says what a row is called.

    Raises:
        FormatError: the file or a row cannot be read, or has no index; names file and row.
        MissingExtra: a parquet file, and pyarrow is not installed.
    """
    table = Table(path)
    if path.suffix == ".tsv":
        return _rows(table)
    return (TsvRow(table, row, _index_of(row, indices)) for row in read_records(path))


def is_missing(value: object) -> bool:
    """Whether a cell says nothing: empty, or what pandas makes of an empty one."""
    if isinstance(value, str):
        return value.strip() in ("", "nan", "NaN")
    return value is None or value != value


def text_of_cell(value: object) -> str:
    """A cell as text; a column of whole numbers that has gaps comes as 3.0."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if is_missing(value) else str(value).strip()


def name_of(value: object) -> str:
    """An index as VLMEvalKit compares it: as text, whole numbers without a point."""
    return re.sub(r"(?<=\d)\.0$", "", text_of_cell(value))


def read_options(value: object, row: Row) -> Iterator[tuple[str, str]]:
    """Letter and option, of a list or text such as "(A) red", "(B) blue".

    A text is a list or object in the notation of Python or JSON, or has an option on each line.

    Raises:
        FormatError: it is none of these; names file and row.
    """
    if is_missing(value):
        return
    if isinstance(table := unpacked(value), dict):
        yield from _by_letter(table, row)
        return
    lines = _listed(value) if isinstance(value, list | tuple) else None
    if isinstance(value, str):
        lines = listed_text(value)
        if lines is None:
            lines = [line for line in value.splitlines() if _LETTERED.match(line)]
    if not lines or not all(isinstance(line, str | int | float) for line in lines):
        raise row.wrong(f"options: expected a list of options, got {str(value)[:80]!r}")
    matches = [_LETTERED.match(str(line)) for line in lines]
    letters = [match[1] for match in matches if match]
    if len(letters) < len(lines) or letters != sorted(set(letters)) or letters[0] != "A":
        yield from zip(string.ascii_uppercase, map(text_of_cell, lines), strict=False)
        return
    for letter, line, match in zip(letters, lines, matches, strict=True):
        yield letter, str(line)[match.end() if match else 0 :].strip()


def _by_letter(table: dict[object, object], row: Row) -> Iterator[tuple[str, str]]:
    """The options of an object by letters, or of one that holds letters and texts as columns."""
    columns = [table.get(key) for key in ("label", "text")]
    if all(isinstance(column, list) for column in columns):
        table = dict(zip(*columns, strict=False))
    for letter, option in sorted(table.items(), key=str):
        if not isinstance(letter, str) or letter not in string.ascii_uppercase or len(letter) != 1:
            raise row.wrong(f"options: expected them by A, B, ..., got {str(letter)[:80]!r}")
        if not is_missing(option):
            yield letter, text_of_cell(option)


def listed_text(text: str) -> list[object] | None:
    """A list that is written as text, in the notation of JSON or of Python; None if it is none."""
    value = unpacked(text)
    return list(value) if isinstance(value, list | tuple) else None


def _listed(value: object) -> list[object]:
    if value is None:
        return []
    if isinstance(value, str) and value.startswith("["):
        # Several images are megabytes; none of their characters is a quotation mark.
        return list(_QUOTED.findall(value))
    if isinstance(value, list | tuple):
        return [one for one in value if not is_missing(one)]
    return [value]


def _index_of(row: Row, indices: Sequence[str]) -> str:
    index = name_of(next((row.values[name] for name in indices if name in row.values), None))
    if not index:
        raise row.wrong(f"{indices[0]}: this row has none; it is what the row is called")
    return index


def _rows(table: Table) -> Iterator[TsvRow]:
    csv.field_size_limit(MAX_FIELD_CHARS)
    try:
        file = open_file(table.path)
    except OSError as error:
        raise FormatError(f"{table.path}: cannot be read ({error.strerror})") from error
    number = -1
    with file:
        lines = _Lines(file, table.path)
        rows = csv.reader(lines, delimiter="\t")
        try:
            head = [name.strip() for name in next(rows, [])]
            if "index" not in head:
                raise FormatError(
                    f"{table.path}: expected a head line with a column 'index', got {head[:12]}"
                )
            for cells in rows:
                if not cells:
                    continue
                number += 1
                yield _row(table, number, head, lines.taken(cells))
        except (csv.Error, UnicodeDecodeError) as error:
            raise FormatError(f"{table.path}: after row {number}: {error}") from error


def _row(table: Table, number: int, head: list[str], cells: list[str | Span]) -> TsvRow:
    place = f"{table.path}: row {number}"
    if len(cells) != len(head):
        raise FormatError(
            f"{place}: expected {len(head)} columns as in the head line, got {len(cells)}"
        )
    row = Row(table.path, place, dict(zip(head, cells, strict=True)))
    made = TsvRow(table, row, _index_of(row, INDICES))
    image = row.values.get("image")
    if isinstance(image, Span) or (isinstance(image, str) and len(image) > REFERENCE):
        table.places.setdefault(made.id, image)
    return made


class _Lines:
    """The lines of a file for the reader of CSV, with a mark in the place of each long cell."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._at = 0
        self._spans: list[Span] = []
        self._open = False
        """Whether a quoted cell goes on."""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_FIELD_CHARS + 1)
        if not line:
            raise StopIteration
        if len(line) > MAX_FIELD_CHARS:
            raise FormatError(f"{self._path}: a line of more than {MAX_FIELD_CHARS} bytes")
        start, self._at = self._at, self._at + len(line)
        if start == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
            start = self._at - len(line)
        return self._shortened(line, start).decode("utf-8")

    def taken(self, cells: list[str]) -> list[str | Span]:
        """The cells of a row that has been read, long ones as their places."""
        spans, self._spans = self._spans, []
        made: list[str | Span] = []
        for cell in cells:
            known = cell.startswith(_MARK) and cell[1:].isdigit() and int(cell[1:]) < len(spans)
            made.append(spans[int(cell[1:])] if known else cell)
        return made

    def _shortened(self, line: bytes, start: int) -> bytes:
        if len(line) <= LONG and b'"' not in line:
            return line
        pieces, at = list[bytes](), 0
        while at <= len(line):
            end = line.find(b"\t", at)
            end = len(line) if end < 0 else end
            within = self._open
            if within or line.startswith(b'"', at):
                self._open = within != bool(line.count(b'"', at, end) % 2)
            whole = end - at > LONG and not within and not self._open
            pieces.append(self._piece(line, at, end, start) if whole else line[at:end])
            at = end + 1
        return b"\t".join(pieces)

    def _piece(self, line: bytes, at: int, end: int, start: int) -> bytes:
        """What stands between two tabs, or a mark if it is a whole cell."""
        tail = end
        while line[end - 1] in b"\r\n":
            end -= 1
        inner = (at + 1, end - 1) if line.startswith(b'"', at) else (at, end)
        if line.find(b'"', *inner) >= 0:
            return line[at:tail]
        self._spans.append(Span(start + inner[0], start + inner[1]))
        return f"{_MARK}{len(self._spans) - 1}".encode() + line[end:tail]
