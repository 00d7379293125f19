"""Full-text search over passages, with tantivy.

A document is cut into passages elsewhere; here each passage is found by its own words and those of
the title. What is committed is whole: a crash loses what was added since, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import tantivy

WRITER_BYTES = 64 << 20
"""Memory of the writer."""
VERSION = 1
"""Changes when the same documents would be found otherwise; a part of the hash of an index."""


class Passage(NamedTuple):
    """A part of a document, as it is found."""

    document: str
    """Id of its document."""
    number: int
    """Its place in the document, counted from 0."""
    title: str
    text: str
    url: str = ""


class Match(NamedTuple):
    """A passage that was found."""

    passage: Passage
    score: float


class TextIndex:
    """Passages, on disk or in memory. One writer; any number of readers."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open an index, or make an empty one.

        Args:
            folder: Where it lies; None keeps it in memory.

        Raises:
            MissingExtra: tantivy is not installed.
        """
        from saccade.errors import require

        require("tantivy")
        import tantivy

        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._index = tantivy.Index(_schema(), path=None if folder is None else str(folder))
        self._writer: tantivy.IndexWriter | None = None

    def add(self, passages: Iterable[Passage]) -> None:
        """Add passages; they are found after `commit`."""
        import tantivy

        writer = self._writing()
        for passage in passages:
            writer.add_document(
                tantivy.Document(
                    document=passage.document,
                    number=passage.number,
                    title=passage.title,
                    text=passage.text,
                    url=passage.url,
                )
            )

    def remove(self, document: str) -> None:
        """Take all passages of a document out, at the next `commit`."""
        self._writing().delete_documents_by_term("document", document)

    def commit(self) -> None:
        """Make what was added and removed durable and searchable, all of it or nothing."""
        if self._writer is not None:
            self._writer.commit()
        self._index.reload()

    def close(self) -> None:
        """Let the writer go; what was not committed is lost."""
        if self._writer is not None:
            self._writer.rollback()
            self._writer = None

    def search(self, text: str, k: int) -> Sequence[Match]:
        """The best passages for some words, the best one first.

        Args:
            text: Words of whoever asks; no character of it is a command.
            k: Number of passages that are wanted at most.
        """
        words = " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
        if not words:
            return ()
        query, _ = self._index.parse_query_lenient(words, ["title", "text"])
        searcher = self._index.searcher()
        found = searcher.search(query, k).hits
        return [Match(_passage(searcher.doc(place)), float(score)) for score, place in found]

    def _writing(self) -> tantivy.IndexWriter:
        if self._writer is None:
            self._writer = self._index.writer(WRITER_BYTES, 1)
        return self._writer


def _schema() -> tantivy.Schema:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("document", stored=True, tokenizer_name="raw")
    builder.add_integer_field("number", stored=True)
    builder.add_text_field("title", stored=True, tokenizer_name="en_stem")
    builder.add_text_field("text", stored=True, tokenizer_name="en_stem")
    builder.add_text_field("url", stored=True, tokenizer_name="raw", index_option="basic")
    return builder.build()


def _passage(stored: tantivy.Document) -> Passage:
    return Passage(
        document=str(stored.get_first("document")),
        number=int(stored.get_first("number")),
        title=str(stored.get_first("title")),
        text=str(stored.get_first("text")),
        url=str(stored.get_first("url") or ""),
    )
