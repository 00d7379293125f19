"""The episodes of a run folder that measures and pages can use; the others are named.

A run folder may come from anywhere. What is no record, `RunReader` names; a record may still hold
numbers of which no mean can be taken, or fields that contradict each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from saccade.errors import FormatError
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.measures.summary import facts
from saccade.runs.folder import Entry, RunReader

MAX_NUMBER = 1e15
"""Larger numbers are none that was measured; a sum of these is exact enough and finite."""

UNUSABLE = (
    ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError, OSError,
)  # fmt: skip
"""What code that takes a field for granted raises where a record has another."""

_Made = TypeVar("_Made")


class Damage:
    """What could not be used of a run, each thing once, in the order in which it was found."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}

    def note(self, error: FormatError) -> None:
        self._found[str(error)] = None

    @property
    def sentences(self) -> tuple[str, ...]:
        return tuple(self._found)


def sound_entries(path: Path, damage: Damage) -> Iterator[Entry]:
    """The episodes of a folder that can be measured.

    Images with more pixels than `MAX_SOURCE_PIXELS` are refused when they are decoded, whatever
    `run.json` says: the folder may be a stranger's.

    Args:
        path: The run folder.
        damage: Takes what cannot be used.

    Raises:
        StoreError: there is no run in the folder.
        FormatError: its `run.json` is damaged.
    """
    reader = RunReader(path, max_pixels=MAX_SOURCE_PIXELS, on_damaged=damage.note)
    for entry in reader.entries():
        if attempt(partial(_check, entry), entry, path, damage):
            yield entry


def attempt(make: Callable[[], _Made], entry: Entry, path: Path, damage: Damage) -> _Made | None:
    """What is made of an episode; None where that fails, which is then noted."""
    try:
        return make()
    except UNUSABLE as error:
        name = entry.trajectory.id[:200]
        said = f"{error}"[:300] or type(error).__name__
        damage.note(FormatError(f"{path}: episode {name!r}: cannot be used ({said})"))
        return None


def _check(entry: Entry) -> bool:
    """Whether means can be taken of every number that is measured.

    A reward may be NaN or infinite, and is then shown as unknown; but no sum has both infinities,
    so the one that no reward means is refused.

    Raises:
        ValueError: a number is none of these.
    """
    task, trajectory = entry
    measured = facts(task, trajectory)
    for name, value in (("score", measured.score), *measured.parts.items()):
        if value is not None and (value == -math.inf or MAX_NUMBER < abs(value) < math.inf):
            raise ValueError(f"the reward {name} is {value:g}")
    for name, value in (
        ("seconds", measured.seconds),
        ("response tokens", measured.response_tokens),
        ("prompt tokens", measured.prompt_tokens),
        ("sample", trajectory.sample),
        *((f"box {target.box}", end) for target in task.boxes for end in target.box),
    ):
        if value is not None and not abs(value) <= MAX_NUMBER:  # NaN is in no range
            raise ValueError(f"{name}: {value:g} is no number that was measured")
    return True
