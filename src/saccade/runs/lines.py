"""The lines of a run folder: what is written is read back first, so that no reader refuses it.

A line may come from somebody else, and each of its values costs many times its bytes. The limits
are beyond any episode: two million tokens with their ids and log-probabilities are within them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from saccade.errors import FormatError

MAX_LINE_BYTES = 128 * 2**20
MAX_VALUES, MAX_TEXTS, MAX_NESTED = 5_000_000, 1_000_000, 1_000_000
"""Values of a line; texts among them, and keys; lists and objects. Until it is known to be wrong, a
number takes 160 bytes, a text or a list 400."""
MAX_MISTAKES = 1_000
"""Mistakes that are spelled out to name the first one: each takes two thousand bytes more."""

_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_Record = TypeVar("_Record", bound=BaseModel)


def line_of(record: BaseModel, where: str) -> bytes:
    """A record as a line that `record_of` reads, its end included.

    Raises:
        FormatError: none is; the message says why.
    """
    try:
        line = record.model_dump_json().encode() + b"\n"
    except ValueError as error:  # nested beyond what can be written
        raise FormatError(f"{where}: cannot be written as JSON ({error})") from error
    record_of(line, type(record), {}, where)
    return line


def record_of(
    line: bytes, kind: type[_Record], context: Mapping[str, object], where: str
) -> _Record:
    """The record in a line.

    Args:
        line: With its end.
        kind: What it should be.
        context: Where images are found; see `saccade.images.image.Image`.
        where: File and line, for messages.

    Raises:
        FormatError: it is damaged, or larger than the limits allow.
    """
    _check_size(line, where)
    try:
        return kind.model_validate_json(line, context=dict(context))
    except ValidationError as error:
        if error.error_count() > MAX_MISTAKES:
            raise FormatError(f"{where}: damaged ({error.error_count()} mistakes)") from error
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:200]
        what = f"{place}: {first['msg'][:500]}" if place else first["msg"][:500]
        raise FormatError(f"{where}: damaged ({what})") from error


def _check_size(line: bytes, where: str) -> None:
    if len(line) > MAX_LINE_BYTES:
        raise FormatError(f"{where}: a line of more than {MAX_LINE_BYTES} bytes")
    if not _too_many(line):
        return
    # Code and formulas in a text have brackets of their own. A line of more texts than are
    # allowed keeps those of the others, which are counted and change nothing.
    if too_many := _too_many(_TEXT.sub(b'""', line, MAX_TEXTS + 1)):
        raise FormatError(f"{where}: {too_many} in a record")


def _too_many(line: bytes) -> str:
    """Of what a line holds more than it may; empty if it does not."""
    for number, most, what in (
        (line.count(b","), MAX_VALUES, "values"),
        (line.count(b'"') // 2, MAX_TEXTS, "texts and keys"),
        (line.count(b"{") + line.count(b"["), MAX_NESTED, "lists and objects"),
    ):
        if number > most:
            return f"more than {most} {what}"
    return ""
