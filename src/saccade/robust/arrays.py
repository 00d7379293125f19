"""Arrays from files that nobody vouches for: bounded, and never unpickled."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray

from saccade.errors import FormatError
from saccade.files import open_file, write_whole

Array = NDArray[np.generic]


_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
"""Version of the format -> what reads its header; the third is for names that are no Latin-1."""


BROKEN = (
    OSError, ValueError, EOFError, NotImplementedError, MemoryError, RuntimeError, TypeError,
    SyntaxError, ArithmeticError, TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What is raised of a broken file: a header is Python, and of a zip much can be wrong."""


def read_arrays(path: Path, what: str, *, most: int) -> dict[str, Array]:
    """All arrays of an `.npz`.

    Args:
        path: The file.
        what: What it should be, for the message.
        most: Bytes at most, unpacked.

    Raises:
        FormatError: no such file, one that is larger, or one that holds other than plain arrays.
    """
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as packed:
            entries = packed.infolist()
            size = sum(entry.file_size for entry in entries)
            if size > most:
                raise FormatError(f"{path}: {size} bytes unpacked, at most {most}")
            return {entry.filename.removesuffix(".npy"): _array(packed, entry) for entry in entries}
    except BROKEN as error:
        raise FormatError(f"{path}: no {what} ({error})") from error


def _array(packed: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Array:
    """The array of an entry, whose header may claim no more values than the entry has bytes.

    Raises:
        ValueError: it claims more, or is no array.
    """
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{entry.filename}: packed by a method that NumPy does not write")
    with packed.open(entry) as member:
        version = np.lib.format.read_magic(member)
        if version not in _HEADERS:
            raise ValueError(f"{entry.filename}: version {version} of the format")
        shape, _, kind = _HEADERS[version](member)
    if not kind.itemsize or math.prod(shape) * kind.itemsize > entry.file_size:
        raise ValueError(f"{entry.filename}: {shape} of {kind} in {entry.file_size} bytes")
    with packed.open(entry) as member:
        return np.asarray(np.lib.format.read_array(member, allow_pickle=False))


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write an `.npz`, as a whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_whole(path, buffer.getvalue())
