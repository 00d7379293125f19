"""The engines of `search.py`. Each keeps title and text of a passage, and gives both back.

Each is set up as its documentation advises, with English stemming in all of them: `fts5` has the
porter tokenizer, is optimised after the build, is not asked for stop words, and is asked for any
word where nothing has all of them; `bm25s` has the stemmer of tantivy (Snowball) and its own stop
words, and maps its index and its passages into memory; `tantivy` searches two fields with the
analyzer `en_stem` through its own parser of queries.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import search_corpus as corpora

Search = Callable[[str, int], list[corpora.Passage]]


class Engine(Protocol):
    """What is measured."""

    @staticmethod
    def build(folder: Path, passages: Iterable[corpora.Passage]) -> None:
        """Write an index into an empty folder."""
        ...

    @staticmethod
    def open(folder: Path) -> Search:
        """What finds the best passages for some words."""
        ...


class Ours:
    """`saccade.search.local.text` as it is shipped."""

    @staticmethod
    def build(folder: Path, passages: Iterable[corpora.Passage]) -> None:
        from saccade.search.local.text import Passage, TextIndex

        index = TextIndex(folder)
        index.add(Passage(passage.id, 0, passage.title, passage.text) for passage in passages)
        index.commit()
        index.close()

    @staticmethod
    def open(folder: Path) -> Search:
        from saccade.search.local.text import TextIndex

        index = TextIndex(folder)

        def search(words: str, k: int) -> list[corpora.Passage]:
            found = (match.passage for match in index.search(words, k))
            return [corpora.Passage(each.document, each.title, each.text) for each in found]

        return search


class PlainTantivy:
    """Tantivy as its own examples use it."""

    @staticmethod
    def schema() -> Any:
        import tantivy

        builder = tantivy.SchemaBuilder()
        builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_text_field("title", stored=True, tokenizer_name="en_stem")
        builder.add_text_field("text", stored=True, tokenizer_name="en_stem")
        return builder.build()

    @staticmethod
    def build(folder: Path, passages: Iterable[corpora.Passage]) -> None:
        import tantivy

        writer = tantivy.Index(PlainTantivy.schema(), path=str(folder)).writer(num_threads=1)
        for id, title, text in passages:
            writer.add_document(tantivy.Document(id=id, title=title, text=text))
        writer.commit()
        writer.wait_merging_threads()

    @staticmethod
    def open(folder: Path) -> Search:
        import tantivy

        index = tantivy.Index(PlainTantivy.schema(), path=str(folder))
        searcher = index.searcher()

        def search(words: str, k: int) -> list[corpora.Passage]:
            query, _ = index.parse_query_lenient(" ".join(terms(words)), ["title", "text"])
            found = (searcher.doc(place) for _, place in searcher.search(query, k).hits)
            return [
                corpora.Passage(*(str(each.get_first(name)) for name in ("id", "title", "text")))
                for each in found
            ]

        return search


class Fts5:
    """SQLite's full-text search."""

    @staticmethod
    def build(folder: Path, passages: Iterable[corpora.Passage]) -> None:
        database = sqlite3.connect(folder / "passages.sqlite")
        database.execute(
            "CREATE VIRTUAL TABLE passages USING fts5("
            "id UNINDEXED, title, text, tokenize = 'porter unicode61 remove_diacritics 2')"
        )
        with database:
            database.executemany("INSERT INTO passages VALUES (?, ?, ?)", passages)
        with database:
            database.execute("INSERT INTO passages(passages) VALUES ('optimize')")
        database.close()

    @staticmethod
    def open(folder: Path) -> Search:
        database = sqlite3.connect(folder / "passages.sqlite")
        database.execute("PRAGMA mmap_size = 4294967296")

        def search(words: str, k: int) -> list[corpora.Passage]:
            for operator in (" AND ", " OR "):
                telling = [term for term in terms(words) if term not in corpora.STOP]
                query = operator.join(f'"{term}"' for term in telling or terms(words))
                rows = database.execute(
                    "SELECT id, title, text FROM passages WHERE passages MATCH ? "
                    "ORDER BY rank LIMIT ?",
                    (query, k),
                ).fetchall()
                if rows:
                    return [corpora.Passage(*row) for row in rows]
            return []

        return search


class Bm25s:
    """BM25 with scores that are computed when the index is built."""

    @staticmethod
    def tokenizer() -> Any:
        from bm25s.tokenization import Tokenizer
        from tantivy import Filter, TextAnalyzerBuilder
        from tantivy import Tokenizer as Cut

        stem = TextAnalyzerBuilder(Cut.raw()).filter(Filter.stemmer("english")).build()
        return Tokenizer(stopwords="en", stemmer=lambda word: (stem.analyze(word) or [word])[0])

    @staticmethod
    def build(folder: Path, passages: Iterable[corpora.Passage]) -> None:
        import bm25s

        tokenizer = Bm25s.tokenizer()
        kept = list(passages)
        texts = [f"{passage.title} {passage.text}" for passage in kept]
        tokens = tokenizer.tokenize(texts, show_progress=False, return_as="tuple")
        del texts
        index = bm25s.BM25()
        index.index(tokens, show_progress=False)
        del tokens
        rows = [passage._asdict() for passage in kept]
        index.save(str(folder), corpus=rows, show_progress=False)
        tokenizer.save_vocab(str(folder))

    @staticmethod
    def open(folder: Path) -> Search:
        import bm25s

        tokenizer = Bm25s.tokenizer()
        tokenizer.load_vocab(str(folder))
        index = bm25s.BM25.load(str(folder), mmap=True, load_corpus=True, show_progress=False)

        def search(words: str, k: int) -> list[corpora.Passage]:
            tokens = tokenizer.tokenize([words], update_vocab=False, show_progress=False)
            if not tokens[0]:
                return []
            found = index.retrieve(tokens, k=k, show_progress=False, n_threads=0)
            return [
                corpora.Passage(row["id"], row["title"], row["text"]) for row in found.documents[0]
            ]

        return search


def terms(words: str) -> list[str]:
    """Words without what a parser of queries would take for a command."""
    return re.findall(r"[^\W_]+", words.lower())


def read(path: Path) -> Iterable[corpora.Passage]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield corpora.Passage(*json.loads(line))


ENGINES: dict[str, type[Engine]] = {
    "saccade": Ours, "tantivy": PlainTantivy, "fts5": Fts5, "bm25s": Bm25s,
}  # fmt: skip
