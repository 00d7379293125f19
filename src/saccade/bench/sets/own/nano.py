"""nano: digits in scenes that are drawn, too small to be read in the view.

Nothing is downloaded. Each item is a held-out scene of `saccade.world` that is known by its number,
with the box of the object that is asked about. In the environment of the embedded models the digit
of `read` can be read in a crop only, that of `easy` in the view too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from saccade.bench.benchmark import About, Benchmark, Item
from saccade.rewards.judges import Exact
from saccade.types import Task, Verdict
from saccade.world import task_of, tasks

SEED = 20260
"""Of the scenes: no training and no other evaluation of ours draws these."""


class Nano(Benchmark):
    """Questions about digits in drawn scenes."""

    name: ClassVar[str] = "nano"
    about: ClassVar[About] = About(
        title="nano",
        items=400,
        licence="Apache-2.0; digits of MNIST (CC BY-SA 3.0)",
        source="drawn by Saccade",
        layout="nothing: the scenes are drawn",
        metric="share of right digits, by family and overall",
        differs="no published scorer",
    )
    in_package: ClassVar[bool] = True

    families: tuple[str, ...] = Field(default=("read", "easy"), min_length=1)
    """Families of the questions, which take turns: see `saccade.world.FAMILIES`."""
    items_drawn: int = Field(default=400, ge=1)
    """Number of items, of all families together."""
    scenes: int = Field(default=SEED, ge=0)
    """Seed of the scenes; another one gives other scenes."""
    split: str = "test"
    """Name of the split; no scene belongs to two splits."""

    def items(self, place: Path) -> Iterator[Item]:
        """One for each scene, by number; none is drawn yet.

        Raises:
            ConfigError: an unknown family or split.
        """
        for family in self.families:
            tasks(family, n=0, split=self.split)  # refuses what does not exist
        numbers = dict.fromkeys(self.families, 0)
        for family in islice(cycle(self.families), self.items_drawn):
            name = f"{family}-{self.split}-672-s{self.scenes}-{numbers[family]:05d}"
            numbers[family] += 1
            yield Item(name, f"scene {name}", partial(_task, name))

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Another text than the gold one is wrong: answers are digits and names of colours."""
        return await Exact().judge(task, answer)


def _task(name: str, max_pixels: int) -> Task:
    return task_of(name)
