"""Numbers that others published on the benchmarks: data, never mixed with what is measured here.

    for row in published("vstar"):
        print(row.model, row.value, row.unit, row.source, row.protocol)

They were not measured by us, mostly not under the protocol of `saccade bench`, and mostly without
an interval. Each says where it stands and what is known of how it came about.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from saccade.errors import FormatError
from saccade.files import read_whole
from saccade.types import Record

FILE = Path(__file__).with_name("published.json")
MAX_BYTES = 2**22


class Row(Record):
    """A published number."""

    benchmark: str
    """Its name in `saccade.bench.BENCHMARKS`."""
    model: str
    tools: str
    """What the model could use; `none` is no tool."""
    metric: str
    group: str
    """As its paper names it, `all` of all items."""
    value: float
    unit: str
    """`%`, or `of 1000`."""
    n: int | None
    """Number of items, where it is known."""
    source: str
    """Paper and table."""
    protocol: str
    """What is known of how all numbers of the source were measured, and what differs from here."""
    note: str = ""
    """What is to be known of this number."""


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cite: str = Field(min_length=1)
    protocol: str = Field(min_length=1)


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    benchmark: str
    model: str = Field(min_length=1)
    tools: str = Field(min_length=1)
    metric: str
    group: str
    value: float = Field(ge=0, le=1000, allow_inf_nan=False)
    unit: str = Field(pattern="^(%|of 1000)$")
    n: int | None = Field(ge=1)
    source: str
    note: str = ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sources: dict[str, _Source]
    rows: tuple[_Line, ...]


def published(benchmark: str) -> tuple[Row, ...]:
    """The published numbers of a benchmark, in the order of the file; none of an unknown one.

    Raises:
        FormatError: the file of this package was changed into something that cannot be used.
    """
    return tuple(row for row in _rows() if row.benchmark == benchmark)


def benchmarks() -> tuple[str, ...]:
    """The benchmarks of which numbers are known."""
    return tuple(dict.fromkeys(row.benchmark for row in _rows()))


@cache
def _rows() -> tuple[Row, ...]:
    try:
        held = _File.model_validate_json(read_whole(FILE, most=MAX_BYTES))
        return tuple(_row(line, held.sources[line.source]) for line in held.rows)
    except (ValidationError, KeyError) as error:
        raise FormatError(f"{FILE}: {error}") from error


def _row(line: _Line, source: _Source) -> Row:
    given = line.model_dump(exclude={"source"})
    return Row(**given, source=source.cite, protocol=source.protocol)
