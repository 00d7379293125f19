"""The documents of the world as something that can be searched, and as rows for an index.

In a run file `tools.text_search = { provider = { kind = "saccade.world.library:Library" } }`: each
question is then searched for in the library of its own split and seed, so that one environment
serves training and test. As files: `saccade nano library --split test --seed 0 --out FILE`, and
`saccade index build FILE --out INDEX` for the provider `local`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping

from pydantic import Field, JsonValue

from saccade.errors import ConfigError
from saccade.search.found import Hit, Kind, Query, Result, Results
from saccade.search.local.text import VERSION as TEXT_VERSION
from saccade.search.local.text import Passage, TextIndex
from saccade.types import Record
from saccade.world import place_of
from saccade.world.digits import Split
from saccade.world.facts import VERSION, facts_of

KEPT = 8
"""Number of libraries that stay in memory."""

Key = tuple[Split, int]


class LibraryOptions(Record):
    """What is searched. Without either option, each question has the library of its own."""

    split: Split | None = None
    """Name of the split whose documents are searched; None: that of the question."""
    seed: int | None = Field(default=None, ge=0)
    """Seed of the documents; None: that of the question."""


class Library:
    """A search provider over the documents of the world, in memory. It holds every fact that a
    question of their split and seed can ask for."""

    Options = LibraryOptions
    name = "library"
    kinds: frozenset[Kind] = frozenset({"text"})

    def __init__(self, options: LibraryOptions | None = None) -> None:
        self._options = options or LibraryOptions()
        self._indexes: OrderedDict[Key, TextIndex] = OrderedDict()
        self._building = asyncio.Lock()

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        """Which documents they are, and the version of what finds them."""
        options = self._options.model_dump(mode="json")
        return {"documents": VERSION, "text": TEXT_VERSION, **options}

    async def start(self) -> None:
        """Draw the library that the options name, if they name one.

        Raises:
            MissingExtra: tantivy is not installed.
        """
        split, seed = self._options.split, self._options.seed
        if split is not None and seed is not None:
            await self._index((split, seed))
        else:
            TextIndex()

    async def search(self, query: Query) -> Results:
        """The documents that fit the words best.

        Raises:
            ConfigError: nothing says which library is meant, or the question is of another one:
                its facts would not be there, or be others.
        """
        index = await self._index(self._key(query.task_id))
        found = await asyncio.to_thread(index.search, query.text, query.k)
        hits = [
            Hit(
                rank=rank,
                title=match.passage.title,
                url=match.passage.url,
                snippet=match.passage.text,
                score=match.score,
                document=match.passage.document,
            )
            for rank, match in enumerate(found, start=1)
        ]
        return Results(tuple(Result(hit) for hit in hits))

    async def close(self) -> None:
        """Let the documents go."""
        self._indexes.clear()
        self._building = asyncio.Lock()  # it belongs to the event loop that waited for it

    def _key(self, task_id: str) -> Key:
        asked = place_of(task_id)
        split = self._options.split or (asked.split if asked else None)
        seed = self._options.seed
        seed = asked.seed if seed is None and asked else seed
        if split is None or seed is None:
            raise ConfigError(
                f"library: {task_id[:80]!r} is no task of this world, so it has no library of its "
                "own; set split and seed of the provider"
            )
        if asked is not None and (asked.split, asked.seed) != (split, seed):
            raise ConfigError(
                f"library: the documents of {split}, seed {seed}, are searched for a question of "
                f"{asked.split}, seed {asked.seed}, of which they hold nothing; leave out split "
                "and seed of the provider, or set them to those of the questions"
            )
        return split, seed

    async def _index(self, key: Key) -> TextIndex:
        async with self._building:
            if key not in self._indexes:
                self._indexes[key] = await asyncio.to_thread(_built, *key)
                if len(self._indexes) > KEPT:
                    self._indexes.popitem(last=False)
            self._indexes.move_to_end(key)
            return self._indexes[key]


def rows(split: Split, seed: int) -> Iterator[dict[str, str]]:
    """The documents of a split and seed, as `saccade index build` reads them from JSON Lines."""
    for document in facts_of(split, seed).documents:
        yield document._asdict()


def _built(split: Split, seed: int) -> TextIndex:
    index = TextIndex()
    index.add(Passage(d.id, 0, d.title, d.text) for d in facts_of(split, seed).documents)
    index.commit()
    index.close()
    return index
