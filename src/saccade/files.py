"""Files that are written whole or not at all, and files that are read with a bound.

What a user brings as text (run files, questions, scripts, prompts) goes through `text_of`, so that
one rule says which encodings are read.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from saccade.errors import FormatError, StoreError

_URL = re.compile(r"data:|[a-z][a-z0-9+.-]+://", re.IGNORECASE)


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
        with open_file(path) as file:
            number = 0
            while data := file.readline(most + 1):
                number += 1
                if len(data) > most:
                    raise FormatError(f"{path}:{number}: a line of more than {most} bytes")
                yield Line(number, data)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error


def open_file(path: Path) -> BinaryIO:
    """A file, open for reading: no folder, and no pipe or device, which may never end.

    Raises:
        OSError: it is none, or cannot be read.
    """
    # Without O_NONBLOCK, opening a pipe waits until somebody writes to it.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "no regular file, but a pipe or a device", str(path))
    return file


def read_text_lines(path: Path, *, most: int) -> Iterator[tuple[int, str]]:
    """The numbered lines of a text that a user brings; see `text_of`.

    Args:
        path: The file.
        most: Bytes that a line may have, its end included.

    Raises:
        FormatError: the file cannot be read, has a longer line, or is not UTF-8; names file and
            line.
    """
    for number, data in read_lines(path, most=most):
        yield number, text_of(data, path, line=number)


def text_of(data: bytes, path: Path, *, line: int = 1) -> str:
    """The text of a file: UTF-8, with or without a byte order mark.

    Editors and spreadsheets of Windows write the mark, which no parser takes for white space; where
    files were put together it begins a line in the middle.

    Args:
        data: What was read of the file.
        path: The file, for messages.
        line: Number of the line that `data` begins with.

    Raises:
        FormatError: another encoding; names file and line, and how to convert it.
    """
    wide = line == 1 and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if wide or b"\0" in data:
        number = line + (0 if wide else data.count(b"\n", 0, data.index(b"\0")))
        raise FormatError(
            f"{path}:{number}: expected UTF-8, got UTF-16 or bytes that are no text; convert the "
            "file: iconv -f UTF-16 -t UTF-8 OLD > NEW"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start + len(data) - len(error.object)  # the mark is no part of `object`
        number = line + data.count(b"\n", 0, start)
        raise FormatError(
            f"{path}:{number}: expected UTF-8, got the byte 0x{data[start]:02x}; if the file is "
            "Latin-1 or Windows-1252, convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"
        ) from error


def beside(path: Path, name: str, where: str) -> Path:
    """The file that another one names: in the folder of that one, or in a folder below it.

    Args:
        path: The file that names it.
        name: A path relative to the folder of `path`.
        where: The place of the name, for the message.

    Raises:
        FormatError: the path leaves the folder, also through a link, or is none.
    """
    if not name.strip() or _URL.match(name):
        raise FormatError(
            f"{where}: expected the path of a file in the folder of {path.name}, got "
            f"{name[:80]!r}; nothing is fetched from the web or read out of the text"
        )
    folder = path.parent.resolve()
    try:
        file = (folder / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise FormatError(f"{where}: {name!r} is no path ({error})") from error
    if not file.is_relative_to(folder):
        raise FormatError(f"{where}: {name!r} lies outside the folder of the file")
    return file


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
