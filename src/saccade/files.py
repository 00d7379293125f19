"""Files that are written whole or not at all, and lines that are read with a bound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from saccade.errors import FormatError, StoreError


class Line(NamedTuple):
    """A line of a file."""

    number: int
    """Counted from 1."""
    data: bytes
    """With its end, unless it is the last one and has none."""


def read_lines(path: Path, *, most: int) -> Iterator[Line]:
    """The lines of a file, one by one; no more than one is in memory.

    Args:
        path: The file.
        most: Bytes that a line may have, its end included.

    Raises:
        FormatError: the file cannot be read, or has a longer line; names file and line.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while data := file.readline(most + 1):
                number += 1
                if len(data) > most:
                    raise FormatError(f"{path}:{number}: a line of more than {most} bytes")
                yield Line(number, data)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error


def write_whole(file: Path, data: bytes) -> None:
    """Write a file so that it is there as a whole or not at all.

    Raises:
        StoreError: it cannot be written; what was there before still is.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(
            f"{file}: cannot be written ({error.strerror}); make room and run the same command "
            "again: it resumes"
        ) from error
