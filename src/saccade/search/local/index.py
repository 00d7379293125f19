"""An index as it is searched."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from saccade.errors import ConfigError, FormatError
from saccade.images.image import Image
from saccade.search.found import Hit, Kind, Result
from saccade.search.local.document import Document
from saccade.search.local.state import VALID, State, opened, read_state
from saccade.search.local.text import VERSION, Match, TextIndex

TRIES = 100


class Index:
    """One state of an index, open for reading; a build that goes on meanwhile does not change it.

    It may be used from several threads at the same time. Texts are mapped into memory.

        with Index.open(folder) as index:
            index.text("when was the lighthouse built", k=5)
    """

    def __init__(self, folder: Path) -> None:
        """Open the state that is the whole one now.

        Raises:
            FormatError: there is no index, or it is damaged, or of another version.
            ConfigError: its texts were written by another version of the search.
        """
        self.folder = folder
        self._database = opened(folder)
        self._lock = threading.Lock()
        try:
            self._state, self._texts = self._open()
        except BaseException:
            self._database.close()
            raise

    @classmethod
    def open(cls, folder: str | Path) -> Index:
        """The index in a folder; see `__init__`."""
        return cls(Path(folder))

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
            if (folder := state.texts_in(self.folder)).is_dir():
                texts = TextIndex(folder)
                # A build that has gone on since has removed what was being opened.
                if read_state(self._database, self.folder) == state:
                    return state, texts
        raise FormatError(f"{folder}: missing; remove the folder of the index and build it again")

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

    def text(self, query: str, k: int) -> tuple[Result, ...]:
        """The best documents for some words, each with its best passage, the best one first."""
        if self._texts is None:
            return ()
        best: dict[str, Match] = {}
        wanted = k
        while len(best) < k:
            wanted *= 4
            found = self._texts.search(query, wanted)
            best = {}
            for match in sorted(found, key=_place):
                best.setdefault(match.passage.document, match)
            if len(found) < wanted:
                break
        return tuple(
            Result(_hit(match, rank)) for rank, match in enumerate(list(best.values())[:k], start=1)
        )

    def image(self, image: Image, k: int) -> tuple[Result, ...]:
        """The pictures that look like an image, the most similar one first; often none."""
        return ()

    def document(self, name: str) -> Document | None:
        """A whole document.

        Args:
            name: Its id, or its url; of several with the same url, it is the first.
        """
        for column in ("id", "url"):
            rows = self._rows(
                f"SELECT id, title, url, text FROM documents WHERE {column} = :name AND {VALID} "
                "ORDER BY number LIMIT 1",
                {"name": name, "at": self._state.number},
            )
            if rows and name:
                return Document(*rows[0])
        return None

    def _rows(self, query: str, values: dict[str, object]) -> Sequence[tuple[str, ...]]:
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
