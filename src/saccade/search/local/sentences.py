"""Sentence embeddings of an index: made once it is built, and searched beside its words.

    INDEX/
      sentences/        a vector for each passage, by the hash of its document (see `vectors`)
      sentences.json    which state of the index they are of, and which embedder made them

Only documents that have none yet are embedded, and what is committed stays, whatever ends the
process. Whoever searches an index that has changed since is told to embed it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from pydantic import ValidationError

from saccade.config import Part
from saccade.errors import ConfigError, FormatError, StoreLocked
from saccade.files import read_whole, write_whole
from saccade.search.local.embed import TextEmbedder, embedded, embedder_of
from saccade.search.local.hybrid import Hybrid
from saccade.search.local.index import Index
from saccade.search.local.store.passages import passages_of
from saccade.search.local.store.state import LOCK, SENTENCES
from saccade.search.local.text import Match
from saccade.search.local.vectors import Near, Place, VectorIndex
from saccade.types import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAMES = "sentences.json"
MAX_NAMES_BYTES = 2**16
COMMIT_EVERY = 5000
"""Number of passages that are embedded between two commits."""


class _Names(Record):
    """The content of `sentences.json`."""

    index: str
    """The digest of the state."""
    embedder: str


class Embedded(Record):
    """What `embed` has done."""

    passages: int
    """With a vector."""
    added: int
    removed: int
    """Number of documents that the index no longer has."""


def embed(
    folder: Path,
    part: Part | str,
    *,
    commit_every: int = COMMIT_EVERY,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Embedded:
    """Embed the passages of an index that have no vector yet, and forget those that are gone.

    Args:
        folder: The index.
        part: What embeds them, as in a run file.
        commit_every: Number of passages between two commits.
        on_progress: Called with the number of documents that are done, and of how many.

    Raises:
        ConfigError: the embedder cannot be used, or another one made what is there.
        FormatError: the index, or what was embedded of it, is damaged.
        StoreLocked: another process builds or embeds this index.
        StoreError: the disk takes no more; what was committed stays.
    """
    embedder = embedder_of(part, "embedder")
    for name in (SENTENCES, NAMES):
        if (folder / name).is_symlink():  # what is left over there would be removed
            raise ConfigError(
                f"{folder}: {name} is a link, and nothing outside of an index is changed; remove it"
            )
    lock = FileLock(folder / LOCK)
    with Index.open(folder) as index:
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreLocked(
                f"{folder}: another process changes this index; wait for it"
            ) from error
        try:
            return _embedded(
                index, embedder, identity_of(part, embedder), commit_every, on_progress
            )
        finally:
            lock.release()


def _embedded(
    index: Index,
    embedder: TextEmbedder,
    identity: str,
    commit_every: int,
    on_progress: Callable[[int, int], None],
) -> Embedded:
    held = VectorIndex(index.folder / SENTENCES, identity)
    known, wanted = held.documents(), set[str]()
    places: list[Place] = []
    texts: list[str] = []
    added = 0

    def commit() -> None:
        nonlocal added
        if texts:
            held.add(places, embedded(embedder, texts, "embedder"))
            added += len(texts)
        held.commit()
        places.clear()
        texts.clear()

    for done, (digest, title, text) in enumerate(index.contents(), start=1):
        wanted.add(digest)
        if digest not in known:
            passages = list(passages_of(text, index.state.words))
            places += [Place(digest, number) for number in range(len(passages))]
            texts += [f"{title}\n{passage}" for passage in passages]
        if len(texts) >= commit_every:
            commit()
        on_progress(done, index.state.documents)
    for digest in known - wanted:
        held.remove(digest)
    commit()
    names = _Names(index=index.digest, embedder=identity)
    write_whole(index.folder / NAMES, names.model_dump_json().encode())
    return Embedded(passages=len(held), added=added, removed=len(known - wanted))


class Sentences:
    """What is searched by meaning: the words of an index and the vectors of its passages."""

    def __init__(self, index: Index, part: Part | str) -> None:
        """Open the vectors of an index.

        Raises:
            ConfigError: there are none of this state, or another embedder made them.
            FormatError: they are damaged.
        """
        if index.texts is None:
            raise ConfigError(f"{index.folder}: the index holds no texts to be searched by meaning")
        embedder = embedder_of(part, "sentences")
        self.identity = identity_of(part, embedder)
        _check(index, self.identity)
        self._index = index
        self._vectors = VectorIndex(index.folder / SENTENCES, self.identity)
        self._hybrid = Hybrid(index.texts, self, embedder, "sentences")

    def matches(self, text: str, k: int) -> Sequence[Match]:
        """The best passages for a question, by words and by meaning. Not for several threads."""
        return self._hybrid.search(text, k)

    def search(self, vector: NDArray[np.float32], k: int) -> list[Near]:
        """The passages whose vectors are most similar, as places of the index."""
        return list(self._named(self._vectors.search(vector, k)))

    def _named(self, found: Sequence[Near]) -> Iterator[Near]:
        for place, cosine in found:
            document = self._index.id_of(place.document)
            if document is not None:
                yield Near(Place(document, place.number), cosine)


def identity_of(part: Part | str, embedder: TextEmbedder) -> str:
    """What vectors depend on: the content of a model, or the name and options of another embedder.

    Not where it lies: that differs from machine to machine.
    """
    named = Part(kind=part) if isinstance(part, str) else part
    digest = getattr(embedder, "digest", None)
    if isinstance(digest, str):
        return f"{named.kind} {digest}"
    return f"{named.kind} {json.dumps(named.options, sort_keys=True)}"


def _check(index: Index, identity: str) -> None:
    file = index.folder / NAMES
    mend = f"run `saccade index embed {index.folder}`"
    if not file.exists():
        raise ConfigError(f"{index.folder}: its passages are not embedded; {mend}")
    try:
        names = _Names.model_validate_json(read_whole(file, most=MAX_NAMES_BYTES))
    except (OSError, ValidationError) as error:
        raise FormatError(f"{file}: cannot be read ({error}); remove it, and {mend}") from error
    if names.index != index.digest:
        raise ConfigError(f"{index.folder}: the index has changed since it was embedded; {mend}")
    if names.embedder != identity:
        raise ConfigError(
            f"{index.folder}: its passages were embedded by {names.embedder}, and this is "
            f"{identity}; name that one, or remove {index.folder / SENTENCES}, and {mend}"
        )
