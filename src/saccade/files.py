"""Files that are written whole or not at all, and files that are read with a bound.

Every path that a user or a file names is opened for reading by `open_file` (`read_whole`,
`read_lines`); what the file system says against writing becomes an error of Saccade in `writing`.

What a user brings as text (run files, questions, scripts, prompts) goes through `text_of`, so that
one rule says which encodings are read.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from saccade.errors import FormatError, SaccadeError, StoreError

MAX_KEPT_BYTES = 256 * 2**20
"""What a file that a command left beside its run, to read it again, may have."""

_URL = re.compile(r"data:|[a-z][a-z0-9+.-]+://", re.IGNORECASE)


class Line(NamedTuple):
    """A line of a file."""

    number: int
    """Counted from 1."""
    data: bytes
    """With its end, unless it is the last one and has none."""


def read_lines(
    path: Path, *, most: int, on_long: Callable[[FormatError], None] | None = None
) -> Iterator[Line]:
    """The lines of a file, one by one; no more than one is in memory.

    Args:
        path: The file.
        most: Bytes that a line may have, its end included.
        on_long: Called for a line that is longer, which is then left out.

    Raises:
        FormatError: the file cannot be read, or, without `on_long`, has a longer line; names file
            and line.
    """
    try:
        with open_file(path) as file:
            number = 0
            while data := file.readline(most + 1):
                number += 1
                if len(data) > most:
                    error = FormatError(f"{path}:{number}: a line of more than {most} bytes")
                    if on_long is None:
                        raise error
                    on_long(error)
                    while data and not data.endswith(b"\n"):
                        data = file.readline(most)
                    continue
                yield Line(number, data)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error


def read_whole(path: Path, *, most: int) -> bytes:
    """The bytes of a file.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger.
    """
    with open_file(path) as file:
        # A buffer of all that is asked for is made before the first byte is read.
        expected = min(os.fstat(file.fileno()).st_size, most)
        data = file.read(expected + 1) or b""  # None where the kernel has nothing yet (/proc/kmsg)
        if len(data) > expected:
            data += file.read(most + 1 - len(data)) or b""
    if len(data) > most:
        raise OSError(errno.EFBIG, f"more than {most} bytes", str(path))
    return data


def open_file(path: Path) -> BinaryIO:
    """A file, open for reading: no folder, and no pipe or device, which may never end.

    What a path leads to is looked at before it is opened, since that alone may start something, and
    once more afterwards. Whatever is wrong with a path, text that is none included, is an `OSError`
    with a `strerror`.

    Raises:
        OSError: it is none, or cannot be read.
    """
    try:
        _check_regular(os.stat(path).st_mode, path)
        # Without O_NONBLOCK, opening a pipe waits until somebody writes to it.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        descriptor = os.open(path, flags)
    except ValueError as error:  # a zero byte, or half of a pair of UTF-16
        raise OSError(errno.EINVAL, f"no path: {error}", ascii(str(path))) from error
    file = os.fdopen(descriptor, "rb")
    try:
        _check_regular(os.fstat(descriptor).st_mode, path)
    except OSError:
        file.close()
        raise
    return file


def _check_regular(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise OSError(errno.EINVAL, f"no regular file, but {what}", str(path))


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
        raise FormatError(f"{where}: {name[:200]!r} is no path ({error})") from error
    if not file.is_relative_to(folder) and not _is_blob(folder, name, file):
        raise FormatError(f"{where}: {name[:200]!r} lies outside the folder of the file")
    return file


def _is_blob(folder: Path, name: str, file: Path) -> bool:
    """Whether a file of a snapshot of huggingface_hub leads to the content that is kept beside it.

    Source: huggingface_hub, "Understand caching": `snapshots/<revision>/<path>` is a link to
    `blobs/<hash>`, in the folder of one repository.
    """
    if not (folder / os.path.normpath(name)).is_relative_to(folder) or ".." in Path(name).parts:
        return False
    snapshots = next((parent for parent in folder.parents if parent.name == "snapshots"), None)
    return snapshots is not None and file.parent == snapshots.with_name("blobs")


def write_whole(file: Path, data: bytes) -> None:
    """Write a file so that it is there as a whole or not at all.

    Raises:
        StoreError: it cannot be written; what was there before still is.
    """
    write_parts(file, (data,))


def write_parts(file: Path, parts: Iterable[bytes]) -> None:
    """The same for a file that is made piece by piece, and may be larger than memory.

    Raises:
        StoreError: it cannot be written; what was there before still is.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    with writing(file):
        try:
            part.unlink(missing_ok=True)
            # A link that lies there already would lead the bytes to another file.
            with part.open("xb") as out:
                out.writelines(parts)
                out.flush()
                os.fsync(out.fileno())
            part.replace(file)
        except (OSError, SaccadeError):
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise


def make_folder(folder: Path) -> None:
    """Create a folder with those above it; one that is there is left as it is.

    Raises:
        StoreError: it cannot be created.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """What the file system refuses within is a `StoreError`: place, cause and what to do."""
    try:
        yield
    except SaccadeError:
        raise
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else f"no path: {error}"
        number = error.errno if isinstance(error, OSError) else None
        remedy = _REMEDIES.get(number or 0, "choose another place, such as another out")
        raise StoreError(f"{place}: cannot be written ({cause}); {remedy}") from error


_RESUME = "make room and run the same command again: it resumes"
_ALLOWED = "choose a folder that you may write to, such as another out"
_REMEDIES = {
    errno.ENOSPC: _RESUME,
    errno.EDQUOT: _RESUME,
    errno.EFBIG: _RESUME,
    errno.EIO: "the disk is failing or gone; run the same command again when it is back",
    errno.EROFS: _ALLOWED,
    errno.EACCES: _ALLOWED,
    errno.EPERM: _ALLOWED,
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n) or lower concurrency",
    errno.ENFILE: "too many files are open on this machine",
}
"""What helps against an error of the file system."""
