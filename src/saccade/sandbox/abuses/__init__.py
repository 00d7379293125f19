"""What code of a model may try, and what holds it: one list for tests and `saccade check sandbox`.

Each abuse is a cell that prints CONTAINED or ESCAPED. Each names the mechanisms that hold it; with
all of them switched off it must succeed, or the test of it is worth nothing. Where that cannot be
done safely, or the kernel itself refuses, it says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from saccade.sandbox.abuses.scene import Scene
from saccade.sandbox.cells import Cell
from saccade.sandbox.session import Session

Check = Callable[[Scene, Session, Cell], Awaitable[bool]]
"""Whether it was contained, judged from outside."""


@dataclass(frozen=True)
class Abuse:
    """Something that must not work."""

    name: str
    code: str
    held_by: tuple[str, ...]
    """Mechanisms; with all of them off it works."""
    always: str = ""
    """Why nothing can be switched off, if so."""
    seconds: float = 60.0
    """The limit of the cell: generous, and short where only the limit ends it."""
    may_end: bool = False
    """The session may end by it: that is part of being contained."""
    check: Check | None = None
    """What to look at instead of what was printed."""
    modes: tuple[str, ...] = ("namespaces", "landlock")


def all_abuses() -> tuple[Abuse, ...]:
    """The list, in the order of its groups."""
    from saccade.sandbox.abuses import (
        files,
        harness,
        held,
        kernel,
        machine,
        processes,
        resources,
        signals,
    )

    return (
        *files.ABUSES, *machine.ABUSES, *kernel.ABUSES, *processes.ABUSES, *signals.ABUSES,
        *resources.ABUSES, *held.ABUSES, *harness.ABUSES,
    )  # fmt: skip
