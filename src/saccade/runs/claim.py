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

from saccade.errors import ConfigError, StoreLocked
from saccade.files import writing
from saccade.runs.manifest import FINISHED, RUN, Manifest, keep_manifest, read_manifest

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
            ConfigError: it holds another run or something that is no run, or a file is in the way.
            StoreError: it cannot be created.
        """
        self._folder, self._begun = Path(folder), tuple(begun)
        with writing(self._folder):
            self._hold()
            self._found = frozenset(path.name for path in self._folder.iterdir()) - {LOCK}
        try:
            with writing(self._folder):
                self._take_over(manifest.verb)
                keep_manifest(self._folder, manifest)
        except BaseException:
            self.release(failed=True)
            raise

    def _hold(self) -> None:
        """Create the folder and lock it.

        Raises:
            StoreLocked: another process holds it.
            ConfigError: a file is in the way.
            OSError: it cannot be created.
        """
        if self._folder.exists() and not self._folder.is_dir():
            raise ConfigError(f"out={self._folder}: a file is in the way")
        above = (self._folder, *self._folder.parents)
        self._made = tuple(path for path in above if not path.exists())
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self._folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StoreLocked(
                f"{self._folder}: another process writes to this run folder; wait for it or "
                "choose another out"
            ) from None

    def _take_over(self, verb: str) -> None:
        """Make way where a run was killed before it began; refuse a folder of something else.

        Raises:
            ConfigError: the folder holds something, and no run.
            FormatError: its `run.json` is damaged.
        """
        held = self._folder / RUN
        if not held.exists():
            if not self._is_bare:
                raise ConfigError(
                    f"out={self._folder}: a folder with other content; choose another out"
                )
        elif not self.has_begun and (self._is_bare or read_manifest(self._folder).verb == verb):
            if self._is_bare:
                self._found -= {RUN}
            held.unlink()
            (self._folder / FINISHED).unlink(missing_ok=True)

    @property
    def _is_bare(self) -> bool:
        """Whether nothing in the folder has content, the files of every run left aside."""
        files = (path for path in self._folder.rglob("*") if path.is_file())
        ours = {self._folder / LOCK, self._folder / RUN}
        ours |= set(self._folder.glob(f".{RUN}.*.part"))  # of a writer that was killed
        return not any(path.stat().st_size for path in files if path not in ours)

    @property
    def has_begun(self) -> bool:
        """Whether the folder holds something that was done."""
        found = (path for pattern in self._begun for path in self._folder.glob(pattern))
        return any(path.is_dir() or path.stat().st_size for path in found)

    def release(self, *, failed: bool) -> None:
        """Let others have the folder; if the run failed before it began, nothing of it is left.

        What was in the folder before stays, whatever it is.
        """
        try:
            if failed and not self.has_begun:
                with suppress(OSError):  # a disk that can take nothing gives nothing up either
                    self._remove_what_was_made()
                    # While it is held, or it is another's.
                    (self._folder / LOCK).unlink(missing_ok=True)
                for folder in self._made:
                    with suppress(OSError):  # it holds something else by now
                        folder.rmdir()
        finally:
            self._lock.release()

    def _remove_what_was_made(self) -> None:
        """Beside what others have put there, `run.json` stays: it marks the folder as a run's."""
        for path in self._folder.iterdir():
            if path.name not in self._found | {LOCK}:
                _remove(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.release(failed=kind is not None)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
