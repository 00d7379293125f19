"""Arrays from files that nobody vouches for: bounded, and never unpickled."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saccade.errors import FormatError
from saccade.files import write_whole

Array = NDArray[np.generic]


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
        with zipfile.ZipFile(path) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size <= most:
            with np.load(path, allow_pickle=False) as held:
                return {name: held[name] for name in held.files}
    # A header can claim more values than there is memory; of a zip much can be wrong.
    except (OSError, ValueError, EOFError, NotImplementedError, MemoryError, RuntimeError,
            zipfile.BadZipFile) as error:  # fmt: skip
        raise FormatError(f"{path}: no {what} ({error})") from error
    raise FormatError(f"{path}: {size} bytes unpacked, at most {most}")


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write an `.npz`, as a whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_whole(path, buffer.getvalue())
