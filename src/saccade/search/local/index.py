"""An index as it is searched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from saccade.errors import ConfigError, FormatError
from saccade.images.image import Image
from saccade.search.found import Hit, Kind, Result
from saccade.search.local.pictures.hashes import HashTable, check_available, hashes_of
from saccade.search.local.pictures.vectors import Vectors
from saccade.search.local.store import generations
from saccade.search.local.store.damage import damaged, reading
from saccade.search.local.store.document import Document
from saccade.search.local.store.passages import passages_of
from saccade.search.local.store.state import VALID, State, check_tables, opened, read_state
from saccade.search.local.text import VERSION, Match, TextIndex

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Search = Callable[[str, int], Sequence[Match]]
"""Words and a number of passages -> the best ones."""

TRIES = 100
MAX_PASSAGES = 4000
"""Number of passages that are looked at for documents that differ."""


class Index:
    """One state of an index, open for reading; a build that goes on meanwhile does not change it.

    It may be used from several threads at the same time. Texts are mapped into memory.

        with Index.open(folder) as index:
            index.text("when was the lighthouse built", k=5)
    """

    def __init__(self, folder: Path, *, check: bool = True) -> None:
        """Open the state that is the whole one now.

        Args:
            folder: Of the index.
            check: Whether the texts are read once, to see that they are what was written; without
                it only what the index is can be relied on.

        Raises:
            ConfigError: there is no index, or its texts were written by another version of the
                search.
            FormatError: it is damaged, or of another version.
        """
        self.folder, self._check = folder, check
        self._database = opened(folder)
        self._lock = threading.Lock()
        try:
            check_tables(self._database, folder)
            self._state, self._texts = self._open()
            with reading(folder):
                self._pictures = self._open_pictures()
        except BaseException:
            self._database.close()
            raise

    @classmethod
    def open(cls, folder: str | Path, *, check: bool = True) -> Index:
        """The index in a folder; see `__init__`."""
        return cls(Path(folder), check=check)

    @classmethod
    def reopened(cls, folder: Path, digest: str) -> Index:
        """The index in a folder, as it was when a run was set up.

        Raises:
            ConfigError: it has changed since.
        """
        index = cls.open(folder)
        if index.digest != digest:
            index.close()
            raise ConfigError(
                f"{folder}: the index has changed since the run was set up, and what it gives "
                "would no longer be comparable; start the command again"
            )
        return index

    def _open(self) -> tuple[State, TextIndex | None]:
        for _ in range(TRIES):
            state = read_state(self._database, self.folder)
            if state is None:
                raise FormatError(
                    f"{self.folder}: the index holds nothing yet; a build is under way, or was "
                    "ended before its first commit: run it again"
                )
            if not state.texts:
                return state, None
            if state.text_version != VERSION:
                raise ConfigError(
                    f"{self.folder}: its texts were written by another version of the search "
                    f"({state.text_version}, and this is {VERSION}); run `saccade index build` "
                    "again: the texts are written anew"
                )
            texts: TextIndex | None = None
            fault: FormatError | None = None
            try:
                texts = self._texts_of(state)
            except FormatError as error:
                fault = error
            # A build that has gone on since has removed what was being opened.
            if read_state(self._database, self.folder) == state:
                if fault is not None:
                    raise fault
                return state, texts
        raise FormatError(f"{self.folder}: changes all the time; run the same command again")

    def _texts_of(self, state: State) -> TextIndex:
        folder = state.texts_in(self.folder)
        if not (folder / generations.LIST).is_file():
            raise damaged(self.folder, FileNotFoundError(f"{folder / generations.LIST} is missing"))
        if self._check:
            generations.check(folder)
        with reading(self.folder):
            return TextIndex(folder)

    def _open_pictures(self) -> _Pictures | None:
        state = self._state
        if not state.pictures:
            return None
        check_available(state.hashes, str(self.folder))
        rows = self._rows(
            f"SELECT id, number, phash, pdq FROM pictures WHERE {VALID} ORDER BY id",
            {"at": state.number},
        )
        return _Pictures(
            ids=[row[0] for row in rows],
            numbers={row[0]: row[1] for row in rows},
            table=HashTable([row[2] for row in rows], [row[3] for row in rows]),
            vectors=Vectors(self.folder, state.vectors) if state.vectors else None,
        )

    @property
    def digest(self) -> str:
        """The hash of all that results depend on."""
        return self._state.digest

    @property
    def state(self) -> State:
        """What it holds."""
        return self._state

    @property
    def kinds(self) -> frozenset[Kind]:
        """What it can be searched with."""
        kinds: set[Kind] = set()
        if self._texts is not None:
            kinds.add("text")
        if self._state.pictures:
            kinds.add("image")
        return frozenset(kinds)

    @property
    def texts(self) -> TextIndex | None:
        """Its full-text search; None where it holds no text."""
        return self._texts

    def contents(self) -> Iterator[tuple[str, str, str]]:
        """Hash (hex), title and text of each document that has text, one after the other."""
        last = -1
        while rows := self._rows(
            f"SELECT number, digest, title, text FROM documents WHERE {VALID} AND number > :last "
            "ORDER BY number LIMIT 200",
            {"at": self._state.number, "last": last},
        ):
            last = rows[-1][0]
            yield from ((digest.hex(), title, text) for _, digest, title, text in rows)

    def id_of(self, digest: str) -> str | None:
        """The document with a hash; None if the state has none."""
        rows = self._rows(
            f"SELECT id FROM documents WHERE digest = :digest AND {VALID} LIMIT 1",
            {"digest": bytes.fromhex(digest), "at": self._state.number},
        )
        return rows[0][0] if rows else None

    def text(self, query: str, k: int, search: Search | None = None) -> tuple[Result, ...]:
        """The best documents for some words, each with its best passage, the best one first.

        Args:
            query: The words.
            k: How many at most.
            search: Finds passages instead of the full-text search.
        """
        if self._texts is None:
            return ()
        search = search or self._texts.search
        best: dict[str, Match] = {}
        wanted = 3 * k
        while len(best) < k and wanted <= max(3 * k, MAX_PASSAGES):
            with reading(self.folder):
                found = search(query, wanted)
            best = {}
            for match in sorted(found, key=_place):
                best.setdefault(match.passage.document, match)
            if len(found) < wanted:
                break
            wanted *= 4
        return tuple(
            Result(_hit(match, rank)) for rank, match in enumerate(list(best.values())[:k], start=1)
        )

    def image(
        self,
        image: Image,
        k: int,
        *,
        vector: NDArray[np.float32] | None = None,
        least_cosine: float = 0.0,
    ) -> tuple[Result, ...]:
        """The pictures that look like an image, the most similar one first; often none.

        Those with nearly the same hash come first; their score is 1 for the same hash and 0 at the
        distance beyond which none is found. Then come those with a similar embedding, whose score
        is the cosine.

        Args:
            image: Searched with as it is shown.
            k: How many at most.
            vector: Its embedding, (D,) float32, of an index that has some.
            least_cosine: Pictures whose embedding is less similar are none.
        """
        pictures = self._pictures
        if pictures is None:
            return ()
        scores: dict[str, float] = {}
        hashes = hashes_of(image.pixels(), self._state.hashes)
        for place, closeness in pictures.table.nearest(hashes, k):
            scores[pictures.ids[place]] = closeness
        if vector is not None and pictures.vectors is not None:
            for name, cosine in pictures.vectors.nearest(vector, 2 * k):
                if cosine >= least_cosine and name in pictures.numbers:
                    scores.setdefault(name, cosine)
        best = list(scores.items())[:k]
        return tuple(self._pictured(rank, *found) for rank, found in enumerate(best, start=1))

    def _pictured(self, rank: int, name: str, score: float) -> Result:
        with reading(self.folder):
            return self._picture(rank, name, score)

    def _picture(self, rank: int, name: str, score: float) -> Result:
        assert self._pictures is not None
        document = self.document(name)
        (jpeg,) = self._rows(
            "SELECT jpeg FROM thumbnails WHERE number = :number",
            {"number": self._pictures.numbers[name]},
        )[0]
        assert document is not None
        hit = Hit(
            rank=rank,
            title=document.title,
            url=document.url,
            score=score,
            document=name,
            snippet=next(passages_of(document.text, self._state.words), ""),
            thumbnail=True,
        )
        return Result(hit, Image.from_bytes(jpeg, name=f"{self.folder}: thumbnail of {name[:80]}"))

    @property
    def width(self) -> int | None:
        """D of the embeddings of its pictures; None where it has none."""
        held = self._pictures
        return None if held is None or held.vectors is None else held.vectors.rows.shape[1]

    def document(self, name: str) -> Document | None:
        """A whole document.

        Args:
            name: Its id, or its url; of several with the same url, it is the first.
        """
        for column in ("id", "url"):
            with reading(self.folder):
                rows = self._rows(
                    f"SELECT id, title, url, text FROM documents WHERE {column} = :name AND "
                    f"{VALID} ORDER BY number LIMIT 1",
                    {"name": name, "at": self._state.number},
                )
                if not all(isinstance(value, str) for row in rows for value in row):
                    raise ValueError(f"document {name[:80]!r} is no text")
            if rows and name:
                return Document(*rows[0])
        return None

    def _rows(self, query: str, values: dict[str, object]) -> Sequence[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def close(self) -> None:
        """Let its files go."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Pictures(NamedTuple):
    """The pictures of a state."""

    ids: list[str]
    numbers: dict[str, int]
    """By id: where the thumbnail is."""
    table: HashTable
    vectors: Vectors | None


def _place(match: Match) -> tuple[float, str, int]:
    """Where a match stands; of those that are equally good, always the same one is first."""
    return -match.score, match.passage.document, match.passage.number


def _hit(match: Match, rank: int) -> Hit:
    passage = match.passage
    return Hit(
        rank=rank,
        title=passage.title,
        url=passage.url,
        snippet=passage.text,
        score=match.score,
        document=passage.document,
    )
