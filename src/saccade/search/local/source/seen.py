"""The ids that a source has named so far: in a file that vanishes, so that any number fits."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import NamedTuple, Self


class Earlier(NamedTuple):
    """Where an id was named first."""

    place: str
    digest: bytes


class Seen:
    """A set of ids, with the place of each. Use it as a context manager."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(
            "CREATE TABLE seen (id TEXT PRIMARY KEY, place TEXT, digest BLOB) WITHOUT ROWID"
        )
        self._database.execute("BEGIN")

    def add(self, id: str, place: str, digest: bytes) -> Earlier | None:
        """Add an id; where it was named before, if it was."""
        done = self._database.execute(
            "INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (id, place, digest)
        )
        if done.rowcount:
            return None
        found = self._database.execute("SELECT place, digest FROM seen WHERE id = ?", (id,))
        return Earlier(*found.fetchone())

    def __contains__(self, id: object) -> bool:
        found = self._database.execute("SELECT 1 FROM seen WHERE id = ?", (id,))
        return found.fetchone() is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()
