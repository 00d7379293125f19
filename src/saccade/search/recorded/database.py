"""The SQLite file of a recording: made whole, opened without trust.

Source: sqlite.org, "Defense Against The Dark Arts" (security.html) and "Write-Ahead Logging"
(wal.html).
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from saccade.errors import ConfigError, FormatError, StoreError
from saccade.files import make_folder, open_file, writing

Row = tuple[object, ...]

APPLICATION_ID, VERSION = 0x53614365, 1
"""What the header of the file says: `SaCe`, and the version of the tables."""
BUSY_S = 60.0
"""Seconds that a process waits for others that write to the file."""
MAX_VALUE_BYTES = 64 * 2**20
"""Bytes that a value may have; SQLite itself would make room for a gigabyte."""
TABLES = {
    "engines": "CREATE TABLE engines (id INTEGER PRIMARY KEY, name TEXT NOT NULL, facts TEXT NOT "
    "NULL, digest BLOB NOT NULL, UNIQUE (name, facts))",
    "searches": "CREATE TABLE searches (engine INTEGER NOT NULL, kind TEXT NOT NULL, what TEXT NOT "
    "NULL, k INTEGER NOT NULL, asked TEXT NOT NULL, task TEXT NOT NULL, results TEXT NOT NULL, "
    "digest BLOB NOT NULL, recorded TEXT NOT NULL, version TEXT NOT NULL, PRIMARY KEY (engine, "
    "kind, what, k))",
    "pictures": "CREATE TABLE pictures (name TEXT PRIMARY KEY, data BLOB NOT NULL)",
}
"""An engine is what was asked; its digest is the sum of those of its searches."""

_MAGIC = b"SQLite format 3\0"
_FULL_OR_BUSY = {
    sqlite3.SQLITE_BUSY: "another process has it open for longer than a minute; wait for it",
    sqlite3.SQLITE_LOCKED: "another process has it open; wait for it",
    sqlite3.SQLITE_FULL: "the disk is full; make room and run the same command again",
    sqlite3.SQLITE_IOERR: "the disk fails",
    sqlite3.SQLITE_READONLY: "it may not be written to",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: who may read and write its folder?",
    sqlite3.SQLITE_PERM: "it may not be opened",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
}
"""What is wrong with the machine and not with the file, and what helps."""


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """A recording, open; for any thread, one at a time.

    Raises:
        ConfigError: there is no such file, and nothing is to be written.
        FormatError: it is something else, or damaged.
        StoreError: it cannot be opened or made.
    """
    if write and not os.path.lexists(path):
        _create(path)
    _check_header(path)
    with told(path):
        mode = "rw" if write else "ro"
        try:
            return _opened(path, mode)
        except sqlite3.OperationalError:
            # Where nothing can be written, and nobody has: the log that readers share is not made.
            if write or os.path.exists(f"{path}-wal"):
                raise
            return _opened(path, f"{mode}&immutable=1")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What SQLite raises within becomes an error that says which file, and what helps.

    Raises:
        FormatError: the file is damaged, or holds a value of more than `MAX_VALUE_BYTES`.
        StoreError: the machine will not have it.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and (remedy := _FULL_OR_BUSY.get(code & 0xFF)):
            raise StoreError(f"{path}: {remedy} ({error})") from error
        raise FormatError(
            f"{path}: damaged ({error}); record into a new file, or take a copy that is whole"
        ) from error


def _create(path: Path) -> None:
    """Make an empty recording, which is there as a whole or not at all.

    Of several processes that make it at the same time, the first one does.
    """
    make_folder(path.parent)
    with writing(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=".recording-") as place:
        made = Path(place) / "made.sqlite"
        with closing(sqlite3.connect(made, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            for table in TABLES.values():
                connection.execute(table)
            connection.execute("PRAGMA journal_mode = WAL")
        with suppress(FileExistsError):
            os.link(made, path)


def _check_header(path: Path) -> None:
    """Refuse what is no recording before SQLite looks at it.

    Source: sqlite.org, "Database File Format" (fileformat2.html), 1.3.
    """
    try:
        with open_file(path) as file:
            head = file.read(100)
    except FileNotFoundError as error:
        raise ConfigError(
            f'{path}: there is no such recording; it is made by mode = "record", or by `saccade '
            "index import`"
        ) from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
    wanted = f"{path}: expected a recording of searches"
    if not head.startswith(_MAGIC) or len(head) < 100:
        raise FormatError(f"{wanted}, got a file that is no SQLite database; choose another name")
    if int.from_bytes(head[68:72]) != APPLICATION_ID:
        raise FormatError(f"{wanted}, got the SQLite database of another program")
    if (version := int.from_bytes(head[60:64])) != VERSION:
        raise FormatError(f"{wanted} of version {VERSION}, got version {version}; update Saccade")


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    """An open file whose tables are ours and nothing else."""
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False,
    )  # fmt: skip
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        for pragma in (
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "mmap_size = 0",
            "synchronous = FULL",
            f"query_only = {'OFF' if mode == 'rw' else 'ON'}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        held = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        ).fetchall()
    except sqlite3.Error:
        connection.close()
        raise
    if dict(held) != TABLES or len(held) != len(TABLES):
        connection.close()
        raise FormatError(
            f"{path}: expected the tables of a recording, got {len(held)} that are not quite those"
        )
    return connection
