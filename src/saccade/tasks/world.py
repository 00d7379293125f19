"""Questions about procedural scenes, with their ground truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Annotated

from pydantic import Field

from saccade.types import Record, Task
from saccade.world import REPORTED
from saccade.world import tasks as world_tasks


class WorldTasks(Record):
    """Questions about procedural scenes."""

    family: str | Annotated[tuple[str, ...], Field(min_length=1)] = "read"
    """Family of the questions, or several that take turns; one that is named twice comes twice as
    often."""
    n: int = Field(default=100, ge=1)
    """Number of questions, of all families together."""
    split: str = "test"
    """Name of the split; no scene belongs to two splits."""
    native: int = Field(default=672, ge=1)
    """Side of a scene in pixels."""

    def tasks(self, *, seed: int, max_pixels: int) -> Iterator[Task]:
        """The same questions for the same seed; scenes are ours, so no size is refused."""
        names = (self.family,) if isinstance(self.family, str) else self.family
        streams = {
            name: world_tasks(name, n=self.n, seed=seed, split=self.split, native=self.native)
            for name in names
        }
        return (next(streams[name]) for name in islice(cycle(names), self.n))

    def count(self) -> int:
        return self.n

    def parts(self) -> list[WorldTasks]:
        """The questions of each family."""
        names = (self.family,) if isinstance(self.family, str) else self.family
        whole, rest = divmod(self.n, len(names))
        counts = Counter(names[:rest])
        for name in names if whole else ():
            counts[name] += whole
        return [self.model_copy(update={"family": name, "n": n}) for name, n in counts.items()]

    def outlines(self) -> Iterator[Task]:
        """One for each family, which is not drawn: all have a gold answer that `exact` judges.

        Raises:
            ConfigError: an unknown family or split, or a scene that would be too small.
        """
        self.tasks(seed=0, max_pixels=1)
        names = (self.family,) if isinstance(self.family, str) else self.family
        for name in dict.fromkeys(REPORTED.get(name, name) for name in names):
            yield Task(id="world", prompt=(), answer="0", judge="exact", meta={"family": name})
