"""Full-text search over passages, with tantivy.

A document is cut into passages elsewhere; here each passage is found by its own words and those of
the title (see `words`). Passages that have all words of a query come first, then those that lack
one, then those that have some; among equals BM25 decides. A word that no passage has is looked for
as if one letter of it were wrong. What is committed is whole: a crash loses what was added since,
and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from saccade.errors import FormatError
from saccade.search.local.words import STOP, analyzer, asked, indexed, respelt

if TYPE_CHECKING:
    import tantivy

WRITER_BYTES = 128 << 20
"""Memory of the writer."""
VERSION = 2
"""Changes when the same documents would be found otherwise; a part of the hash of an index."""

MOST_CHARACTERS = 2000
"""Characters of a query that are read."""
MOST_WORDS = 12
"""Words of a query that are searched for: the rarest ones, which bounds the time of a search."""
MOST_LACKING = 8
"""Words that a query may have for passages to be looked for that lack one of them."""
MOST_RESPELT = 3
"""Words of a query that are looked for in other spellings."""
SPELLINGS = 5
"""Spellings of a word that are looked for: the most common ones."""
RESPELT_LENGTHS = range(4, 25)
"""Characters of a word that is looked for in other spellings; shorter ones are like too many."""
RARE = 1e-5
"""Share of the passages up to which a word may be a slip that the passages make as well."""


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
    """Never higher than that of a match before it."""


class TextIndex:
    """Passages, on disk or in memory. One writer; any number of readers and threads that search."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open an index, or make an empty one.

        Args:
            folder: Where it lies; None keeps it in memory.

        Raises:
            MissingExtra: tantivy is not installed.
            FormatError: the folder holds an index of another version, or a damaged one.
        """
        from saccade.errors import require

        require("tantivy")
        import tantivy

        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._schema = _schema()
        try:
            self._index = tantivy.Index(self._schema, path=None if folder is None else str(folder))
        except ValueError as error:
            raise FormatError(
                f"{folder}: expected an index of texts of version {VERSION}, got another one or "
                f"a damaged one; build it again ({error})"
            ) from error
        self._analyzer = analyzer()
        self._index.register_tokenizer("words", self._analyzer)
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
                    words=[*indexed(passage.title), *indexed(passage.text)],
                    title=_encoded(passage.title),
                    text=_encoded(passage.text),
                    url=_encoded(passage.url),
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
            self._writer.wait_merging_threads()
            self._writer = None
            self._index.reload()

    def search(self, text: str, k: int, *, strictest: bool = False) -> Sequence[Match]:
        """The best passages for some words, the best one first.

        Args:
            text: Words of whoever asks; no character of it is a command.
            k: Number of passages that are wanted at most.
            strictest: Whether passages with fewer words are left out where some have more: all of
                what is found then has all words, or else lacks one, or else has some.
        """
        searcher = self._index.searcher()
        found: dict[tuple[int, int], Match] = {}
        for query in self._attempts(text[:MOST_CHARACTERS], searcher):
            # Without a count, passages that cannot be among the best are not looked at.
            hits = searcher.search(query, k + len(found), count=False).hits
            new = [hit for hit in hits if (hit[1].segment_ord, hit[1].doc) not in found]
            ceiling = min((match.score for match in found.values()), default=None)
            for score, place in new[: k - len(found)]:
                scaled = score if ceiling is None else ceiling * score / (new[0][0] + score)
                found[place.segment_ord, place.doc] = Match(_passage(searcher.doc(place)), scaled)
            if len(found) >= k or (strictest and found):
                break
        return list(found.values())

    def passage(self, document: str, number: int) -> Passage | None:
        """A passage by its place; None if there is none."""
        from tantivy import Occur, Query

        of_document = Query.term_query(self._schema, "document", document, "basic")
        of_number = Query.term_query(self._schema, "number", number, "basic")
        both = Query.boolean_query([(Occur.Must, of_document), (Occur.Must, of_number)])
        searcher = self._index.searcher()
        found = searcher.search(both, 1, count=False).hits
        return _passage(searcher.doc(found[0][1])) if found else None

    def _attempts(self, text: str, searcher: tantivy.Searcher) -> Iterator[tantivy.Query]:
        """What is searched for, one after the other until there are enough passages."""
        query = asked(text)
        words = [word for word in query.words if word not in STOP] or query.words
        terms = {term: word for word in words for term in self._analyzer.analyze(word)}
        counts = {term: searcher.doc_freq("words", term) for term in terms}
        names = [self._term(term) for name in query.names for term in self._analyzer.analyze(name)]
        unknown = [term for term in terms if not counts[term]]
        spellings = self._respelt(unknown, terms, searcher)
        wanted = self._wanted(counts, spellings)
        if not wanted:
            return
        yield _query(must=wanted, should=names)
        rare = [term for term in terms if 0 < counts[term] <= RARE * searcher.num_docs]
        if rare and len(wanted) > 1:
            spellings |= self._respelt(rare, terms, searcher)
            yield _query(must=self._wanted(counts, spellings), should=names)
        if 2 < len(wanted) <= MOST_LACKING:
            lacking = ([*wanted[:i], *wanted[i + 1 :]] for i in range(len(wanted)))
            yield _query(should=[_query(must=rest) for rest in lacking])
        yield _query(should=[*wanted, *names])

    def _wanted(
        self, counts: dict[str, int], spellings: dict[str, dict[str, int]]
    ) -> list[tantivy.Query]:
        """What stands for each word that can be found, the rarest first.

        Args:
            counts: Of each word, in how many passages it is.
            spellings: What else a word may have been, with the same of each.
        """
        from tantivy import Query

        found: list[tuple[int, tantivy.Query]] = []
        for term, count in counts.items():
            forms = ({term: count} if count else {}) | spellings.get(term, {})
            queries = [self._term(form) for form in forms]
            if queries:
                one = Query.disjunction_max_query(queries) if queries[1:] else queries[0]
                found.append((sum(forms.values()), one))
        found.sort(key=lambda pair: pair[0])
        return [query for _, query in found[:MOST_WORDS]]

    def _respelt(
        self, terms: Sequence[str], words: dict[str, str], searcher: tantivy.Searcher
    ) -> dict[str, dict[str, int]]:
        """Of the first few terms, what their words may have been."""
        able = [term for term in terms if len(words[term]) in RESPELT_LENGTHS]
        return {term: self._spellings(words[term], searcher) for term in able[:MOST_RESPELT]}

    def _spellings(self, word: str, searcher: tantivy.Searcher) -> dict[str, int]:
        """What a word may have been, and how many passages have it."""
        terms = dict.fromkeys(self._analyzer.analyze(" ".join(respelt(word))))
        counts = {term: searcher.doc_freq("words", term) for term in terms}
        common = sorted((term for term in counts if counts[term]), key=lambda term: -counts[term])
        return {term: counts[term] for term in common[:SPELLINGS]}

    def _term(self, term: str) -> tantivy.Query:
        from tantivy import Query

        return Query.term_query(self._schema, "words", term, "freq")

    def _writing(self) -> tantivy.IndexWriter:
        if self._writer is None:
            self._writer = self._index.writer(WRITER_BYTES, 1)
        return self._writer


def _query(
    *, must: Sequence[tantivy.Query] = (), should: Sequence[tantivy.Query] = ()
) -> tantivy.Query:
    from tantivy import Occur, Query

    parts = [(Occur.Must, query) for query in must] + [(Occur.Should, query) for query in should]
    return Query.boolean_query(parts)


def _schema() -> tantivy.Schema:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("document", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("number", stored=True, indexed=True)
    builder.add_text_field("words", tokenizer_name="words", index_option="freq")
    for name in ("title", "text", "url"):
        builder.add_bytes_field(name, stored=True)
    return builder.build()


def _encoded(text: str) -> bytes:
    # Half of a pair of UTF-16 comes from JSON, and is none of UTF-8.
    return text.encode("utf-8", "surrogatepass")


def _passage(stored: tantivy.Document) -> Passage:
    return Passage(
        document=str(stored.get_first("document")),
        number=int(stored.get_first("number")),
        title=_decoded(stored.get_first("title")),
        text=_decoded(stored.get_first("text")),
        url=_decoded(stored.get_first("url")),
    )


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
