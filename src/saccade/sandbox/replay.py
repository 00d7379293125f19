"""What a notebook was given and what ran in it: how its variables are made again.

A notebook whose process or host is lost goes on in another one, in which its images are given and
its cells run again, in order and under their numbers. What is restored is what cells do alike each
time. A cell that was interrupted is not run again, since nobody can stop it where it was stopped:
what it had changed is lost. A cell that ends the process when it is run again is left out from then
on. All of them together may run for as long as the cell that waits for them may; those that do not
fit in are left out as well. The next cell says what was left out. What differs is found by what
cells print, return and raise: a variable that took another value in silence is not noticed. Where
one cell after the other ends its process, all variables are given up, since an earlier one may have
left behind what ends them.
"""

from __future__ import annotations

import hashlib
import keyword
import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

from PIL import Image as PILImage

from saccade.errors import ImageError, ToolError
from saccade.sandbox.cells import Cell, Status
from saccade.sandbox.inside.plan import MIB, Limits

AfterKill = Literal["replay", "fresh"]

ATTEMPTS = 3
"""Number of processes in which cells are run again, and of cells in a row that end theirs, before
all variables are given up."""
ENTRIES = 4096
"""Number of cells and images that a notebook remembers."""
CODE_CHARS = 16_000_000
"""Characters of code that a notebook remembers."""
IMAGES_SHARE = 0.5
"""What images may take of the memory of a session; the rest is for working with them."""
NOT_AGAIN: frozenset[Status] = frozenset({"timeout"})
"""How cells ended that are not run again."""
NAMED = 6
"""Number of cells that a note names."""

_INTERRUPTED, _ENDED, _LATE, _HALF = range(4)
_WHY = {
    _INTERRUPTED: "had been interrupted and cannot be run again",
    _ENDED: "ended the process when run again",
    _LATE: "could not be run again in time",
    _HALF: "took too long when run again",
}
"""Why cells were left out of a replay."""
_VARYING = re.compile(r"0x[0-9a-f]+|<cell \d+>")
"""Addresses, and numbers that a cell has elsewhere: they may differ where nothing else does."""


class Ran(NamedTuple):
    """A cell that may have to be run again."""

    number: int
    code: str
    seconds: float
    """How long it might run."""
    took: float
    """How long it ran."""
    status: Status
    said: bytes
    """Digest of what it printed, returned and raised."""


class Given(NamedTuple):
    """An image that has to be given again."""

    name: str
    image: PILImage.Image


class Place(Protocol):
    """Where a notebook goes on: a process, or a host."""

    outlives_cells: bool
    """Whether it goes on after a cell that was killed."""

    @property
    def has_ended(self) -> bool:
        """Whether it takes nothing any more."""

    async def give(self, name: str, image: PILImage.Image, *, seconds: float | None) -> float:
        """Define a variable that holds an image; how many of the seconds it took.

        A host has seconds of its own for that.
        """

    async def run(self, code: str, *, seconds: float | None, number: int) -> Cell:
        """Run a cell."""


