"""Tables that others open: `.tsv`, and `.xlsx` for spreadsheets, in which no text is a formula.

What a model wrote may begin with `=`, `+`, `-` or `@`, which a spreadsheet would carry out. In an
`.xlsx` file every cell is marked as text. In a `.tsv` file, which knows no marks, such a cell is
written with an apostrophe before it, numbers aside: `-5` is no formula.

Source: OWASP, "CSV Injection". It is not promised that a program which splits cells at other
characters than tabs reads them as they were written.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from saccade.errors import FormatError, MissingExtra
from saccade.files import write_whole

MAX_CELL = 32_767
"""Characters of a cell of an `.xlsx` file. Source: Microsoft, "Excel specifications and limits"."""
SHEET_SUFFIXES = (".tsv", ".xlsx")

_FORMULA = re.compile(r"[=+\-@\t\r\n]|[\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d*)?(?:[eE][+-]?\d+)?%?")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Cut(NamedTuple):
    """A cell that is longer than a spreadsheet allows, of which the beginning was written."""

    row: int
    """Counted from 0, the head line aside."""
    column: str
    characters: int
    """Number of characters that it had."""


def write_sheet(
    path: Path, columns: Sequence[str], rows: Iterable[Sequence[str | int]]
) -> tuple[Cut, ...]:
    """Write a table, whole or not at all.

    Args:
        path: A file that ends in `.tsv` or `.xlsx`.
        columns: The head line.
        rows: The cells of each row; whole numbers stay numbers.

    Returns:
        The cells that were cut: those of more than `MAX_CELL` characters, in an `.xlsx` file.

    Raises:
        FormatError: the file ends in something else.
        MissingExtra: an `.xlsx` file, and openpyxl is not installed.
        StoreError: it cannot be written.
    """
    if path.suffix == ".tsv":
        write_whole(path, _tsv(columns, rows))
        return ()
    if path.suffix == ".xlsx":
        data, cuts = _xlsx(columns, rows)
        write_whole(path, data)
        return cuts
    raise FormatError(f"{path}: expected a file that ends in {' or '.join(SHEET_SUFFIXES)}")


def inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    acts = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if acts else text


def _tsv(columns: Sequence[str], rows: Iterable[Sequence[str | int]]) -> bytes:
    out = io.StringIO(newline="")
    # Every cell is quoted, as VLMEvalKit itself does (vlmeval/smp/file.py, `dump_tsv`).
    writer = csv.writer(out, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([inert(_ILLEGAL.sub("\ufffd", str(cell))) for cell in row])
    return out.getvalue().encode("utf-8")


def _xlsx(
    columns: Sequence[str], rows: Iterable[Sequence[str | int]]
) -> tuple[bytes, tuple[Cut, ...]]:
    try:
        from openpyxl import Workbook
        from openpyxl.cell import WriteOnlyCell
    except ImportError as error:
        raise MissingExtra("openpyxl", "data") from error
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Sheet1")
    sheet.append(list(columns))
    cuts = []
    for number, row in enumerate(rows):
        cells = []
        for column, value in zip(columns, row, strict=True):
            if isinstance(value, int):
                cells.append(WriteOnlyCell(sheet, value=value))
                continue
            if len(value) > MAX_CELL:
                cuts.append(Cut(number, column, len(value)))
            cell = WriteOnlyCell(sheet, value=_ILLEGAL.sub("\ufffd", value[:MAX_CELL]) or None)
            if value:
                cell.data_type = "s"
                cell.quotePrefix = True
            cells.append(cell)
        sheet.append(cells)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue(), tuple(cuts)
