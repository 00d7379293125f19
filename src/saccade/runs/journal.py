"""The files of a run folder that grow by whole lines, whatever happens to the process."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from saccade.errors import StoreError
from saccade.files import write_whole, writing

SYNC_SECONDS = 2.0
"""How long a line may wait until it is brought to the disk itself."""


class Journal:
    """A file of lines that only grows, by whole lines."""

    def __init__(self, folder: Path, name: str) -> None:
        """Open it, and move a half line at its end to `torn/`.

        Raises:
            StoreError: the folder cannot be written.
        """
        self._path = folder / name
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with writing(self._path):
            self._keep_torn_end(folder / "torn")
            self._file = os.open(self._path, flags, 0o644)
        self._size = os.fstat(self._file).st_size
        self._synced = time.monotonic()

    def append(self, data: bytes) -> None:
        """Write a line, its end included.

        Raises:
            StoreError: the disk is full or failing; nothing that was written before is lost.
        """
        try:
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise StoreError(
                f"{self._path}: cannot be written ({error.strerror}); make room and run the same "
                "command again: it resumes, and nothing that was finished is lost"
            ) from error
        self._size += len(data)
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self._sync()

    def close(self) -> None:
        """Bring it to the disk.

        Raises:
            StoreError: that failed.
        """
        try:
            self._sync()
        finally:
            os.close(self._file)

    def _sync(self) -> None:
        with writing(self._path):
            os.fsync(self._file)
        self._synced = time.monotonic()

    def _keep_torn_end(self, torn: Path) -> None:
        """Cut what follows the last whole line, after a crash in the middle of a write."""
        if not self._path.exists():
            return
        if not self._path.is_file():
            raise OSError(errno.EINVAL, "no regular file", str(self._path))
        with self._path.open("r+b") as file:
            whole = _end_of_last_line(file)
            file.seek(whole)
            half = file.read()
            if half:
                torn.mkdir(exist_ok=True)
                write_whole(torn / f"{self._path.name}.{whole}", half)
                file.truncate(whole)


def _end_of_last_line(file: BinaryIO, step: int = 1 << 16) -> int:
    """Position after the last newline, searched from the end; 0 if there is none."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - step)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
