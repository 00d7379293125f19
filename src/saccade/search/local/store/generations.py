"""The full-text search of an index as a row of states, each of which stays as it is.

Tantivy never changes a file of a segment, and replaces the list of them (`meta.json`) as a whole.
So a state is a folder of links to the files that the list names, and costs no room; where links
are not to be had, it is a copy.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from saccade.errors import StoreError
from saccade.files import MAX_KEPT_BYTES, open_file, read_whole
from saccade.search.local.store.damage import reading
from saccade.search.local.store.state import TEXTS, State

LIST = "meta.json"
MANAGED = ".managed.json"
"""Names of the files that tantivy may remove."""
TRIES = 1000
MAX_FOOTER_BYTES = 4096
PIECE_BYTES = 1 << 20


def publish(work: Path, made: Path) -> None:
    """Make the state that tantivy has committed in a working folder one of its own.

    Raises:
        StoreError: the working folder does not come to rest.
    """
    for _ in range(TRIES):
        _remove(made)
        with suppress(FileNotFoundError):  # segments are merged, and the old files removed
            listed = _list(work)
            _link(work, made, listed)
            if _list(work) == listed:
                _sync(made)
                _sync(made.parent)
                return
    raise StoreError(f"{work}: segments are merged without end; run the same command again")


def check(made: Path) -> None:
    """Refuse a state whose files are no longer as tantivy has written them.

    Tantivy checks none of what it reads later: a state without its list is an empty one to it, and
    of a file with other bytes it finds other passages, or none.

    Source: tantivy, src/directory/footer.rs: a file ends in a JSON object with the CRC-32 of what
    is before it, the length of that object, and a magic number.

    Raises:
        FormatError: a file is missing, or has changed.
    """
    with reading(made.parent.parent):
        for name in _files_of(made, _list(made)):
            if not _is_whole(made / name):
                raise ValueError(f"{made / name} is not what was written")


def _is_whole(path: Path) -> bool:
    with open_file(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        tail = file.read(8)
        left = size - 8 - int.from_bytes(tail[:4], "little")
        if len(tail) < 8 or left < 0 or size - left > MAX_FOOTER_BYTES:
            return False
        file.seek(left)
        said = json.loads(file.read(size - 8 - left)).get("crc")
        file.seek(0)
        found = 0
        while left and (piece := file.read(min(left, PIECE_BYTES))):
            found, left = zlib.crc32(piece, found), left - len(piece)
    return bool(found == said)


def restart(work: Path, made: Path | None) -> None:
    """Make a working folder like a state; what was not committed since is gone.

    Args:
        work: The folder, which nobody uses.
        made: The state; None begins with nothing.
    """
    _remove(work)
    if made is None:
        work.mkdir(parents=True)
    else:
        _link(made, work, _list(made))


def remove_others(folder: Path, state: State, *, work: Path | None = None) -> None:
    """Remove what other states were, and other working folders than this one.

    A reader that has one open keeps its files. Where a merge is still under way in one, the next
    call removes it.
    """
    if not (folder / TEXTS).is_dir():
        return
    kept = {work, state.texts_in(folder) if state.texts else None}
    for path in (folder / TEXTS).iterdir():
        if path not in kept:
            with suppress(OSError):
                _remove(path)


def _list(folder: Path) -> bytes:
    return read_whole(folder / LIST, most=MAX_KEPT_BYTES)


def _link(source: Path, target: Path, listed: bytes) -> None:
    target.mkdir(parents=True)
    names = list(_files_of(source, listed))
    for name in names:
        try:
            os.link(source / name, target / name)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            shutil.copy2(source / name, target / name)
    (target / MANAGED).write_text(json.dumps([*names, LIST]))
    (target / LIST).write_bytes(listed)


def _files_of(folder: Path, listed: bytes) -> Iterator[str]:
    segments = {
        segment["segment_id"].replace("-", "") for segment in json.loads(listed)["segments"]
    }
    for path in folder.iterdir():
        if path.name.partition(".")[0] in segments:
            yield path.name


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
