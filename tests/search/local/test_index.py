"""An index from its source to its results, with the real SQLite and the real tantivy."""

import json
from pathlib import Path

import pytest

from saccade.errors import FormatError
from saccade.search.found import Query
from saccade.search.local.build import build
from saccade.search.local.index import Index
from saccade.search.local.provider import Local, LocalOptions

ROWS = [
    {"id": "a", "title": "Lighthouse of Bremen", "text": "It was built in 1884. It is red.",
     "url": "https://example.org/a"},
    {"id": "b", "title": "Harbour", "text": "Ships go there. The lighthouse is near."},
    {"id": "c", "title": "Whale", "text": "A whale is a mammal."},
]  # fmt: skip


def written(file: Path, rows: list[dict[str, str]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return written(tmp_path / "rows.jsonl", ROWS)


def test_documents_are_found_by_their_words(source: Path, tmp_path: Path) -> None:
    built = build(source, tmp_path / "index")
    assert (built.documents, built.added) == (3, 3)
    with Index.open(tmp_path / "index") as index:
        hits = [found.hit for found in index.text("red lighthouse", 5)]
        assert [hit.document for hit in hits] == ["a", "b"]
        assert [hit.rank for hit in hits] == [1, 2]
        assert (hits[0].title, hits[0].url) == ("Lighthouse of Bremen", "https://example.org/a")
        assert hits[0].snippet == "It was built in 1884. It is red."
        assert index.kinds == {"text"}


async def test_the_provider_finds_what_the_index_finds(source: Path, tmp_path: Path) -> None:
    build(source, tmp_path / "index")
    local = Local(LocalOptions(index=tmp_path / "index"))
    await local.start()
    found = await local.search(Query("text", text="whale"))
    assert [result.hit.document for result in found.results] == ["c"]
    assert str(tmp_path) not in json.dumps(dict(local.facts))
    await local.close()


def test_a_document_is_read_whole_by_its_id_or_its_url(source: Path, tmp_path: Path) -> None:
    build(source, tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        for name in ("a", "https://example.org/a"):
            document = index.document(name)
            assert document is not None
            assert (document.id, document.text) == ("a", "It was built in 1884. It is red.")
        assert index.document("d") is None
        assert index.document("") is None


def test_a_folder_without_an_index_says_how_one_is_built(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="saccade index build"):
        Index.open(tmp_path)
