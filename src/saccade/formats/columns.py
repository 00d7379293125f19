"""Rows of a parquet file that was not made here: what a few KiB may decode to is bounded.

A value that comes a million times stands once in a file, and a page of zeros is a few bytes of it.
So texts are read as the numbers by which the file itself refers to them, what they would unfold to
is summed up for each batch, and what the file says of a row group is looked at before it is read.

`Any` is what pyarrow gives: it has no types.

Not bounded: a file whose pages hold more than its metadata says. Arrow unfolds a page as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from saccade.errors import FormatError, MissingExtra
from saccade.files import open_file, writing

if TYPE_CHECKING:
    import pyarrow

MAX_BATCH_BYTES = 512 * 2**20
"""Bytes of the values of a batch of rows, once they are unfolded."""
MAX_BATCH_VALUES = 5_000_000
"""Values of a batch of rows, each of which becomes an object."""
MAX_COLUMN_BYTES = 64 * 2**20
MAX_RATIO = 64
"""A column of a row group, and a batch of rows, may unfold to `MAX_COLUMN_BYTES`, or to so many
times its bytes."""
MAX_VALUES_A_ROW = 1_000
"""Values of a column for each row of a row group, on average, 100 000 aside."""
MAX_ROWS = 200_000
MIN_ROW_BYTES = 8
"""A file may have `MAX_ROWS`, or one for so many of its bytes: rows of nothing cost no byte in it,
and each is named before the first question."""
MAX_LISTED = 20_000
"""Row groups, columns, and whatever else a footer lists."""
MAX_FOOTER_TEXT = 16 * 2**20
"""Bytes of a text in a footer."""
REMEDY = "; if you trust the file, write it again in smaller rows and row groups"


def rows_of(
    path: Path, *, wanted: Callable[[str], bool], together: int, first: int = 0
) -> Iterator[dict[str, object]]:
    """The rows of a file, one by one; a batch of them is in memory at a time.

    Args:
        path: The file.
        wanted: Whether a column of this name is read.
        together: Number of rows of a batch.
        first: Number of rows that are left out at the beginning.

    Raises:
        FormatError: the file cannot be read, or unfolds to more than the limits allow; names file,
            row group, column and limit.
        MissingExtra: pyarrow is not installed.
    """
    with _opened(path) as file:
        names = [name for name in dict.fromkeys(file.schema_arrow.names) if wanted(name)]
        for group in range(file.metadata.num_row_groups):
            where = f"{path}: row group {group}"
            held = file.metadata.row_group(group)
            if first >= held.num_rows:
                first -= held.num_rows
                continue
            packed = _check_group(held, names, where)
            batches = iter(file.iter_batches(together, row_groups=[group], columns=names))
            while (batch := _step(batches, path)) is not None:
                _check_batch(batch, packed, where)
                yield from _step(iter([batch.slice(first)]), path, unfold=True)
                first = max(0, first - batch.num_rows)


def count_parquet_rows(path: Path) -> int:
    """How many rows a file has.

    Raises:
        FormatError: the file cannot be read.
        MissingExtra: pyarrow is not installed.
    """
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def write_rows(
    path: Path,
    schema: pyarrow.Schema,
    rows: Iterable[Mapping[str, object]],
    *,
    together: int,
) -> None:
    """Write a parquet file, whole or not at all; a row group of rows is in memory at a time.

    Args:
        path: The file.
        schema: The columns.
        rows: The rows; what they raise leaves no file.
        together: Number of rows of a row group.

    Raises:
        StoreError: it cannot be written; what was there before still is.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    remaining = iter(rows)
    try:
        with writing(path):
            with (
                pa.OSFile(str(part), "wb") as out,
                ParquetWriter(out, schema) as file,
            ):
                while batch := [*islice(remaining, together)]:
                    file.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _step(batches: Iterator[Any], path: Path, *, unfold: bool = False) -> Any:
    """The next batch, or its rows; None after the last."""
    from pyarrow import ArrowException

    try:
        batch: Any = next(batches, None)
        return batch.to_pylist() if unfold else batch
    except (OSError, ValueError, ArithmeticError, ArrowException) as error:
        raise FormatError(f"{path}: damaged ({_first_line(error)})") from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingExtra("pyarrow", "data") from error
    limits = {
        "thrift_string_size_limit": MAX_FOOTER_TEXT,
        "thrift_container_size_limit": MAX_LISTED,
    }
    try:
        file = open_file(path)
    except FileNotFoundError as error:
        raise FormatError(f"{path}: no parquet file (it does not exist)") from error
    except OSError as error:
        raise FormatError(f"{path}: no parquet file ({error.strerror})") from error
    with file:
        try:
            schema = ParquetFile(file, **limits).schema
            leaves = [schema.column(place) for place in range(len(schema))]
            texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
            parquet = ParquetFile(file, read_dictionary=texts, **limits)
        except (OSError, ValueError, ArrowException) as error:
            raise FormatError(f"{path}: no parquet file ({_first_line(error)})") from error
        held = parquet.metadata
        rows = sum(held.row_group(place).num_rows for place in range(held.num_row_groups))
        most = max(MAX_ROWS, os.fstat(file.fileno()).st_size // MIN_ROW_BYTES)
        _limited(max(held.num_rows, rows), most, "rows", str(path))
        yield parquet


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _limited(number: int, most: int, what: str, where: str) -> None:
    if number > most:
        raise FormatError(f"{where}: expected at most {most} {what}, got {number}{REMEDY}")


def _check_group(group: Any, names: list[str], where: str) -> int:
    """Refuse a row group by what the file says of it; otherwise, how many bytes it is.

    Raises:
        FormatError: names the column and the limit.
    """
    total = 0
    for place in range(group.num_columns):
        column = group.column(place)
        name = column.path_in_schema
        if name.partition(".")[0] not in names:
            continue
        here = f"{where}, column {name}"
        packed, unfolded = column.total_compressed_size, column.total_uncompressed_size
        total += packed
        _limited(unfolded, max(MAX_COLUMN_BYTES, MAX_RATIO * packed), "unfolded bytes", here)
        most = MAX_VALUES_A_ROW * group.num_rows + 100_000
        _limited(column.num_values, most, "values", here)
        if "DELTA_BYTE_ARRAY" in column.encodings:
            raise FormatError(
                f"{here}: the encoding DELTA_BYTE_ARRAY, in which few bytes unfold to any number, "
                "is not read; write the file again with the usual encodings"
            )
    return total


class _Unfolded(NamedTuple):
    size: int
    values: int


def _check_batch(batch: Any, packed: int, where: str) -> None:
    """Refuse rows by what they would unfold to.

    Raises:
        FormatError: names the limit.
    """
    found = [_unfolded(column) for column in batch.columns]
    most = min(MAX_BATCH_BYTES, max(MAX_COLUMN_BYTES, MAX_RATIO * packed))
    rows = f"bytes in {batch.num_rows} rows"
    _limited(sum(column.size for column in found), most, rows, where)
    _limited(sum(column.values for column in found), MAX_BATCH_VALUES, "values in them", where)


def _unfolded(array: Any) -> _Unfolded:
    """What the values of an array are as Python objects."""
    from pyarrow import compute, types

    kind = array.type
    if types.is_dictionary(kind):
        lengths = compute.binary_length(array.dictionary)
        size = compute.sum(lengths.take(array.indices.drop_null())).as_py() or 0
        return _Unfolded(size, len(array))
    if types.is_struct(kind):
        parts = [_unfolded(part) for part in array.flatten()]
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        parts = [_unfolded(array.flatten())]
    elif types.is_map(kind):
        parts = [_unfolded(array.keys), _unfolded(array.items)]
    else:
        parts = [_Unfolded(array.nbytes, 0)]
    return _Unfolded(
        sum(part.size for part in parts), len(array) + sum(part.values for part in parts)
    )
