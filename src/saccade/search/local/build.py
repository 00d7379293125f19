"""Building an index, and bringing it up to date: only what is new or changed is worked on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from saccade.errors import FormatError
from saccade.search.local.document import digest_of
from saccade.search.local.seen import Seen
from saccade.search.local.sources import items_of
from saccade.search.local.writer import MAX_BATCH, Writer
from saccade.types import Record


class Built(Record):
    """What a build has done."""

    documents: int
    """Number of documents that the index holds."""
    pictures: int
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0
    left: int = 0
    """Number of documents of the index that the source does not have, and that were kept."""
    repeated: int = 0
    """Number of rows that are the same as an earlier one."""
    digest: str
    """The hash of the index: the same for the same documents."""


def build(
    source: Path,
    out: Path,
    *,
    words: int | None = None,
    prune: bool = False,
    commit_every: int = MAX_BATCH,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Built:
    """Build an index, or bring one up to date.

    What is finished at a commit stays, whatever ends the process; the next build goes on there.

    Args:
        source: A file of rows, or a folder.
        out: The folder of the index.
        words: Words of a passage; None: 200, or as the index has them.
        prune: Whether documents that the source does not have are removed.
        commit_every: Number of documents of a batch.
        on_progress: Called with the number of rows that are done.

    Raises:
        FormatError: a row of the source is wrong.
        ConfigError: the source or the folder is something else.
        StoreLocked: another process builds this index.
        StoreError: the disk takes no more.
    """
    counts = dict.fromkeys(("added", "replaced", "unchanged", "repeated", "removed", "left"), 0)
    with Writer(out, words=words, commit_every=commit_every) as writer, Seen() as seen:
        for done, item in enumerate(items_of(source), start=1):
            digest = digest_of(item.document, "")
            earlier = seen.add(item.document.id, item.place, digest)
            if earlier is not None:
                if earlier.digest != digest:
                    raise FormatError(
                        f"{item.place}: expected an id of its own, got {item.document.id[:80]!r}, "
                        f"which is the id of {earlier.place} too, with other content"
                    )
                counts["repeated"] += 1
            else:
                held = writer.digest(item.document.id)
                if held == digest:
                    counts["unchanged"] += 1
                else:
                    writer.put(item.document)
                    counts["added" if held is None else "replaced"] += 1
            on_progress(done)
        writer.commit()
        for gone in [document for document in writer.ids() if document not in seen]:
            if prune:
                writer.remove(gone)
            counts["removed" if prune else "left"] += 1
        writer.commit(finished=True)
        state = writer.state
    return Built(documents=state.documents, pictures=state.pictures, digest=state.digest, **counts)
