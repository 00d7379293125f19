"""Where documents are read whole: an index on this machine, or one that is served."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from saccade.search.local.index import Index
from saccade.search.local.store.document import Document


class Shelf(Protocol):
    """Documents that can be read whole."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        """What its documents depend on: a part of the fingerprint."""
        ...

    async def start(self) -> None:
        """Open it; once more does nothing.

        Raises:
            ConfigError: it is not what the run was set up with.
            ServiceError: it cannot be reached.
        """
        ...

    async def document(self, name: str) -> Document | None:
        """The document of this id or URL; None where there is none.

        Raises:
            ServiceError: it failed; another attempt may succeed.
        """
        ...

    async def close(self) -> None:
        """Close it; it may be started again."""
        ...


class IndexShelf:
    """The documents of an index on this machine."""

    name = "local"

    def __init__(self, folder: Path) -> None:
        """Read what the index is; nothing stays open.

        Raises:
            FormatError: there is none, or it is damaged.
            ConfigError: it is of another version.
        """
        self._folder = folder
        self._index: Index | None = None
        with Index.open(folder, check=False) as index:
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
        index = await asyncio.to_thread(Index.reopened, self._folder, self._digest)
        if self._index is not None:  # another call was faster
            index.close()
            return
        self._index = index

    async def document(self, name: str) -> Document | None:
        """Look it up, beside the event loop."""
        await self.start()
        assert self._index is not None
        return await asyncio.to_thread(self._index.document, name)

    async def close(self) -> None:
        """Close the index."""
        if self._index is not None:
            self._index.close()
            self._index = None
