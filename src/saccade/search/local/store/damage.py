"""What is wrong where an index is read: its files, the machine, or neither.

Nothing in the folder of an index is trusted: it may have been copied in part, or be somebody
else's. Whatever its files make SQLite, tantivy or our own reading raise is an error that names the
folder, and not an empty result. Not guaranteed: that an index is honest. Whoever can write its
files can make documents up, or hide them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saccade.errors import FormatError, ImageError, SaccadeError, StoreError

_MACHINE = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM,
}  # fmt: skip
"""Failures of SQLite for which no file is to blame."""


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """What reading an index raises within is told as what it is.

    Raises:
        FormatError: the index is damaged.
        StoreError: it cannot be read now, because the machine or another process is in the way.
    """
    try:
        yield
    except ImageError as error:
        raise damaged(folder, error) from error
    except (SaccadeError, sqlite3.ProgrammingError):  # the latter: it was closed meanwhile
        raise
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _MACHINE:
            raise StoreError(
                f"{folder}: the index cannot be read ({error}); see that no other process holds "
                "it, that the disk is well, and run the same command again"
            ) from error
        raise damaged(folder, error) from error
    except (ValueError, TypeError, LookupError, AssertionError) as error:
        raise damaged(folder, error) from error
    except BaseException as error:
        # What fails within Rust is no Exception, and would end the run past every handler.
        if type(error).__name__ == "PanicException":
            raise damaged(folder, error) from error
        raise


def damaged(folder: Path, error: BaseException) -> FormatError:
    """An index that cannot be used any more."""
    said = str(error).partition("\n")[0][:300] or type(error).__name__
    return FormatError(
        f"{folder}: no index, or a damaged one ({said}); remove the folder and build it again"
    )
