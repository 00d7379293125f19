"""Disks that fail at a chosen moment, so that every moment can be tried.

    with disk(folder, "full") as whole:             # nothing fails yet: how many steps are there?
        work()
    for step in range(whole.steps):
        with disk(folder, "full", at=step), pytest.raises(StoreError):
            work()                                  # the disk is full from this step on
        work()                                      # room was made: it goes on

A step is what the kind can fail: a file that is begun, a write, an `fsync`, a new folder, a rename.
A write that fails or is killed has written half of its bytes. `killed` ends the process with
SIGKILL, so it belongs into a child process.

What this reaches: what Python itself writes below the folder, by `open`, `os` and `pathlib`, of
this process. What it does not: libraries that write with code of their own (safetensors, torch,
pyarrow), other processes, and what the kernel of a real disk reorders when the power is cut.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, get_args
from unittest import mock

from saccade.config import check_choice

Fault = Literal["full", "read_only", "failing", "killed"]
Step = Literal["create", "write", "sync", "folder", "rename", "remove", "cut"]

_FAILS: dict[Fault, frozenset[Step]] = {
    "full": frozenset({"create", "write", "sync", "folder"}),
    "read_only": frozenset(get_args(Step)),
    "failing": frozenset({"write", "sync", "cut", "rename"}),
    "killed": frozenset(get_args(Step)),
}
_ERRORS = {"full": errno.ENOSPC, "read_only": errno.EROFS, "failing": errno.EIO}

_Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class Disk:
    """The disk below a folder.

    Args:
        folder: What lies in it is on the disk.
        kind: How it fails.
        at: The step from which on it fails, counted from 0; None: it does not.
    """

    def __init__(self, folder: Path, kind: Fault, at: int | None) -> None:
        self.steps = 0
        """Number of steps so far that this kind of fault can fail."""
        self._folder = os.path.realpath(folder)
        self._kind, self._at = kind, at
        self._files: dict[int, tuple[int, int]] = {}
        self._lock = threading.RLock()

    def holds(self, place: object) -> bool:
        """Whether a path, or an open file, lies on the disk."""
        if isinstance(place, int):
            return self._files.get(place) == _identity(place)
        if not isinstance(place, str | bytes | os.PathLike):
            return False
        path = os.path.realpath(os.fsdecode(place))
        return path == self._folder or path.startswith(self._folder + os.sep)

    def opened(self, descriptor: int) -> None:
        """From here on this open file belongs to the disk."""
        self._files[descriptor] = _identity(descriptor)

    def step(self, step: Step, *, first: Callable[[], object] = lambda: None) -> None:
        """One step, which fails if its time has come.

        Args:
            step: Which.
            first: What still happens before it fails.

        Raises:
            OSError: it fails.
        """
        if step not in _FAILS[self._kind]:
            return
        with self._lock:
            number = self.steps
            self.steps += 1
        if self._at is None or number < self._at:
            return
        if number == self._at:
            first()
        if self._kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        code = _ERRORS[self._kind]
        raise OSError(code, os.strerror(code))


@contextmanager
def disk(folder: str | Path, kind: Fault, *, at: int | None = None) -> Iterator[Disk]:
    """While it is open, the disk below a folder fails from a step on.

    Args:
        folder: What lies in it is on the disk; it need not be there yet.
        kind: full: no room for more; read_only: nothing can be changed; failing: writes do not
            reach the disk; killed: the process ends.
        at: The step from which on it fails, counted from 0; None: it does not, and is counted.

    Raises:
        ConfigError: there is no such kind.
    """
    check_choice("kind", kind, get_args(Fault))
    made = Disk(Path(folder), kind, at)
    with ExitStack() as stack:
        for module, name, function in _patches(made):
            stack.enter_context(mock.patch.object(module, name, function))
        yield made


def _identity(descriptor: int) -> tuple[int, int]:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return (-1, -1)
    return found.st_dev, found.st_ino


def _patches(made: Disk) -> Sequence[tuple[Any, str, Callable[..., object]]]:
    """What Python writes with, each with the function that stands in for it."""

    def _guarded(name: str, step: Step) -> tuple[Any, str, Callable[..., object]]:
        real = getattr(os, name)

        def _stands_in(*places: Any, **more: Any) -> object:
            if any(made.holds(place) for place in places[:2]):
                made.step(step)
            return real(*places, **more)

        return os, name, _stands_in

    real_open, real_os_open, real_write = io.open, os.open, os.write

    def _write(descriptor: int, data: bytes) -> int:
        if made.holds(descriptor):
            half = memoryview(data)[: len(data) // 2]
            made.step("write", first=lambda: real_write(descriptor, half))
        return real_write(descriptor, data)

    def _os_open(path: _Path, flags: int, *how: Any, **more: Any) -> int:
        ours = flags & (os.O_WRONLY | os.O_RDWR) and made.holds(path)
        if ours and (flags & os.O_TRUNC or not os.path.exists(path)):
            made.step("create")
        descriptor = real_os_open(path, flags, *how, **more)
        if ours:
            made.opened(descriptor)
        return descriptor

    def _open(file: Any, mode: str = "r", buffering: int = -1, *how: Any, **more: Any) -> Any:
        ours = set(mode) & set("wax+") and made.holds(file)
        if not ours:
            return real_open(file, mode, buffering, *how, **more)
        return _opened(made, file, mode, *how, **more)

    named: tuple[tuple[str, Step], ...] = (
        ("fsync", "sync"), ("mkdir", "folder"), ("replace", "rename"), ("rename", "rename"),
        ("link", "create"), ("symlink", "create"), ("unlink", "remove"), ("remove", "remove"),
        ("rmdir", "remove"), ("truncate", "cut"), ("ftruncate", "cut"),
    )  # fmt: skip
    return [
        *(_guarded(name, step) for name, step in named),
        (os, "write", _write), (os, "open", _os_open),
        (io, "open", _open), (builtins, "open", _open),
    ]  # fmt: skip


def _opened(
    made: Disk,
    file: Any,
    mode: str,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> io.IOBase:
    """A file of the disk, whose buffer is written through it."""
    if not isinstance(file, int) and not ("r" in mode or ("a" in mode and os.path.exists(file))):
        made.step("create")
    raw = _Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
    raw.of = made
    made.opened(raw.fileno())
    file_of: Any = raw  # typeshed has a protocol here that no FileIO fits
    buffered = io.BufferedRandom(file_of) if "+" in mode else io.BufferedWriter(file_of)
    return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)


class _Raw(io.FileIO):
    of: Disk

    def write(self, data: bytes) -> int:  # type: ignore[override]
        half = memoryview(data)[: len(data) // 2]
        self.of.step("write", first=lambda: io.FileIO.write(self, half))
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        self.of.step("cut")
        return super().truncate(size)
