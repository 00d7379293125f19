"""`local`: an index on this machine is searched.

tools.text_search = { provider = { kind = "local", index = "encyclopedia.index" } }
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from saccade.errors import ConfigError
from saccade.search.found import Kind, Query, Results
from saccade.search.local.index import Index
from saccade.types import Record


class LocalOptions(Record):
    """What the provider `local` can be told."""

    index: Path
    """The folder of the index; `saccade index build` makes it."""


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
        with Index.open(options.index) as index:
            self.kinds: frozenset[Kind] = index.kinds
            self._digest = index.digest

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        """The hash of the index; not where it lies."""
        return {"index": self._digest}

    async def start(self) -> None:
        """Open the index; once more does nothing.

        Raises:
            ConfigError: it has changed since the run was set up.
        """
        if self._index is not None:
            return
        index = await asyncio.to_thread(Index.open, self._options.index)
        if index.digest != self._digest:
            index.close()
            raise ConfigError(
                f"{self._options.index}: the index has changed since the run was set up, and "
                "results would no longer be comparable; start the command again"
            )
        self._index = index

    async def search(self, query: Query) -> Results:
        """Search beside the event loop."""
        await self.start()
        index = self._index
        assert index is not None
        if query.kind == "image":
            assert query.image is not None
            return Results(await asyncio.to_thread(index.image, query.image, query.k))
        return Results(await asyncio.to_thread(index.text, query.text, query.k))

    async def close(self) -> None:
        """Close the index; it may be started again."""
        if self._index is not None:
            self._index.close()
            self._index = None
