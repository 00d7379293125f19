"""The documents of the world as something that can be searched, and as rows for an index.

In a run file `tools.text_search = { provider = { kind = "saccade.world.library:Library" } }`, and
the same for `image_search`: each question is then searched for in the library of its own split and
seed, so that one environment serves training and test. Documents as files, for the provider
`local`: `saccade nano library --split test --seed 0 --out FILE` and `saccade index build FILE --out
INDEX`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydantic import Field, JsonValue

from saccade.errors import ConfigError
from saccade.images.image import Image
from saccade.search.found import Hit, Kind, Query, Result, Results
from saccade.search.local.text import VERSION as TEXT_VERSION
from saccade.search.local.text import Passage, TextIndex
from saccade.types import Record
from saccade.world import place_of
from saccade.world.digits import Split
from saccade.world.emblems import emblems_of
from saccade.world.facts import VERSION, facts_of
from saccade.world.pictures import Pictures

KEPT = 8
"""Number of libraries that stay in memory."""

Key = tuple[Split, int]


class _Shelf(NamedTuple):
    texts: TextIndex
    pictures: Pictures


class LibraryOptions(Record):
    """What is searched. Without either option, each question has the library of its own."""

    split: Split | None = None
    """Name of the split whose documents are searched; None: that of the question."""
    seed: int | None = Field(default=None, ge=0)
    """Seed of the documents; None: that of the question."""


class Library:
    """A search provider over the documents of the world, in memory.

    It holds every fact that a question of their split and seed can ask for.
    """

    Options = LibraryOptions
    name = "library"
    kinds: frozenset[Kind] = frozenset({"text", "image"})

    def __init__(self, options: LibraryOptions | None = None) -> None:
        self._options = options or LibraryOptions()
        self._shelves: OrderedDict[Key, _Shelf] = OrderedDict()
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
            await self._shelf((split, seed))
        else:
            TextIndex()

    async def search(self, query: Query) -> Results:
        """The documents that fit the words best, or the things that look like the image.

        Raises:
            ConfigError: nothing says which library is meant, or the question is of another one:
                its facts would not be there, or be others.
        """
        shelf = await self._shelf(self._key(query.task_id))
        if query.kind == "image":
            assert query.image is not None
            return await asyncio.to_thread(_like, shelf, query.image, query.k)
        return await asyncio.to_thread(_about, shelf, query.text, query.k)

    async def close(self) -> None:
        """Let the documents go."""
        self._shelves.clear()
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

    async def _shelf(self, key: Key) -> _Shelf:
        async with self._building:
            if key not in self._shelves:
                self._shelves[key] = await asyncio.to_thread(_built, *key)
                if len(self._shelves) > KEPT:
                    self._shelves.popitem(last=False)
            self._shelves.move_to_end(key)
            return self._shelves[key]


def rows(split: Split, seed: int) -> Iterator[dict[str, str]]:
    """The documents of a split and seed, as `saccade index build` reads them from JSON Lines."""
    for document in facts_of(split, seed).documents:
        yield document._asdict()


def _built(split: Split, seed: int) -> _Shelf:
    index = TextIndex()
    index.add(Passage(d.id, 0, d.title, d.text) for d in facts_of(split, seed).documents)
    index.commit()
    index.close()
    return _Shelf(index, Pictures(emblems_of(split, seed)))


def _about(shelf: _Shelf, text: str, k: int) -> Results:
    hits = [
        Hit(
            rank=rank,
            title=match.passage.title,
            url=match.passage.url,
            snippet=match.passage.text,
            score=match.score,
            document=match.passage.document,
        )
        for rank, match in enumerate(shelf.texts.search(text, k), start=1)
    ]
    return Results(tuple(map(Result, hits)))


def _like(shelf: _Shelf, image: Image, k: int) -> Results:
    hits = [
        Hit(rank=rank, title=found.thing.name, score=found.correlation)
        for rank, found in enumerate(shelf.pictures.search(image.pixels(), k), start=1)
    ]
    return Results(tuple(map(Result, hits)))
