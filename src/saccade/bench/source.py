"""The tasks of a benchmark: which of its items are asked, and in which form."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, cast

from pydantic import AfterValidator, Field

from saccade.bench import BENCHMARKS
from saccade.bench.benchmark import Benchmark, Item
from saccade.bench.disk import DATA, found_on_disk
from saccade.bench.order import Order, arranged
from saccade.bench.scoring import RULES
from saccade.config import Part, build
from saccade.errors import ConfigError, FormatError
from saccade.types import Record, Task

WHOLE = "1/1"
MAX_ID_CHARS = 400
"""An id is the name of a task, to which an order of options adds a few characters."""
_SHARD = re.compile(r"(\d{1,6})/(\d{1,6})")


def _is_a_share(value: str) -> str:
    match = _SHARD.fullmatch(value)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f'expected "i/n" with 1 <= i <= n, such as "2/8", got {value!r}')
    return f"{int(match[1])}/{int(match[2])}"


Share = Annotated[str, AfterValidator(_is_a_share)]
"""A part of the items, as in "2/8"."""


class BenchTasks(Record):
    """The items of a benchmark as tasks. `tasks.kind` of a run file of `saccade bench`."""

    benchmark: Part
    """The benchmark and its options."""
    data: Path | None = None
    """Its file or folder; None: where `saccade bench list` finds it."""
    n: int | None = Field(default=None, ge=1)
    """Number of items, drawn by a hash of seed and id; None: all. The items of a smaller number are
    among those of a larger one. The forms of a question count once (`Item.unit`)."""
    order: Order = "hashed"
    """The order in which options are shown."""
    shard: Share = WHOLE
    """Which part of the items this run takes, as in "2/8": shares of a hash of the id."""

    def tasks(
        self, *, seed: int, max_pixels: int, wanted: Callable[[str], bool] = lambda _: True
    ) -> Iterator[Task]:
        """The tasks in the order of the files.

        Args:
            seed: Of the run.
            max_pixels: Larger images are refused.
            wanted: Whether an item is wanted, by its id; others are left out before their images
                are opened.

        Raises:
            ConfigError: the data set is not on this machine.
            FormatError: a row cannot be used, or two have one id; names file and row.
        """
        for item in self._chosen(seed):
            if wanted(item.id):
                task = item.make(max_pixels).model_copy(update={"judge": RULES})
                yield from arranged(task, self.order, seed)

    def ids(self, seed: int) -> list[str]:
        """The ids of the items that are asked, in the order of the files; no image is opened.

        Raises:
            ConfigError: the data set is not on this machine.
            FormatError: a row cannot be used, or two have one id; names file and row.
        """
        return [item.id for item in self._chosen(seed)]

    def count(self) -> int | None:
        """How many tasks there are; None where that depends on the items, or on the seed."""
        if self.order == "circular" or (self.n is not None and self.shard != WHOLE):
            return None
        return len(self.ids(0))

    @property
    def made(self) -> Benchmark:
        """The benchmark.

        Raises:
            ConfigError: there is none of this name, or an option is wrong.
        """
        return cast(Benchmark, build(self.benchmark, BENCHMARKS, "bench"))

    @property
    def place(self) -> Path:
        """Where the data set is.

        Raises:
            ConfigError: it is not on this machine; says where to get it.
        """
        benchmark = self.made
        place = self.data if self.data is not None else found_on_disk(benchmark)
        if place is None:
            about = benchmark.about
            raise ConfigError(
                f"{benchmark.name}: the data set is not on this machine\n"
                f"  get it from: {about.source}\n"
                f"  licence: {about.licence}\n"
                f"  then say data=PATH, which is {about.layout};\n"
                f"  without data=PATH it is looked for as ${DATA}/{benchmark.name}"
            )
        if self.data is not None and benchmark.in_package:
            raise ConfigError(f"data: {benchmark.name} reads no files; leave it out")
        return place

    def _chosen(self, seed: int) -> Iterator[Item]:
        """The items that are asked; those of a part of them are found in a pass of its own."""
        if self.n is None:
            items = self._items()
        else:
            names = {item.unit or item.id for item in self._items()}
            drawn = set(sorted(names, key=lambda name: _hash(f"{seed}:{name}"))[: self.n])
            items = (item for item in self._items() if (item.unit or item.id) in drawn)
        share, of = map(int, self.shard.split("/"))
        return (i for i in items if of == 1 or int(_hash(i.unit or i.id), 16) % of == share - 1)

    def _items(self) -> Iterator[Item]:
        place, places = self.place, dict[str, str]()
        for item in self.made.items(place):
            if len(item.id) > MAX_ID_CHARS:
                raise FormatError(
                    f"{item.where}: an id of {len(item.id)} characters; {MAX_ID_CHARS} are read"
                )
            if (earlier := places.setdefault(item.id, item.where)) is not item.where:
                raise FormatError(f"{item.where}: the id {item.id!r} is that of {earlier} already")
            yield item
        if not places:
            raise FormatError(f"{place}: no item of {self.made.name}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
