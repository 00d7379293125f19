"""`local`: an index on this machine is searched.

tools.text_search = { provider = { kind = "local", index = "encyclopedia.index" } }
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from pydantic import Field, JsonValue, field_validator

from saccade.config import Part, build
from saccade.errors import ConfigError
from saccade.images.image import Image
from saccade.search.found import Kind, Query, Result, Results
from saccade.search.local.index import Index
from saccade.search.local.pictures.vectors import Embedder, embedded
from saccade.search.local.sentences import Sentences
from saccade.types import Record


class LocalOptions(Record):
    """What the provider `local` can be told."""

    index: Path
    """The folder of the index; `saccade index build` makes it."""
    sentences: Part | None = None
    """What embeds a query by words, as `saccade index embed` has embedded the passages; without it
    they are found by their words alone. A key of `saccade.search.local.embed.EMBEDDERS`, or
    "pkg.mod:Class"."""
    embedder: Part | None = None
    """What embeds the image of a query, "package.module:Class", as the pictures of the index were
    embedded; without it they are found by their hashes alone."""
    least_cosine: float = Field(default=0.0, ge=-1, le=1)
    """Pictures whose embedding is less similar to that of the query are no results."""

    @field_validator("embedder", "sentences", mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        return {"kind": value} if isinstance(value, str) else value


class Local:
    """Searches an index on this machine; it is opened once for all episodes."""

    Options = LocalOptions
    name = "local"

    def __init__(self, options: LocalOptions) -> None:
        """Read what the index is; nothing stays open.

        Raises:
            FormatError: there is none, or it is damaged.
            ConfigError: it is of another version.
        """
        self._options = options
        self._index: Index | None = None
        self._one = threading.Lock()
        with Index.open(options.index, check=False) as index:
            self.kinds: frozenset[Kind] = index.kinds
            self._digest = index.digest
            width = index.width
            self._meaning: str | None = None
            if options.sentences is not None:
                self._meaning = Sentences(index, options.sentences).identity
        self._sentences: Sentences | None = None
        self._embedder: Embedder | None = None
        if options.embedder is not None:
            if width is None:
                raise ConfigError(
                    f"{options.index}: an embedder is named, and the index has no embeddings; "
                    "`saccade index build ... --embeddings FILE.npy` adds them"
                )
            made = build(options.embedder, {}, "embedder")
            self._embedder = cast(Embedder, made)

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        """The hash of the index; not where it lies."""
        facts: dict[str, JsonValue] = {"index": self._digest}
        if self._meaning is not None:
            facts["sentences"] = self._meaning
        if (part := self._options.embedder) is not None:
            facts["embedder"] = {"kind": part.kind, **part.options}
            facts["least_cosine"] = self._options.least_cosine
        return facts

    async def start(self) -> None:
        """Open the index; once more does nothing.

        Raises:
            ConfigError: it has changed since the run was set up.
        """
        if self._index is not None:
            return
        index = await asyncio.to_thread(Index.reopened, self._options.index, self._digest)
        if self._index is not None:  # another call was faster
            index.close()
            return
        if self._options.sentences is not None:
            try:
                self._sentences = self._same(Sentences(index, self._options.sentences))
            except BaseException:
                index.close()
                raise
        self._index = index

    def _same(self, sentences: Sentences) -> Sentences:
        if sentences.identity != self._meaning:
            raise ConfigError(
                f"{self._options.index}: the embedder of sentences has changed since the run was "
                "set up, and results would no longer be comparable; start the command again"
            )
        return sentences

    async def search(self, query: Query) -> Results:
        """Search beside the event loop."""
        await self.start()
        index = self._index
        assert index is not None
        if query.kind == "image":
            assert query.image is not None
            return Results(await asyncio.to_thread(self._like, index, query.image, query.k))
        return Results(await asyncio.to_thread(self._saying, index, query.text, query.k))

    def _saying(self, index: Index, text: str, k: int) -> tuple[Result, ...]:
        if self._sentences is None:
            return index.text(text, k)
        with self._one:
            return index.text(text, k, self._sentences.matches)

    def _like(self, index: Index, image: Image, k: int) -> tuple[Result, ...]:
        vector = None
        if self._embedder is not None and index.width is not None:
            with self._one:  # a user's model need not bear several threads
                vector = embedded(self._embedder, image.pixels(), index.width, "embedder")
        least = self._options.least_cosine
        return index.image(image, k, vector=vector, least_cosine=least)

    async def close(self) -> None:
        """Close the index; it may be started again."""
        if self._index is not None:
            self._index.close()
            self._index = self._sentences = None
