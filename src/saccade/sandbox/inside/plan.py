"""What a session is made of: limits, and the mechanisms that keep it in. Shared by both sides."""

from __future__ import annotations

from dataclasses import dataclass, fields

MIB = 1 << 20

WAITED_FOR = 15
"""Number of descriptors that a thread can wait for at the same time; one less than a power of 2."""

MAPPINGS = 65_530
"""The kernel's own `vm.max_map_count`."""


@dataclass(frozen=True)
class Limits:
    """What a session may use."""

    seconds: float = 10.0
    """Wall time of a cell; afterwards an exception ends it, and its variables stay."""
    grace_seconds: float = 2.0
    """Time that a cell has to end after that exception; afterwards its process is killed."""
    cpu_seconds: int = 120
    """Processor time of all cells of a session together."""
    memory_mib: int = 1024
    """Memory of a session beyond what the libraries take."""
    threads: int = 24
    """Number of threads of a session."""
    scratch_mib: int = 64
    """Size of the scratch space of a session."""
    scratch_files: int = 4096
    """Number of files and folders in the scratch space."""
    file_mib: int = 32
    """Size of a single file, and of what a cell prints."""
    open_files: int = 128
    """Number of files that are open at the same time."""
    text: int = 20_000
    """Characters that are returned of standard output, of standard error, of the value and of the
    error, of each so many."""
    images: int = 8
    """Number of images that a cell returns."""
    image_side: int = 4096
    """Longest side of a returned image; a larger image is returned smaller."""
    image_pixels: int = 4_000_000
    """Pixels of a returned image; a larger image is returned smaller."""
    pixels: int = 8_000_000
    """Pixels of all images that a cell returns, together."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"{field.name} must be more than 0, got {value!r}")

    def held_mib(self) -> int:
        """MiB that the kernel holds for a session beside what is counted, at most.

        Those are full sockets, mappings, names of files, threads and the signals that wait, and not
        page tables.
        """
        sockets = 256 * (self.open_files + self.threads * WAITED_FOR)
        mappings = MAPPINGS * 9 // 16
        names = self.scratch_files * 11 // 2
        return (sockets + mappings + names + 64 * self.threads + 512) // 1024 + 1


MECHANISMS = {
    "root": "a read-only root that holds the interpreter and its libraries: no /proc, /etc, /home",
    "scratch": "a private scratch space in memory, of limited size, gone with the session",
    "processes": "a process namespace of its own: nobody else can be named",
    "network": "a network namespace without any interface",
    "user": "a user of its own, without rights anywhere",
    "capabilities": "no capability, now or later",
    "landlock": "Landlock rules for files, TCP, signals and abstract sockets",
    "seccomp": "an allow-list of system calls: no fork, no exec, no socket, no tracing",
    "arguments": "of calls that do several things, what concerns nobody else and keeps no memory",
    "host name": "a name that says nothing of the machine",
    "memory": "a limit on memory",
    "cgroup": "a limit on all memory, the kernel's included, where the machine grants one",
    "threads": "a limit on threads",
    "cpu": "a limit on processor time",
    "file size": "a limit on the size of a file, printed text included",
    "open files": "a limit on open files",
    "descriptors": "no inherited descriptor but the channel",
    "environment": "a clean environment",
    "interrupt": "an exception in a cell that runs too long",
    "deadline": "a kill from outside where the exception does not help",
    "freeze": "a session is stopped while no cell runs",
    "output": "what is returned is cut",
    "channel": "what comes back is checked for type, size and sequence before it is used",
}
"""Name -> what it is. Tests switch one off and show that an abuse then succeeds."""


@dataclass(frozen=True)
class Order:
    """What the fork server is asked for: one session."""

    slot: int
    """A number of its own among the sessions that live; it decides which user the session is."""
    seed: int
    """Seed of `random` and of numpy."""
    scratch: str
    """Name of the session's folder, where it has no file system of its own."""
    limits: Limits
    """What the session may use."""
    off: frozenset[str] = frozenset()
    """Mechanisms that are left out, in tests of what they are for."""

    def has(self, mechanism: str) -> bool:
        return mechanism not in self.off
