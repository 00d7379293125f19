"""Where the questions of a run come from: the procedural world, a file, published rows.

A source is a class with its own options. One of your own has the two methods of `TaskSource`:

    class Sums(Record):
        n: int = 10

        def tasks(self, *, seed: int, max_pixels: int) -> Iterator[Task]:
            for k in range(self.n):
                yield Task(id=f"sum-{k}", prompt=(f"What is {k} + {seed}?",), answer=str(k + seed))

        def count(self) -> int:
            return self.n

and is named in the run file as `tasks = { kind = "my_package.my_module:Sums", n = 100 }`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from saccade.types import Task

BUILT_IN = {
    "world": "saccade.tasks.world:WorldTasks",
    "file": "saccade.tasks.files:FileTasks",
    "parquet": "saccade.tasks.files:ParquetTasks",
}
"""Names for run files; your own source goes there as "package.module:Class"."""


UNNAMED = "(unnamed)"
"""The family of questions that name neither a family nor a source."""


class TaskSource(Protocol):
    """Where tasks come from."""

    def tasks(self, *, seed: int, max_pixels: int) -> Iterator[Task]:
        """The tasks, drawn lazily; the same ones in the same order for the same arguments.

        Args:
            seed: The seed of the run; a source without chance ignores it.
            max_pixels: Images with more pixels are refused before they are decoded.
        """
        ...

    def count(self) -> int | None:
        """How many there are, if that is known without drawing them."""
        ...


@runtime_checkable
class Outlined(Protocol):
    """A source that can tell all of its questions without their images: a run checks them first."""

    def outlines(self) -> Iterator[Task]:
        """What the checks of a run look at: answers, choices and judges.

        Each is called after the place where it stands, `tasks.jsonl:3`. Questions that differ in
        nothing that is checked may be left out.

        Raises:
            FormatError: a row cannot be used, or there is none.
        """
        ...


@runtime_checkable
class Divided(Protocol):
    """A source of several parts, which may hold other kinds of questions than its beginning."""

    def parts(self) -> Sequence[TaskSource]:
        """The parts; what is drawn of each is what a run draws of it first."""
        ...
