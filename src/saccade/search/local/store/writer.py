"""Changing an index: in batches, each of which is committed as a whole."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from filelock import FileLock, Timeout

from saccade.errors import ConfigError, StoreLocked
from saccade.files import make_folder
from saccade.search.local.pictures.hashes import available, check_available
from saccade.search.local.pictures.vectors import Vectors, keep_vectors, remove_other_vectors
from saccade.search.local.store import generations
from saccade.search.local.store.document import Document, Picture, added, digest_of
from saccade.search.local.store.passages import WORDS, passages_of
from saccade.search.local.store.state import (
    BUSY_S,
    DATABASE,
    LOCK,
    SCHEMA,
    SENTENCES,
    TEXTS,
    VECTORS,
    State,
    check_tables,
    keeping,
    read_state,
)
from saccade.search.local.text import VERSION, Passage, TextIndex

MAX_BATCH = 10_000
MAX_BATCH_BYTES = 64 * 2**20
MAX_BATCH_S = 20.0
"""A batch is committed when it has as many documents, as many bytes, or is as old."""


class _Held(NamedTuple):
    """What a batch does to one document."""

    digest: bytes
    document: Document
    picture: Picture | None


class Writer:
    """The one process that changes an index. Use it as a context manager.

    What was put in since the last commit is lost with the process, and nothing else.
    """

    def __init__(self, folder: Path, *, words: int | None = None, commit_every: int = MAX_BATCH):
        """Hold an index, or begin one.

        Args:
            folder: Where it lies; made where it is not there.
            words: Words of a passage; None: as the index has them.
            commit_every: Number of documents of a batch.

        Raises:
            StoreLocked: another process changes it.
            ConfigError: the folder holds something else.
            FormatError: the index is damaged, or of another version.
            StoreError: the disk takes no more.
        """
        self._folder, self._most = folder, commit_every
        _check_free(folder)
        make_folder(folder)
        self._lock = FileLock(folder / LOCK)
        with keeping(folder):
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise StoreLocked(
                    f"{folder}: another process builds this index; wait for it, or choose another "
                    "--out"
                ) from None
        try:
            with keeping(folder):
                self._open(words)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, words: int | None) -> None:
        folder = self._folder
        self._database = sqlite3.connect(folder / DATABASE, timeout=BUSY_S, isolation_level=None)
        # A batch is written in one go, by its commit, and readers wait for nothing else.
        self._database.execute("PRAGMA cache_spill = OFF")
        check_tables(self._database, folder, new=True)
        self._database.executescript(SCHEMA)
        held = read_state(self._database, folder)
        state = held or State()
        again = state.texts > 0 and (
            state.text_version != VERSION or words not in (None, state.words)
        )
        self.state = state.model_copy(
            update={"words": words or (state.words if held else WORDS), "text_version": VERSION,
                    "stale": state.stale or again}
        )  # fmt: skip
        self._before = self.state
        self._batch: dict[str, _Held | None] = {}
        self._bytes, self._began = 0, time.monotonic()
        self._texts: TextIndex | None = None
        self._work = folder / TEXTS / "work-0"
        self._wrote = False
        """Whether the texts were changed since the last commit."""
        for table in ("pictures", "documents"):
            self._forget(table, self.state.number)
        generations.remove_others(folder, self.state)
        remove_other_vectors(folder, self.state.vectors)

    def _forget(self, table: str, number: int) -> None:
        """Remove what had ended when the build began; until now a reader may have used it."""
        ended = f"SELECT number FROM {table} WHERE died <= ?"
        if table == "pictures":
            self._database.execute(f"DELETE FROM thumbnails WHERE number IN ({ended})", (number,))
        self._database.execute(f"DELETE FROM {table} WHERE number IN ({ended})", (number,))

    def hashes(self) -> tuple[str, ...]:
        """The hashes that the pictures of the index have; of an index without any, those here.

        Raises:
            ConfigError: they cannot be computed here.
            MissingExtra: imagehash is not installed.
        """
        if not self.state.pictures:
            self.state = self.state.model_copy(update={"hashes": available()})
        check_available(self.state.hashes, str(self._folder))
        return self.state.hashes

    def embed(self, file: Path) -> None:
        """Take embeddings of the pictures; they count from the next commit on.

        Raises:
            FormatError: they are none, or are not those of any picture here.
            StoreError: the disk takes no more.
        """
        name = keep_vectors(file, self._folder)
        self.state = self.state.model_copy(update={"vectors": name})

    def digest(self, document: str) -> bytes | None:
        """The hash of a document that the index holds."""
        if document in self._batch:
            held = self._batch[document]
            return None if held is None else held.digest
        found = self._database.execute(
            "SELECT digest FROM documents WHERE id = ? AND died IS NULL", (document,)
        ).fetchone()
        return None if found is None else bytes(found[0])

    def put(self, document: Document, picture: Picture | None = None) -> None:
        """Add a document, or replace the one with its id; its batch is committed when it is full.

        Raises:
            StoreError: the disk takes no more.
        """
        digest = digest_of(document, picture.digest if picture else "")
        with keeping(self._folder):
            self._end(document.id)
            if document.text:
                self._text().add(self._passages(document))
        update: dict[str, object] = {
            "total": added(self.state.total, digest),
            "documents": self.state.documents + 1,
        }
        if picture is not None:
            update["pictures"] = self.state.pictures + 1
        self.state = self.state.model_copy(update=update)
        self._batch[document.id] = _Held(digest, document, picture)
        self._bytes += len(document.text) + (len(picture.thumbnail) if picture else 0)
        if (
            len(self._batch) >= self._most
            or self._bytes >= MAX_BATCH_BYTES
            or time.monotonic() - self._began >= MAX_BATCH_S
        ):
            self.commit()

    def remove(self, document: str) -> None:
        """Take a document out, with its picture."""
        with keeping(self._folder):
            self._end(document)
        self._batch[document] = None
        if len(self._batch) >= self._most:
            self.commit()

    def _end(self, document: str) -> None:
        """Count a document out, if the index holds it."""
        digest = self.digest(document)
        if digest is None:
            return
        held = self._batch.get(document)
        pictures = int(held.picture is not None) if held else self._count_pictures(document)
        in_texts = self._before.texts > 0 or self._texts is not None
        if in_texts:
            self._text().remove(document)
        self.state = self.state.model_copy(
            update={
                "total": added(self.state.total, digest, sign=-1),
                "documents": self.state.documents - 1,
                "pictures": self.state.pictures - pictures,
                "stale": self.state.stale or in_texts,
            }
        )

    def _count_pictures(self, document: str) -> int:
        query = "SELECT count(*) FROM pictures WHERE id = ? AND died IS NULL"
        return int(self._database.execute(query, (document,)).fetchone()[0])

    def count_embedded(self) -> int:
        """Number of pictures with an embedding.

        Raises:
            FormatError: the embeddings are damaged.
        """
        if not self.state.vectors:
            return 0
        named = set(Vectors(self._folder, self.state.vectors).ids)
        rows = self._database.execute("SELECT id FROM pictures WHERE died IS NULL")
        return sum(name in named for (name,) in rows)

    def ids(self) -> Iterator[str]:
        """The ids of all documents that are committed."""
        for (document,) in self._database.execute("SELECT id FROM documents WHERE died IS NULL"):
            yield document

    def commit(self, *, finished: bool = False) -> None:
        """Make what was put in and removed durable and visible, all of it at one moment.

        Args:
            finished: Whether the build has come to its end.

        Raises:
            StoreError: the disk takes no more; the state before still is the whole one.
        """
        with keeping(self._folder):
            if finished and self.state.stale:
                self._write_texts_anew()
            ends = finished and not self._before.finished
            embeds = self.state.vectors != self._before.vectors
            if not (self._batch or self._wrote or ends or embeds):
                return
            number = self._before.number + 1
            state = self.state.model_copy(update={"number": number, "finished": finished})
            if self._wrote and self._texts is not None:
                state = state.model_copy(update={"texts": number})
                self._texts.commit()
                if finished:
                    self._leave_texts()
                generations.publish(self._work, state.texts_in(self._folder))
            self._write(state)
            generations.remove_others(self._folder, state, work=self._work)
            remove_other_vectors(self._folder, state.vectors)
        self.state = self._before = state
        self._wrote = False
        self._batch, self._bytes, self._began = {}, 0, time.monotonic()

    def _write(self, state: State) -> None:
        """The batch and the state that it leads to, in one transaction."""
        database, number = self._database, state.number
        database.execute("BEGIN IMMEDIATE")
        try:
            for document, held in self._batch.items():
                for table in ("documents", "pictures"):
                    database.execute(
                        f"UPDATE {table} SET died = ? WHERE id = ? AND died IS NULL",
                        (number, document),
                    )
                if held is not None:
                    self._insert(held, number)
            database.execute(
                "INSERT OR REPLACE INTO state VALUES (0, ?)", (state.model_dump_json(),)
            )
            database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise

    def _insert(self, held: _Held, number: int) -> None:
        document, picture = held.document, held.picture
        self._database.execute(
            "INSERT INTO documents (id, born, digest, url, title, text) VALUES (?, ?, ?, ?, ?, ?)",
            (document.id, number, held.digest, document.url, document.title, document.text),
        )
        if picture is None:
            return
        made = self._database.execute(
            "INSERT INTO pictures (id, born, phash, pdq, width, height) VALUES (?, ?, ?, ?, ?, ?)",
            (document.id, number, picture.phash, picture.pdq, picture.width, picture.height),
        )
        self._database.execute(
            "INSERT INTO thumbnails VALUES (?, ?)", (made.lastrowid, picture.thumbnail)
        )

    def _write_texts_anew(self) -> None:
        """Write the texts from the documents.

        Results are ranked by statistics, in which what was replaced or removed is counted until
        its segment is merged. Written anew, they depend on the documents alone.
        """
        self.commit()
        self._leave_texts()
        texts = self._new_texts(None)
        rows = self._database.execute(
            "SELECT id, title, url, text FROM documents WHERE died IS NULL AND text != ''"
        )
        for row in rows:
            texts.add(self._passages(Document(*row)))
        self.state = self.state.model_copy(update={"stale": False})

    def _passages(self, document: Document) -> Iterator[Passage]:
        for number, text in enumerate(passages_of(document.text, self.state.words)):
            yield Passage(document.id, number, document.title, text, document.url)

    def _text(self) -> TextIndex:
        """The full-text search, as it is changed."""
        self._wrote = True
        if self._texts is not None:
            return self._texts
        return self._new_texts(self._before.texts_in(self._folder) if self._before.texts else None)

    def _new_texts(self, made: Path | None) -> TextIndex:
        """Begin to change a state of the texts, or begin anew.

        In another folder each time: a merge of the one before may still be under way.
        """
        self._work = self._work.with_name(f"work-{int(self._work.name.partition('-')[2]) + 1}")
        generations.restart(self._work, made)
        self._texts, self._wrote = TextIndex(self._work), True
        return self._texts

    def _leave_texts(self) -> None:
        if self._texts is not None:
            self._texts.close()
            self._texts = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the index go; what was not committed is lost."""
        try:
            with suppress(OSError, ValueError):  # a writer that a full disk has ended already
                self._leave_texts()
            generations.remove_others(self._folder, self._before)
        finally:
            self._database.close()
            self._lock.release()


def _check_free(folder: Path) -> None:
    """Refuse a folder of something else.

    Raises:
        ConfigError: it holds something, and no index; or a part of it lies elsewhere.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"--out {folder}: a file is in the way; choose another")
    for name in (DATABASE, TEXTS, VECTORS, SENTENCES, LOCK):
        # A build writes below them, and removes what is left over: that would be somebody else's.
        if (folder / name).is_symlink():
            raise ConfigError(
                f"--out {folder}: {name} is a link, and a build changes nothing outside of its "
                "folder; remove the link, or link the whole folder instead"
            )
    names = {path.name for path in folder.iterdir()} - {LOCK}
    if names and DATABASE not in names:
        raise ConfigError(f"--out {folder}: a folder with other content; choose another")
