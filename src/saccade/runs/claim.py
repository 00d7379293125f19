"""Holding a run folder: one process at a time, and nothing is left of a run that never began.

    with Claim(out, manifest, begun=("metrics.jsonl", "checkpoint-*")):
        ...                                # load, check, train

What has begun stands on the disk, not in a process: a run whose folder holds none of the files
that it is known by has done nothing, even if it was killed. Another run may take its place; and if
it fails, what it made is removed, so that the corrected command finds the folder free.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from saccade.errors import ConfigError, StoreError, StoreLocked
from saccade.runs.manifest import RUN, Manifest, keep_manifest

LOCK = "lock"


class Claim:
    """A run folder that this process holds. Use it as a context manager."""

    def __init__(self, folder: Path, manifest: Manifest, *, begun: Sequence[str]) -> None:
        """Create the folder, or take it over if it holds a run that means the same.

        Args:
            folder: The run folder.
            manifest: What is to be run in it.
            begun: Patterns of the files and folders that a run of this kind leaves when it has done
                something; an empty file is none.

        Raises:
            StoreLocked: another process holds it.
            ConfigError: it holds another run, or a file is in the way.
            StoreError: it cannot be created.
        """
        self._folder, self._begun = Path(folder), tuple(begun)
        if self._folder.exists() and not self._folder.is_dir():
            raise ConfigError(f"out={folder}: a file is in the way")
        missing = [path for path in (self._folder, *self._folder.parents) if not path.exists()]
        self._made = tuple(missing)
        was_empty = bool(missing) or not any(self._folder.iterdir())
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be created ({error.strerror})") from error
        self._lock = FileLock(self._folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StoreLocked(
                f"{folder}: another process writes to this run folder; wait for it or choose "
                "another out"
            ) from None
        self._all_is_ours = was_empty
        try:
            if not self.has_begun:
                (self._folder / RUN).unlink(missing_ok=True)
            keep_manifest(self._folder, manifest)
        except BaseException:
            self.release(failed=True)
            raise

    @property
    def has_begun(self) -> bool:
        """Whether the folder holds something that was done."""
        found = (path for pattern in self._begun for path in self._folder.glob(pattern))
        return any(path.is_dir() or path.stat().st_size for path in found)

    def release(self, *, failed: bool) -> None:
        """Let others have the folder; if the run failed before it began, nothing of it is left."""
        if not failed or self.has_begun:
            self._lock.release()
            return
        for path in sorted(self._folder.rglob("*"), reverse=True):
            if path.name == LOCK and path.parent == self._folder:
                continue
            if self._all_is_ours or path == self._folder / RUN or _is_empty(path):
                _remove(path)
        self._lock.release()
        (self._folder / LOCK).unlink(missing_ok=True)
        for folder in self._made:
            with suppress(OSError):  # it holds something else by now
                folder.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.release(failed=kind is not None)


def _is_empty(path: Path) -> bool:
    return not any(path.iterdir()) if path.is_dir() else not path.lstat().st_size


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
