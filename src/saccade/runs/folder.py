"""The run folder: what a run leaves on disk, whatever happens to it.

    run.json               what was run (`saccade.runs.manifest`)
    finished.json          what came of it, when nothing was left to do (`saccade.runs.finished`)
    tasks.jsonl            the tasks that were attempted, each once
    trajectories.jsonl     a finished episode a line, in the order in which they finished
    aborted.jsonl          episodes that failed on our side; a rerun attempts them again
    reward_failed.jsonl    finished episodes on which the reward raised; a rerun scores them again
    images/<sha256>.<ext>  the sources of all images, each once: a file's own bytes, or PNG
    torn/                  half lines that a crash left behind, kept for inspection
    lock                   held by the process that writes (`saccade.runs.claim`)

Promises. An episode is finished when `append` has returned; from then on neither `kill -9` nor a
full disk loses it, and a rerun neither repeats nor duplicates it. Lines reach the disk itself at
the latest `SYNC_SECONDS` later (and when the folder is closed), so a power cut can cost that much.
One process writes to a folder; a second one is refused.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ValidationError

from saccade.errors import FormatError, StoreError
from saccade.files import read_lines, write_whole
from saccade.images.image import Image, read_bounded
from saccade.runs.claim import Claim
from saccade.runs.manifest import Manifest, read_manifest
from saccade.types import StopReason, Task, Trajectory

JOURNALS = ("tasks.jsonl", "trajectories.jsonl", "aborted.jsonl", "reward_failed.jsonl")
SYNC_SECONDS = 2.0
MAX_LINE_BYTES = 256 * 2**20
_IMAGE_NAME = re.compile(r"[0-9a-f]{64}\.[a-z]{3,4}")
_Line = TypeVar("_Line", bound=BaseModel)

Key = tuple[str, int]
"""Task id and sample: what makes an episode one of its run."""


class Entry(NamedTuple):
    """A finished episode with its task."""

    task: Task
    trajectory: Trajectory


class RunFolder:
    """A run folder open for writing. Use it as a context manager."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        """Create the folder, or resume it if it holds a run with the same configuration.

        Raises:
            StoreLocked: another process writes to it.
            ConfigError: it holds another run, or something that is no run.
            StoreError: it cannot be created.
        """
        self.path = Path(path)
        self._claim = Claim(self.path, manifest, begun=JOURNALS)
        try:
            self._clear_parts()
            (self.path / "images").mkdir(exist_ok=True)
            self._tasks, self._finished, self._aborted, self._failed = (
                _Journal(self.path, name) for name in JOURNALS
            )
            reader = RunReader(self.path)
            self._task_ids = {task.id for task in reader.tasks()}
            self._done: set[Key] = set()
            self._waiting: set[Key] = set()
            for t in reader.trajectories():
                (self._waiting if t.reward_failed else self._done).add((t.task_id, t.sample))
        except BaseException:
            self._claim.release(failed=True)
            raise
        self._mutex = threading.Lock()

    @property
    def done(self) -> frozenset[Key]:
        """Episodes that need no rerun: finished ones, time-outs included."""
        return frozenset(self._done)

    @property
    def waiting(self) -> frozenset[Key]:
        """Episodes that need no rerun either, but a score: the reward failed on them."""
        return frozenset(self._waiting)

    def append(self, task: Task, trajectory: Trajectory) -> None:
        """Keep a finished episode: its images first, then its task, then its line.

        Raises:
            ValueError: the episode is not finished, or is in the folder already.
            StoreError: the disk is full or failing; nothing that was finished is lost.
        """
        key = (trajectory.task_id, trajectory.sample)
        if trajectory.stop is None:
            raise ValueError(f"{trajectory.id}: the episode is not finished")
        if task.id != trajectory.task_id:
            raise ValueError(f"{trajectory.id}: not an episode of task {task.id}")
        with self._mutex:
            if key in self._done:
                raise ValueError(f"{trajectory.id}: already in {self.path}")
            for image in {*task.images, *trajectory.images}:
                self._keep_image(image)
            if task.id not in self._task_ids:
                self._tasks.append(task.model_dump_json())
                self._task_ids.add(task.id)
            line = trajectory.model_dump_json()
            if trajectory.stop is StopReason.ABORTED:
                self._aborted.append(line)
            elif trajectory.reward_failed:
                self._failed.append(line)
                self._waiting.add(key)
            else:
                self._finished.append(line)
                self._done.add(key)
                self._waiting.discard(key)

    def close(self, *, failed: bool = False) -> None:
        """Bring everything to the disk and let others write.

        Args:
            failed: Whether the run failed: if no episode had ended yet, the folder is removed.
        """
        for journal in (self._tasks, self._finished, self._aborted, self._failed):
            journal.close()
        self._claim.release(failed=failed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(failed=kind is not None)

    def _clear_parts(self) -> None:
        """Remove what a killed writer left of a file that was never completed."""
        for folder in (self.path, self.path / "images"):
            for part in folder.glob(".*.part"):
                part.unlink(missing_ok=True)

    def _keep_image(self, image: Image) -> None:
        file = self.path / "images" / image.source.name
        if not file.exists():
            write_whole(file, image.source.encoded())


class RunReader:
    """A run folder open for reading; the run may still be in progress."""

    def __init__(self, path: Path) -> None:
        """Look at a run folder.

        Raises:
            StoreError: there is no run in this folder.
            FormatError: its `run.json` is damaged.
        """
        self.path = Path(path)
        self.manifest = read_manifest(self.path)

    def tasks(self) -> Iterator[Task]:
        """The tasks that were attempted."""
        return self._lines("tasks.jsonl", Task)

    def trajectories(self) -> Iterator[Trajectory]:
        """Finished episodes, in the order in which they finished; those that wait come last."""
        done: set[Key] = set()
        for trajectory in self._lines("trajectories.jsonl", Trajectory):
            done.add((trajectory.task_id, trajectory.sample))
            yield trajectory
        failed = self._lines("reward_failed.jsonl", Trajectory)
        attempts = {(t.task_id, t.sample): t for t in failed}
        yield from (t for key, t in attempts.items() if key not in done)

    def aborted(self) -> Iterator[Trajectory]:
        """Episodes that failed on our side, all attempts."""
        return self._lines("aborted.jsonl", Trajectory)

    def entries(self) -> Iterator[Entry]:
        """Every episode with its task: finished ones, then those that were only aborted so far."""
        tasks: dict[str, Task] = {}
        done: set[Key] = set()
        for trajectory in self.trajectories():
            done.add((trajectory.task_id, trajectory.sample))
            yield self._entry(tasks, trajectory)
        attempts = {(t.task_id, t.sample): t for t in self.aborted()}
        for key, trajectory in attempts.items():
            if key not in done:
                yield self._entry(tasks, trajectory)

    def waiting(self) -> Iterator[Entry]:
        """Finished episodes on which the reward failed, and that have no score yet."""
        return (entry for entry in self.entries() if entry.trajectory.reward_failed)

    def _entry(self, tasks: dict[str, Task], trajectory: Trajectory) -> Entry:
        """An episode with its task; tasks are read again where the run has gone on since."""
        if trajectory.task_id not in tasks:
            tasks.update((task.id, task) for task in self.tasks())
        task = tasks.get(trajectory.task_id)
        if task is None:
            raise FormatError(f"{self.path}/tasks.jsonl: task {trajectory.task_id!r} is missing")
        return Entry(task, trajectory)

    def image_bytes(self, name: str) -> bytes:
        """The bytes of a source, by the name that an image record holds.

        Raises:
            StoreError: the folder has no such image.
        """
        file = self.path / "images" / name
        if not _IMAGE_NAME.fullmatch(name) or file.is_symlink():
            raise StoreError(f"{name[:100]!r} is no image of a run folder")
        try:
            return read_bounded(file)
        except OSError as error:
            raise StoreError(f"{file}: cannot be read ({error.strerror})") from error

    def _lines(self, name: str, record: type[_Line]) -> Iterator[_Line]:
        """The whole lines of a file; a last line without its end is still being written.

        Raises:
            FormatError: names file and line of what is damaged.
        """
        file = self.path / name
        if not file.exists():
            return
        for number, line in read_lines(file, most=MAX_LINE_BYTES):
            if not line.endswith(b"\n"):
                return
            try:
                yield record.model_validate_json(line, context={"images": self.image_bytes})
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise FormatError(f"{file}:{number}: damaged ({reason})") from error


def finished_in(run: str | Path) -> int:
    """How many episodes a run has finished, at most: attempts at a score may be counted twice."""
    files = (Path(run) / name for name in ("trajectories.jsonl", "reward_failed.jsonl"))
    present = [file for file in files if file.exists()]
    return sum(1 for file in present for _ in read_lines(file, most=MAX_LINE_BYTES))


class _Journal:
    """A file of lines that only grows, by whole lines."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        self._keep_torn_end(folder / "torn")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(self._path, flags, 0o644)
        self._size = os.fstat(self._file).st_size
        self._synced = time.monotonic()

    def append(self, line: str) -> None:
        data = line.encode() + b"\n"
        try:
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            os.ftruncate(self._file, self._size)
            raise StoreError(
                f"{self._path}: cannot be written ({error.strerror}); make room and run the same "
                "command again: it resumes, and nothing that was finished is lost"
            ) from error
        self._size += len(data)
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self._sync()

    def close(self) -> None:
        self._sync()
        os.close(self._file)

    def _sync(self) -> None:
        os.fsync(self._file)
        self._synced = time.monotonic()

    def _keep_torn_end(self, torn: Path) -> None:
        """Cut what follows the last whole line, after a crash in the middle of a write."""
        if not self._path.exists():
            return
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
