"""The files of an index: which state of it is the whole one, and how a reader opens it.

    INDEX/
      index.db        documents, pictures and thumbnails (SQLite), and the number of the state
      texts/000007/   the full-text search of state 7 (tantivy)
      texts/work-1/   where a build writes; nobody reads it
      vectors/        embeddings of the pictures, where they were given
      sentences/      embeddings of the passages, where they were made (see `sentences`)
      lock            held by a build

A state is made whole on the side and then named in `index.db`, by the same transaction that
writes its documents. So there is one moment at which an index changes, and a reader that has
opened one state keeps it: rows of the database say from which state on (`born`) and until which
one (`died`) they are valid.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from saccade.errors import ConfigError, FormatError, SaccadeError, StoreError
from saccade.files import writing
from saccade.search.local.store.damage import damaged, reading
from saccade.types import Record

FORMAT = 1
"""Changes when older versions can no longer read what is written."""
DATABASE, LOCK = "index.db", "lock"
TEXTS, VECTORS, SENTENCES = "texts", "vectors", "sentences"
BUSY_S = 60.0
"""Seconds that a reader waits for the transaction of a build, and the other way round."""

MAX_ROW_BYTES = 256 * 2**20
"""Bytes of the largest document, and some; SQLite itself would make room for a gigabyte."""

SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS state (only INTEGER PRIMARY KEY CHECK (only = 0), content TEXT);
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, born INTEGER NOT NULL, died INTEGER,
    digest BLOB NOT NULL, url TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS documents_id ON documents (id, born);
CREATE INDEX IF NOT EXISTS documents_digest ON documents (digest);
CREATE INDEX IF NOT EXISTS documents_url ON documents (url) WHERE url != '';
CREATE TABLE IF NOT EXISTS pictures (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, born INTEGER NOT NULL, died INTEGER,
    phash BLOB NOT NULL, pdq BLOB NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS pictures_id ON pictures (id);
CREATE TABLE IF NOT EXISTS thumbnails (number INTEGER PRIMARY KEY, jpeg BLOB NOT NULL);
COMMIT;
"""
VALID = "born <= :at AND (died IS NULL OR died > :at)"
"""Of a row: it belongs to the state `:at`."""


class State(Record):
    """What an index holds, in one state of it."""

    format: int = FORMAT
    number: int = Field(default=0, ge=0)
    """Counted up by each commit."""
    texts: int = Field(default=0, ge=0)
    """The number of the state that last changed the full-text search; 0: it holds no text."""
    text_version: int = 0
    """`saccade.search.local.text.VERSION` of the build."""
    words: int = Field(default=200, ge=1)
    """Words of a passage, about."""
    hashes: tuple[Literal["phash", "pdq"], ...] = ()
    """Of pictures: "phash", and "pdq" where it was installed; empty: it holds no pictures."""
    total: str = Field(default="0" * 64, pattern=r"^[0-9a-f]{64}$")
    """Sum of the hashes of the documents."""
    documents: int = 0
    pictures: int = 0
    vectors: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """SHA-256 of the embeddings, which names their file; empty: there are none."""
    stale: bool = False
    """Whether something was replaced or removed since the texts were last written as a whole."""
    finished: bool = False
    """Whether the build came to its end."""

    @property
    def digest(self) -> str:
        """The hash of all that results depend on: documents, and how they are made findable."""
        parts = (
            self.format, self.text_version, self.words,
            self.hashes if self.pictures else (), self.total,
            self.documents, self.vectors,
            # Until the texts are written anew, what is gone still counts in the ranking.
            *(("stale", self.texts) if self.stale and self.texts else ()),
        )  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def texts_in(self, folder: Path) -> Path:
        """Where the full-text search of this state lies."""
        return folder / TEXTS / f"{self.texts:06d}"


def read_state(database: sqlite3.Connection, folder: Path) -> State | None:
    """The whole state of an index; None before its first one.

    Raises:
        FormatError: the database is damaged, or of another version.
    """
    with reading(folder):
        found = database.execute("SELECT content FROM state").fetchone()
    if found is None:
        return None
    try:
        held = json.loads(found[0])
        if held.get("format") == FORMAT:
            return State.model_validate(held)
        version = held.get("format")
    except (ValueError, TypeError, AttributeError, ValidationError) as error:
        raise FormatError(
            f"{folder / DATABASE}: the state of the index cannot be read ({error}); remove the "
            "folder and build it again"
        ) from error
    raise FormatError(
        f"{folder}: an index in format {version}, and this version of Saccade reads {FORMAT}; "
        "remove the folder and build it again"
    )


def opened(folder: Path) -> sqlite3.Connection:
    """The database of an index, for reading from any thread, one at a time.

    Raises:
        ConfigError: there is none.
        FormatError: it cannot be read.
    """
    file = folder / DATABASE
    if not file.is_file():
        raise ConfigError(
            f"{folder}: expected the folder of an index, with {DATABASE} in it; "
            "`saccade index build SOURCE --out INDEX` makes one"
        )
    where = file.absolute().as_uri()
    try:
        # Not read-only where it need not be: a build that was killed within its last moment leaves
        # a journal, and whoever comes next puts it back.
        return _connected(f"{where}?mode=rw")
    except sqlite3.OperationalError:
        return _connected(f"{where}?mode=ro")


def _connected(where: str) -> sqlite3.Connection:
    database = sqlite3.connect(
        where, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    database.execute("PRAGMA query_only = ON")
    return database


def check_tables(database: sqlite3.Connection, folder: Path, *, new: bool = False) -> None:
    """Refuse a database that is not ours alone: its views and triggers would act in our name.

    Args:
        database: Of an index.
        folder: Of the index.
        new: Whether it may have no table yet.

    Raises:
        FormatError: it has other tables, is damaged, or belongs to another program.
    """
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ROW_BYTES)
    with reading(folder):
        database.execute("PRAGMA trusted_schema = OFF")
        held = _tables(database)
    ours = _ours()
    whole = held >= {each for each in ours if each[0] == "table"}
    if not held <= ours or not (whole or (new and not held)):
        raise FormatError(
            f"{folder / DATABASE}: expected the tables of an index, got {len(held)} that are not "
            "quite those; remove the folder and build it again, or choose another"
        )


def _tables(database: sqlite3.Connection) -> frozenset[tuple[str, ...]]:
    return frozenset(
        database.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
    )


@cache
def _ours() -> frozenset[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.executescript(SCHEMA)
        return _tables(database)


_DAMAGED = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}


@contextmanager
def keeping(folder: Path) -> Iterator[None]:
    """What a disk refuses to SQLite or to tantivy within is a `StoreError`.

    Raises:
        FormatError: the database is damaged.
        StoreError: the disk takes no more.
    """
    with writing(folder):
        try:
            yield
        except SaccadeError:
            raise
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                raise damaged(folder, error) from error
            raise StoreError(_refused(folder, error)) from error
        except ValueError as error:  # of tantivy, whatever the disk has said to it
            raise StoreError(_refused(folder, error)) from error


def _refused(folder: Path, error: Exception) -> str:
    return (
        f"{folder}: cannot be written ({error}); see that the disk has room and can be written, "
        "and run the same command again: it resumes"
    )
