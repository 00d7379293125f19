"""Building an index, and bringing it up to date: only what is new or changed is worked on."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from saccade.errors import FormatError, ImageError
from saccade.images.image import Image
from saccade.search.local.pictures.hashes import picture_of
from saccade.search.local.source.folder import LeftOut, files_of, items_in
from saccade.search.local.source.rows import Item, items_of, rows_in
from saccade.search.local.source.seen import Seen
from saccade.search.local.store.document import Picture, digest_of
from saccade.search.local.store.writer import MAX_BATCH, Writer
from saccade.types import Record

AHEAD = 32
"""Number of pictures that are decoded, or wait for it, at a time."""


class Built(Record):
    """What a build has done, in numbers of documents."""

    documents: int
    """In the index."""
    pictures: int
    """In the index."""
    embedded: int
    """In the index, with an embedding."""
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0
    kept: int = 0
    """In the index, and not in the source."""
    repeated: int = 0
    """Rows that are the same as an earlier one."""
    left_out: int = 0
    """Files of a folder that could not be read."""
    digest: str
    """The hash of the index: the same for the same documents."""


class Source(NamedTuple):
    """What is read."""

    items: Iterator[Item]
    total: int | None
    """Number of rows or files; None where nobody knows."""
    strict: bool
    """Whether a picture that cannot be read ends the build; in a folder it is left out."""


def build(
    source: Path,
    out: Path,
    *,
    words: int | None = None,
    prune: bool = False,
    embeddings: Path | None = None,
    commit_every: int = MAX_BATCH,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,
    on_left_out: LeftOut = lambda file, reason: None,
) -> Built:
    """Build an index, or bring one up to date.

    What is finished at a commit stays, whatever ends the process; the next build goes on there,
    and ends with the same index as one that nothing has disturbed.

    Args:
        source: A file of rows, or a folder.
        out: The folder of the index.
        words: Words of a passage; None: 200, or as the index has them.
        prune: Whether documents that the source does not have are removed.
        embeddings: `NAME.npy` with embeddings of the pictures (see `vectors`).
        commit_every: Number of documents of a batch.
        on_progress: Called with the number of rows that are done, and of how many.
        on_left_out: Called for each file of a folder that cannot be read.

    Raises:
        FormatError: a row of the source is wrong.
        ConfigError: the source or the folder is something else.
        StoreLocked: another process builds this index.
        StoreError: the disk takes no more.
    """
    left_out: set[str] = set()

    def leave_out(file: str, reason: str) -> None:
        left_out.add(file)
        on_left_out(file, reason)

    read = _read(source, leave_out)
    with Writer(out, words=words, commit_every=commit_every) as writer, Seen() as seen:
        counts = _Pass(writer, seen, strict=read.strict, on_left_out=leave_out).over(
            read.items, lambda done: on_progress(done, read.total)
        )
        writer.commit()
        for gone in [document for document in writer.ids() if document not in seen]:
            # A file that cannot be read just now is there all the same.
            removed = prune and gone not in left_out
            if removed:
                writer.remove(gone)
            counts["removed" if removed else "kept"] += 1
        if embeddings is not None:
            writer.embed(embeddings)
        writer.commit(finished=True)
        state, embedded = writer.state, writer.count_embedded()
    return Built(
        documents=state.documents,
        pictures=state.pictures,
        embedded=embedded,
        left_out=len(left_out),
        digest=state.digest,
        **counts,
    )


def _read(source: Path, leave_out: LeftOut) -> Source:
    if source.is_dir():
        names = files_of(source, leave_out)
        if not names:
            raise FormatError(
                f"{source}: a folder without texts and images; expected files such as .md, .txt, "
                ".html, .jpg, .png, or a file of rows (.jsonl, .parquet)"
            )
        return Source(items_in(source, names, leave_out), len(names), strict=False)
    return Source(items_of(source), rows_in(source), strict=True)


class _Waiting(NamedTuple):
    """An item whose picture is under way."""

    item: Item
    known: bool
    """Whether the index has an earlier version of it."""
    picture: Future[Picture] | None


class _Pass:
    """One pass over a source."""

    def __init__(self, writer: Writer, seen: Seen, *, strict: bool, on_left_out: LeftOut) -> None:
        self._writer, self._seen, self._strict = writer, seen, strict
        self._leave_out = on_left_out
        self._counts = dict.fromkeys(
            ("added", "replaced", "unchanged", "repeated", "removed", "kept"), 0
        )
        self._waiting: deque[_Waiting] = deque()

    def over(self, items: Iterator[Item], on_done: Callable[[int], None]) -> dict[str, int]:
        """Put what is new or changed into the index; how much of it was what."""
        workers = min(8, os.cpu_count() or 1)
        with ThreadPoolExecutor(workers, thread_name_prefix="saccade-pictures") as pool:
            try:
                for done, item in enumerate(items, start=1):
                    self._take(item, pool)
                    while len(self._waiting) > AHEAD:
                        self._put()
                    on_done(done)
                while self._waiting:
                    self._put()
            finally:
                pool.shutdown(cancel_futures=True)
        return self._counts

    def _take(self, item: Item, pool: ThreadPoolExecutor) -> None:
        image: Image | None = None
        if item.picture is not None:
            try:
                image = item.picture()
            except ImageError as error:
                self._fails(item, error)
                return
        digest = digest_of(item.document, image.source.digest if image else "")
        earlier = self._seen.add(item.document.id, item.place, digest)
        if earlier is not None:
            if earlier.digest != digest:
                raise FormatError(
                    f"{item.place}: expected an id of its own, got {item.document.id[:80]!r}, "
                    f"which is that of {earlier.place} with other content; rename one of them"
                )
            self._counts["repeated"] += 1
            return
        held = self._writer.digest(item.document.id)
        if held == digest:
            self._counts["unchanged"] += 1
            return
        picture = None
        if image is not None:
            picture = pool.submit(picture_of, image, self._writer.hashes())
        self._waiting.append(_Waiting(item, held is not None, picture))
        if picture is None and len(self._waiting) == 1:
            self._put()

    def _put(self) -> None:
        item, known, made = self._waiting.popleft()
        try:
            picture = None if made is None else made.result()
        except ImageError as error:
            self._fails(item, error)
            return
        self._writer.put(item.document, picture)
        self._counts["replaced" if known else "added"] += 1

    def _fails(self, item: Item, error: ImageError) -> None:
        """Leave a file of a folder out; a row that cannot be read is an error.

        Raises:
            FormatError: names the row.
        """
        if self._strict:
            raise FormatError(f"{item.place}: {error}") from error
        self._leave_out(item.document.id, str(error))
