"""Memory cgroups: a limit that counts the kernel's memory too, where the machine grants one.

There is a group for each place of a session in its fork server; a place is taken again by later
sessions. To move a process takes the kernel up to ten milliseconds, so no session is moved: its
fork server goes ahead into the group of the next place while it has nothing else to do.

Where no group can be made (a container with a read-only /sys/fs/cgroup, an ordinary user to whom
nothing was delegated) there is none: what the kernel holds for a session is then bounded by the
filter and the limits alone.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PREFIX = "saccade-"

PATIENCE = 200
"""Number of times that the end of killed processes is looked for."""


class _Version(NamedTuple):
    """How a version of cgroups calls things."""

    name: str
    limit: str
    swap: str
    """What bounds swapped memory."""
    swap_counts_memory: bool


_V1 = _Version("v1", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", True)
_V2 = _Version("v2", "memory.max", "memory.swap.max", False)


class Cgroups:
    """The groups of a fork server."""

    def __init__(self, folder: Path, version: _Version) -> None:
        self._folder, self._version = folder, version
        self._limits: dict[int, int] = {}
        self.kind = version.name
        """"v1" or "v2"."""

    def enter(self, place: int, pid: int) -> None:
        """Move a process into the group of a place; what it starts from now on is there too.

        Raises:
            OSError: it cannot be done.
        """
        group = self._folder / str(place)
        if not group.exists():
            group.mkdir()
            self._limits.pop(place, None)
        _write(group / "cgroup.procs", pid)

    def limit(self, place: int, most: int) -> None:
        """Let all in the group of a place take at most so many bytes.

        Raises:
            OSError: it cannot be done.
        """
        group = self._folder / str(place)
        if self._limits.get(place) != most:
            both = self._version.swap_counts_memory
            with contextlib.suppress(OSError):  # swap is not counted everywhere
                _write(group / self._version.swap, -1 if both else 0)
            _write(group / self._version.limit, most)
            with contextlib.suppress(OSError):
                _write(group / self._version.swap, most if both else 0)
            self._limits[place] = most

    def close(self) -> None:
        """Remove the groups, whose processes have been killed."""
        for _ in range(PATIENCE):
            _remove(self._folder)
            if not self._folder.exists():
                return
            time.sleep(0.01)


def granted() -> Cgroups | None:
    """Groups of a new fork server, or None where this process may make none."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        own = dict(_own(line) for line in Path("/proc/self/cgroup").read_text().splitlines())
    except OSError:  # a kernel without cgroups
        return None
    for line in mounts:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, mounted = before.split()[3:5]
        if kind == "cgroup" and "memory" in options.split(","):
            version, path = _V1, own.get("memory")
        elif kind == "cgroup2":
            version, path = _V2, own.get("")
        else:
            continue
        if path is None:
            continue
        here = Path(mounted) / os.path.relpath(path, root)
        for folder in _places(here, version):
            if (made := _make(folder, version)) is not None:
                return made
    return None


def _places(here: Path, version: _Version) -> Iterator[Path]:
    """Where the groups of a process of the group `here` may be."""
    if version is _V2:
        # Only the root has processes and limited groups below it, so others are made beside; not
        # where that would take sessions out of a limit of its own.
        limit = ""
        with contextlib.suppress(OSError):
            limit = (here / version.limit).read_text().strip()
        if limit == "max":
            yield here.parent
    yield here


def _own(line: str) -> tuple[str, str]:
    """The controller, or "" in version 2, and the group of this process."""
    _, controllers, path = line.split(":", 2)
    return ("memory" if "memory" in controllers.split(",") else controllers), path


def _make(beneath: Path, version: _Version) -> Cgroups | None:
    """Groups in a folder, if they can be limited there."""
    _sweep(beneath)
    folder = beneath / f"{_mine()}{os.getpid()}-{os.urandom(4).hex()}"
    try:
        folder.mkdir()
    except OSError:
        return None
    try:
        if version is _V2:
            _write(folder / "cgroup.subtree_control", "+memory")
        trial = folder / "0"
        trial.mkdir()
        _write(trial / version.limit, 1 << 40)
        return Cgroups(folder, version)
    except OSError:
        _remove(folder)
        return None


def _sweep(beneath: Path) -> None:
    """Remove what hosts that were killed have left."""
    with contextlib.suppress(OSError):
        for folder in beneath.glob(f"{_mine()}*"):
            process = folder.name.removeprefix(_mine()).partition("-")[0]
            if not Path(f"/proc/{process}").exists():
                _remove(folder)


def _mine() -> str:
    """How names of groups begin whose maker is known here by its number."""
    return f"{PREFIX}{os.stat('/proc/self/ns/pid').st_ino}-"


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for group in folder.iterdir():
            if group.is_dir():
                with contextlib.suppress(OSError):  # its process has not ended yet
                    group.rmdir()
        folder.rmdir()


def _write(file: Path, value: int | str) -> None:
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)
