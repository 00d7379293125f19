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
the latest `journal.SYNC_SECONDS` later (and when the folder is closed), so a power cut can cost
that much. One process writes to a folder; a second one is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from pydantic import BaseModel

from saccade.errors import ConfigError, FormatError, StoreError
from saccade.files import read_lines, write_whole, writing
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.images.image import Image, read_bounded
from saccade.plugins import MAX_REASON
from saccade.runs.claim import Claim
from saccade.runs.journal import Journal
from saccade.runs.lines import MAX_LINE_BYTES, line_of, record_of
from saccade.runs.manifest import Manifest, read_manifest
from saccade.types import StopReason, Task, Trajectory

JOURNALS = ("tasks.jsonl", "trajectories.jsonl", "aborted.jsonl", "reward_failed.jsonl")
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
            with writing(self.path):
                self._clear_parts()
                (self.path / "images").mkdir(exist_ok=True)
            self._tasks, self._finished, self._aborted, self._failed = (
                Journal(self.path, name) for name in JOURNALS
            )
            reader = RunReader(self.path)
            self._asked = {task.id: _digest(task) for task in reader.tasks()}
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

    def check(self, task: Task) -> None:
        """Refuse a question that is another one than the folder holds under its id.

        Raises:
            ConfigError: its text, images, options, answer, boxes or notes have changed.
        """
        held = self._asked.get(task.id)
        if held is not None and held != _digest(task):
            raise ConfigError(
                f"{self.path}: the question {task.id!r} is another one than the folder holds: "
                f"{self._changed_in(task)} changed. The data has changed since, or how Saccade "
                "reads it; choose another out, so that no table mixes the two"
            )

    def _changed_in(self, task: Task) -> str:
        held = next(t for t in RunReader(self.path).tasks() if t.id == task.id)
        old, new = held.model_dump(mode="json"), task.model_dump(mode="json")
        return ", ".join(key for key in new if old[key] != new[key])

    def append(self, task: Task, trajectory: Trajectory) -> Trajectory:
        """Keep a finished episode: its images first, then its task, then its line.

        Returns:
            The episode as it is kept. One that no reader would take (`saccade.runs.lines`) is kept
            as aborted, without its turns: it is attempted again, and holds up no other.

        Raises:
            ValueError: the episode is not finished, or is in the folder already.
            FormatError: no reader would take the task.
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
            named = line_of(task, f"{self.path}/tasks.jsonl: {task.id}")
            kept, line = _readable(trajectory, f"{self.path}: {trajectory.id}")
            for image in {*task.images, *kept.images}:
                self._keep_image(image)
            if task.id not in self._asked:
                self._tasks.append(named)
                self._asked[task.id] = _digest(task)
            if kept.stop is StopReason.ABORTED:
                self._aborted.append(line)
            elif kept.reward_failed:
                self._failed.append(line)
                self._waiting.add(key)
            else:
                self._finished.append(line)
                self._done.add(key)
                self._waiting.discard(key)
        return kept

    def close(self, *, failed: bool = False) -> None:
        """Bring everything to the disk and let others write.

        Args:
            failed: Whether the run failed: if no episode had ended yet, the folder is removed.
        """
        with ExitStack() as stack:
            stack.callback(self._claim.release, failed=failed)
            for journal in (self._tasks, self._finished, self._aborted, self._failed):
                stack.callback(journal.close)

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


def _digest(task: Task) -> bytes:
    return hashlib.blake2b(task.model_dump_json().encode(), digest_size=16).digest()


def _readable(trajectory: Trajectory, where: str) -> tuple[Trajectory, bytes]:
    """An episode with its line, or the note that it cannot be kept."""
    try:
        return trajectory, line_of(trajectory, where)
    except FormatError as error:
        bare = trajectory.model_copy(
            update={"turns": (), "stop": StopReason.ABORTED, "verdict": None, "score": None,
                    "annotations": {}, "error": str(error)[:MAX_REASON], "traceback": None}
        )  # fmt: skip
        return bare, line_of(bare, where)


class RunReader:
    """A run folder open for reading; the run may still be in progress."""

    def __init__(
        self,
        path: Path,
        *,
        max_pixels: int | None = None,
        on_damaged: Callable[[FormatError], None] | None = None,
    ) -> None:
        """Look at a run folder.

        Args:
            path: The folder.
            max_pixels: Images with more pixels are refused when they are decoded; None: as many as
                the run itself was allowed.
            on_damaged: Called for each record that cannot be used, which is then left out; None:
                the first one is an error.

        Raises:
            StoreError: there is no run in this folder.
            FormatError: its `run.json` is damaged.
        """
        self.path = Path(path)
        self.manifest = read_manifest(self.path)
        own = self.manifest.config.get("max_image_pixels")
        allowed = own if isinstance(own, int) else MAX_SOURCE_PIXELS
        self._max_pixels = allowed if max_pixels is None else min(max_pixels, allowed)
        self._on_damaged = on_damaged

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
        tasks = _Tasks(self)
        done: set[Key] = set()
        for trajectory in self.trajectories():
            key = (trajectory.task_id, trajectory.sample)
            if key in done and self._on_damaged is not None:
                self._on_damaged(self._problem(trajectory, "it comes twice; the first one counts"))
                continue
            done.add(key)
            yield from self._entry(tasks, trajectory)
        attempts = {(t.task_id, t.sample): t for t in self.aborted()}
        for key, trajectory in attempts.items():
            if key not in done:
                yield from self._entry(tasks, trajectory)

    def waiting(self) -> Iterator[Entry]:
        """Finished episodes on which the reward failed, and that have no score yet."""
        return (entry for entry in self.entries() if entry.trajectory.reward_failed)

    def _entry(self, tasks: _Tasks, trajectory: Trajectory) -> Iterator[Entry]:
        task = tasks.get(trajectory.task_id)
        if task is not None:
            yield Entry(task, trajectory)
            return
        missing = FormatError(
            f"{self.path}/tasks.jsonl: task {trajectory.task_id[:200]!r} is missing"
        )
        if self._on_damaged is None:
            raise missing
        self._on_damaged(missing)

    def _problem(self, trajectory: Trajectory, what: str) -> FormatError:
        return FormatError(f"{self.path}: episode {trajectory.id[:200]!r}: {what}")

    def image_bytes(self, name: str) -> bytes:
        """The bytes of a source, by the name that an image record holds.

        Raises:
            StoreError: the folder has no such image, or it lies outside of it.
        """
        file = self.path / "images" / name
        if not _IMAGE_NAME.fullmatch(name) or not self._is_inside(file):
            raise StoreError(f"{name[:100]!r} is no image of a run folder")
        try:
            return read_bounded(file)
        except OSError as error:
            raise StoreError(f"{file}: cannot be read ({error.strerror})") from error

    def _is_inside(self, file: Path) -> bool:
        """Whether a file is itself in the folder: a link may lead to anything of this machine."""
        try:
            return file.resolve() == self.path.resolve() / file.relative_to(self.path)
        except (OSError, RuntimeError):  # links in a circle
            return False

    def _lines(self, name: str, record: type[_Line]) -> Iterator[_Line]:
        """The whole lines of a file; a last line without its end is still being written.

        Raises:
            FormatError: names file and line of what is damaged, unless `on_damaged` takes it.
        """
        file = self.path / name
        if not os.path.lexists(file):
            return
        context = {"images": self.image_bytes, "max_pixels": self._max_pixels}
        try:
            if not self._is_inside(file):
                raise FormatError(f"{file}: a link that leads out of the run folder is not read")
            for number, line in read_lines(file, most=MAX_LINE_BYTES, on_long=self._on_damaged):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield record_of(line, record, context, f"{file}:{number}")
                except FormatError as error:
                    if self._on_damaged is None:
                        raise
                    self._on_damaged(error)
        except FormatError as error:
            if self._on_damaged is None:
                raise
            self._on_damaged(error)


class _Tasks:
    """The tasks of a run by their ids; they are read again where the run has gone on since."""

    def __init__(self, reader: RunReader) -> None:
        self._reader = reader
        self._read: dict[str, Task] = {}
        self._bytes = -1

    def get(self, name: str) -> Task | None:
        if name not in self._read and (size := self._size()) != self._bytes:
            self._bytes = size
            self._read.update((task.id, task) for task in self._reader.tasks())
        return self._read.get(name)

    def _size(self) -> int:
        try:
            return (self._reader.path / "tasks.jsonl").stat().st_size
        except OSError:
            return 0


def finished_in(run: str | Path) -> int:
    """How many episodes a run has finished, at most: attempts at a score may be counted twice."""
    files = (Path(run) / name for name in ("trajectories.jsonl", "reward_failed.jsonl"))
    present = [file for file in files if file.exists()]
    return sum(1 for file in present for _ in read_lines(file, most=MAX_LINE_BYTES))
