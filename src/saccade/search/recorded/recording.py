"""A recording: one SQLite file with what engines found, for any number of processes at a time.

A record is written whole or not at all, and is on the disk when `put` returns: a process that is
killed, or a machine without power, loses no record that was finished. What was recorded first
stays. A file that somebody else may have written is read without trust: it must have exactly the
tables of this module (no view, no trigger), nothing in it is executed, sizes are bounded, and each
record and picture must have the hash that was written with it. A file on a network share is not
promised to work: SQLite wants locks and shared memory of one machine.

Not guaranteed: that a recording is honest. Whoever can write the file can make results up, hashes
included.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from saccade import __version__
from saccade.errors import FormatError
from saccade.search.found import Results
from saccade.search.recorded.content import (
    MAX_PICTURE_BYTES,
    MAX_RECORD_BYTES,
    MAX_TEXT_BYTES,
    Packed,
    unpacked,
)
from saccade.search.recorded.database import Row, connect, told
from saccade.search.recorded.keys import Key

_ENGINE = "SELECT id, digest FROM engines WHERE name = ? AND facts = ?"
_ONE = "engine = ? AND kind = ? AND what = ? AND k = ?"
_COLUMNS = "kind, what, k, asked, task, results, digest, recorded"


class Engine(NamedTuple):
    """What was asked: a provider, and what its results depend on."""

    name: str
    facts: str
    """As canonical JSON."""

    @classmethod
    def of(cls, name: str, facts: Mapping[str, JsonValue]) -> Engine:
        return cls(name, json.dumps(dict(facts), sort_keys=True, separators=(",", ":")))


class Kept(NamedTuple):
    """A record."""

    key: Key
    asked: str
    """The words of a text search, as they were first written."""
    task: str
    """The question whose picture was searched with as a whole."""
    results: Results
    recorded: str
    """When, in UTC: 2026-11-30T12:00:00+00:00."""


class Recording:
    """The records of one file. Safe to use from several threads."""

    def __init__(self, path: Path, *, write: bool = False) -> None:
        """Open a recording.

        Args:
            path: The file.
            write: Whether searches are recorded; the file is made where there is none.

        Raises:
            ConfigError: there is no such file, and nothing is to be written.
            FormatError: it is something else, or damaged.
            StoreError: it cannot be opened or made.
        """
        self.path = path
        self._lock, self._depth = threading.RLock(), 0
        self._connection = connect(path, write=write)

    def engines(self) -> dict[Engine, str]:
        """What was asked, in the order of first records, and the digest of what was found.

        The digest does not depend on the order in which searches were recorded, nor on when.
        """
        rows = self._all("SELECT name, facts, digest FROM engines ORDER BY id")
        if not all(isinstance(v, str) for row in rows for v in row[:2]):
            raise self._damaged("the table of engines")
        return {Engine(str(name), str(facts)): _bytes(digest).hex() for name, facts, digest in rows}

    def kinds(self, engine: Engine) -> set[str]:
        """What an engine was searched with."""
        every = "SELECT 1 FROM searches WHERE engine = ? AND kind = ? LIMIT 1"
        number = self._number(engine)
        return {kind for kind in ("text", "image") if self._all(every, (number, kind))}

    def get(self, engine: Engine, key: Key) -> Kept | None:
        """The record of a search, if there is one.

        Raises:
            FormatError: it is damaged.
        """
        sql = f"SELECT {_COLUMNS} FROM searches WHERE {_ONE}"
        rows = self._all(sql, (self._number(engine), *key))
        return self._kept(engine, rows[0]) if rows else None

    def all(self, engine: Engine) -> Iterator[Kept]:
        """Every record of an engine, by its key; no more than one is in memory.

        Raises:
            FormatError: one is damaged.
        """
        sql = f"SELECT {_COLUMNS} FROM searches WHERE engine = ? AND (kind, what, k) > (?, ?, ?) "
        sql += "ORDER BY kind, what, k LIMIT 1"
        last: tuple[str | int, ...] = ("", "", 0)
        while rows := self._all(sql, (self._number(engine), *last)):
            kept = self._kept(engine, rows[0])
            yield kept
            last = kept.key

    def others(self, key: Key) -> list[tuple[Engine, int]]:
        """The engines and numbers of results with which the same was searched."""
        sql = "SELECT name, facts, k FROM searches JOIN engines e ON e.id = engine "
        sql += "WHERE engine IN (SELECT id FROM engines) AND kind = ? AND what = ? ORDER BY e.id, k"
        rows = self._all(sql, key[:2])
        return [(Engine(str(name), str(facts)), int(str(k))) for name, facts, k in rows]

    def put(
        self,
        engine: Engine,
        key: Key,
        packed: Packed,
        *,
        asked: str = "",
        task: str = "",
        replace: bool = False,
    ) -> None:
        """Record a search; one that is recorded already stays as it is.

        Args:
            engine: What was asked.
            key: What for.
            packed: What it found.
            asked: The words, as they were written.
            task: The question whose picture was searched with as a whole.
            replace: Whether an earlier record makes room.

        Raises:
            StoreError: it cannot be written.
        """
        digest = _digest(engine, key, packed.text)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self.together():
            self._all("INSERT OR IGNORE INTO engines (name, facts, digest) VALUES (?, ?, ?)",
                      (*engine, bytes(32)))  # fmt: skip
            ((number, total),) = self._all(_ENGINE, engine)
            before = self._all(f"SELECT digest FROM searches WHERE {_ONE}", (number, *key))
            if before and not replace:
                return
            if before:
                self._all(f"DELETE FROM searches WHERE {_ONE}", (number, *key))
                total = _sum(_bytes(total), _bytes(before[0][0]), sign=-1)
            for name, data in packed.pictures.items():
                self._all("INSERT OR IGNORE INTO pictures VALUES (?, ?)", (name, data))
            row = (number, *key, asked, task, packed.text, digest, now, __version__)
            self._all(f"INSERT INTO searches VALUES ({', '.join('?' * len(row))})", row)
            total = _sum(_bytes(total), digest)
            self._all("UPDATE engines SET digest = ? WHERE id = ?", (total, number))

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is put within is written as one: all of it, or nothing."""
        with self._lock:
            if not self._depth:
                self._all("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if not self._depth and self._connection.in_transaction:
                    self._all("ROLLBACK")
                raise
            self._depth -= 1
            if not self._depth:
                self._all("COMMIT")

    def close(self) -> None:
        """Close the file; what was recorded is in it."""
        with self._lock, told(self.path):
            self._connection.close()

    def _number(self, engine: Engine) -> int | None:
        rows = self._all(_ENGINE, engine)
        return int(str(rows[0][0])) if rows else None

    def _kept(self, engine: Engine, row: Row) -> Kept:
        """A row as a record, if it is what was written."""
        kind, what, k, asked, task, results, digest, recorded = row
        words = (what, asked, task, results, recorded)
        where = f"{self.path}: the {kind} search {str(asked or what)[:80]!r}"
        if not (isinstance(k, int) and all(isinstance(word, str) for word in words)):
            raise self._damaged(where)
        key = Key("text" if kind == "text" else "image", str(what), k)
        text = str(results)
        if len(text) > MAX_TEXT_BYTES or _digest(engine, key, text) != digest:
            raise self._damaged(where)
        pictures: dict[str, bytes] = {}

        def find(name: str) -> bytes:
            if name not in pictures:
                pictures[name] = self._picture(name, where)
            if sum(map(len, pictures.values())) > MAX_RECORD_BYTES:
                raise self._damaged(where)
            return pictures[name]

        found = unpacked(text, find, where)
        return Kept(key, str(asked), str(task), found, str(recorded))

    def _picture(self, name: str, where: str) -> bytes:
        rows = self._all("SELECT data FROM pictures WHERE name = ?", (name,))
        data = rows[0][0] if rows else None
        if not isinstance(data, bytes) or len(data) > MAX_PICTURE_BYTES:
            raise self._damaged(f"{where}: the picture {name}")
        return data

    def _damaged(self, where: str) -> FormatError:
        return FormatError(
            f"{where}: is not what was written; record into a new file, or take a copy that is "
            "whole"
        )

    def _all(self, sql: str, values: tuple[object, ...] = ()) -> list[Row]:
        with self._lock, told(self.path):
            return self._connection.execute(sql, values).fetchall()


def _digest(engine: Engine, key: Key, text: str) -> bytes:
    return hashlib.sha256(json.dumps([*engine, *key, text]).encode()).digest()


def _sum(total: bytes, digest: bytes, *, sign: int = 1) -> bytes:
    """A sum does not depend on the order, and something that is taken out leaves no trace."""
    value = int.from_bytes(total) + sign * int.from_bytes(digest)
    return (value % 2**256).to_bytes(32)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""