class Log:
    """The cells and images of a notebook."""

    def __init__(self, limits: Limits, after_kill: AfterKill) -> None:
        """An empty one; `limits` are those of its sessions."""
        self._limits, self._after_kill = limits, after_kill
        self._entries: list[Ran | Given] = []
        self._number = self._code_chars = self._image_bytes = self._killed = 0
        self._forgotten: tuple[int, int] | None = None
        """The first and the last cell that are not remembered."""
        self._lost: dict[int, int] = {}
        self._changed: dict[int, None] = {}
        self._notes: list[str] = []

    def next_number(self) -> int:
        """The number of a new cell."""
        self._number += 1
        return self._number

    def count_from(self, number: int) -> None:
        """The next cell has this number, or a later one."""
        self._number = max(self._number, number - 1)

    def admit(self, name: str, image: PILImage.Image) -> None:
        """Find out whether an image may be given.

        Raises:
            ImageError: it has no pixels, or its name is none of a variable.
            ToolError: it is too much beside those that are there.
        """
        size = f"{image.width}x{image.height}"
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ImageError(f"notebook: an image needs the name of a variable, got {name[:80]!r}")
        if image.width < 1 or image.height < 1:
            raise ImageError(f"notebook: {name} needs at least one pixel, got {size}")
        memory = self._limits.memory_mib
        most, would = int(IMAGES_SHARE * memory * MIB), self._image_bytes + _bytes_of(image)
        if would > most:
            raise ToolError(
                f"notebook: {name} ({size}) is not there: images may take {most / MIB:,.0f} MiB, "
                f"half of the memory of a session (memory_mib = {memory}), and with it they would "
                f"take {would / MIB:,.0f} MiB"
            )
        if len(self._entries) >= ENTRIES:
            raise ToolError(
                f"notebook: {name} ({size}) is not there: a notebook takes {ENTRIES:,} cells and "
                "images"
            )

    def gave(self, name: str, image: PILImage.Image) -> None:
        """Remember an image."""
        last = self._entries[-1] if self._entries else None
        if isinstance(last, Given) and last.name == name:  # no cell has seen it
            self._entries.pop()
            self._image_bytes -= _bytes_of(last.image)
        self._entries.append(Given(name, image))
        self._image_bytes += _bytes_of(image)

    def ran(self, number: int, code: str, seconds: float | None, cell: Cell) -> None:
        """Remember a cell, unless there are too many already."""
        self._killed = 0
        chars = self._code_chars + len(code)
        if self._forgotten or len(self._entries) >= ENTRIES or chars > CODE_CHARS:
            self._forgotten = (self._forgotten[0] if self._forgotten else number, number)
            return
        self._code_chars = chars
        allowed = seconds or self._limits.seconds
        self._entries.append(Ran(number, code, allowed, cell.seconds, cell.status, _said(cell)))

    def after_killed_cell(self) -> str:
        """What becomes of the variables, for the cell to say that ended its process."""
        self._killed += 1
        if self._after_kill == "fresh":
            self._forget_cells()
            return "all variables but the images are lost"
        if self._killed >= ATTEMPTS:  # an earlier cell may have left what ends each later one
            self._forget_cells()
            self._killed = 0
            return f"after {ATTEMPTS} of them in a row all variables but the images are lost"
        interrupted = [cell.number for cell in self._cells() if cell.status in NOT_AGAIN]
        but = f", but for the interrupted {_named(interrupted)}" if interrupted else ""
        return (
            f"variables are as they were before this cell{but}, unless the next one says otherwise"
        )

    def after_loss(self) -> None:
        """The process or the host was lost, by no cell of which anybody knows."""
        if self._after_kill == "fresh" and any(self._cells()):
            self._forget_cells()
            self._notes = ["the notebook began anew: all variables but the images are lost"]

    def give_up(self) -> None:
        """Cells cannot be run again."""
        self._forget_cells()
        self._notes = [
            "earlier cells ended the process each time that they were run again: all variables but "
            "the images are lost"
        ]

    def take_notes(self) -> tuple[str, ...]:
        """What was not restored since somebody asked."""
        notes = self._notes
        for why, said in _WHY.items():
            if numbers := [number for number, reason in self._lost.items() if reason == why]:
                what = "is there in part" if why == _HALF else "is lost"
                notes.append(f"{_named(numbers)} {said}, {_changed(numbers)} {what}")
        if changed := list(self._changed):
            notes.append(
                f"{_named(changed)} did something else when run again: what comes from the clock, "
                "from chance or from what is lost may differ"
            )
        self._notes, self._lost, self._changed = [], {}, {}
        return tuple(notes)

    async def replay(self, place: Place, seconds: float) -> float:
        """Give and run everything again; what is not restored is forgotten, and noted.

        It ends early where a cell ends the place.

        Args:
            place: A fresh one.
            seconds: How long cells may run, and hold up images, all of them together.

        Returns:
            What is left of the seconds.
        """
        lost: dict[int, int] = {}
        late, last = False, 0
        for entry in list(self._entries):
            if isinstance(entry, Given):
                # Only what cells have left behind makes a place slow.
                took = await place.give(entry.name, entry.image, seconds=seconds if last else None)
                seconds -= took if last else 0
                if place.has_ended:
                    lost[last] = _ENDED  # it took images before that cell
                    break
                continue
            if entry.status in NOT_AGAIN:
                lost[entry.number] = _INTERRUPTED
                continue
            late = late or seconds <= 0 or entry.took > seconds
            if late:
                lost[entry.number] = _LATE
                continue
            allowed = min(entry.seconds, seconds)
            cell = await place.run(entry.code, seconds=allowed, number=entry.number)
            seconds, last = seconds - cell.seconds, entry.number
            if cell.status == "killed":
                lost[entry.number] = _ENDED
                if not place.outlives_cells:
                    break
            elif cell.status == "timeout":
                lost[entry.number] = _HALF
            elif _said(cell) != entry.said:
                self._changed[entry.number] = None
        self._leave_out(lost)
        return seconds

    def _cells(self) -> Iterator[Ran]:
        return (entry for entry in self._entries if isinstance(entry, Ran))

    def _forget_cells(self) -> None:
        self._entries = [entry for entry in self._entries if isinstance(entry, Given)]
        self._code_chars, self._forgotten = 0, None
        self._lost, self._changed = {}, {}

    def _leave_out(self, lost: dict[int, int]) -> None:
        if self._forgotten:
            first, last = self._forgotten
            numbers = range(first, last + 1)
            self._notes.append(
                f"{_named(numbers)} came after too many, {_changed(numbers)} is lost"
            )
            self._forgotten = None
        lost.pop(0, None)  # no cell had run
        self._lost.update(lost)
        self._entries = [e for e in self._entries if isinstance(e, Given) or e.number not in lost]
        self._code_chars = sum(len(cell.code) for cell in self._cells())


def _bytes_of(image: PILImage.Image) -> int:
    return 3 * image.width * image.height


def _said(cell: Cell) -> bytes:
    parts = (cell.status, cell.stdout, cell.value, cell.error)
    text = "\0".join(_VARYING.sub("", part or "") for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _named(numbers: Sequence[int]) -> str:
    """Cells by their numbers, a few of them: "cells 3, 4 and 5", "cell 3"."""
    if len(numbers) == 1:
        return f"cell {numbers[0]}"
    first, more = [str(number) for number in numbers[:NAMED]], len(numbers) - NAMED
    last = f"{more} others" if more > 0 else first.pop()
    return f"cells {', '.join(first)} and {last}"


def _changed(numbers: Sequence[int]) -> str:
    return f"and what {'it' if len(numbers) == 1 else 'they'} had changed"
