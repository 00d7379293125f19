"""An index from its source to its results, with the real SQLite and the real tantivy."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from search.local.indexing import ROWS, found, numbered, written

from saccade.errors import ConfigError, FormatError, StoreError
from saccade.search.found import Query
from saccade.search.local.build import build
from saccade.search.local.index import Index
from saccade.search.local.provider import Local, LocalOptions
from saccade.search.local.store.damage import reading


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("index")
    built = build(written(place / "rows.jsonl", ROWS), place / "index")
    assert (built.documents, built.added) == (3, 3)
    return place / "index"


def test_documents_are_found_by_their_words(folder: Path) -> None:
    with Index.open(folder) as index:
        hits = [result.hit for result in index.text("red lighthouse", 5)]
        assert [hit.document for hit in hits] == ["a", "b"]
        assert [hit.rank for hit in hits] == [1, 2]
        assert (hits[0].title, hits[0].url) == ("Lighthouse of Bremen", "https://example.org/a")
        assert hits[0].snippet == "It was built in 1884. It is red."
        assert index.kinds == {"text"}
        assert index.text("zeppelin", 5) == ()


async def test_the_provider_finds_what_the_index_finds_from_many_tasks(folder: Path) -> None:
    local = Local(LocalOptions(index=folder))
    await local.start()
    asked = [local.search(Query("text", text=text)) for text in ("whale", "harbour") * 8]
    hits = [[r.hit.document for r in results.results] for results in await asyncio.gather(*asked)]
    assert hits == [["c"], ["b"]] * 8
    assert str(folder.parent) not in json.dumps(dict(local.facts))
    await local.close()
    await local.start()
    await local.close()


def test_a_document_is_read_whole_by_its_id_or_its_url(folder: Path) -> None:
    with Index.open(folder) as index:
        for name in ("a", "https://example.org/a"):
            document = index.document(name)
            assert document is not None
            assert (document.id, document.text) == ("a", "It was built in 1884. It is red.")
        assert index.document("d") is None
        assert index.document("") is None


def test_a_long_document_is_one_result_with_its_best_passage(tmp_path: Path) -> None:
    sentences = [f"Sentence {n} is about nothing." for n in range(200)]
    sentences[120] = "Here a zebra meets a zebra."
    rows = [{"id": "long", "text": " ".join(sentences)}, {"id": "short", "text": "A zebra, too."}]
    build(written(tmp_path / "rows.jsonl", rows), tmp_path / "index", words=40)
    with Index.open(tmp_path / "index") as index:
        hits = {result.hit.document: result.hit for result in index.text("zebra sentence", 5)}
        assert set(hits) == {"long", "short"}
        assert "zebra" in hits["long"].snippet
        assert len(hits["long"].snippet.split()) <= 40


def test_a_folder_without_an_index_says_how_one_is_built(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="saccade index build"):
        Index.open(tmp_path)
    (tmp_path / "index.db").write_bytes(b"no database, but some other file" * 100)
    with pytest.raises(FormatError, match="build it again"):
        Index.open(tmp_path)


def _damaged(folder: Path, place: Path) -> Iterator[tuple[str, Path]]:
    """The index with one thing wrong, time and again."""
    (texts,) = (folder / "texts").iterdir()
    for path in sorted(texts.iterdir()):
        if path.name[0] == ".":  # for builds only
            continue
        broken = place / path.name
        shutil.copytree(folder, broken)
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 64
        other = broken / path.relative_to(folder)
        other.unlink() if path.name == "meta.json" else other.write_bytes(data)
        yield path.suffix, broken
    for number, change in enumerate(
        (
            "UPDATE state SET content = json_set(content, '$.vectors', '../../outside')",
            "UPDATE state SET content = NULL",
            "CREATE TRIGGER one AFTER UPDATE ON state BEGIN DELETE FROM documents; END",
            "ALTER TABLE state RENAME TO held; CREATE VIEW state AS SELECT * FROM held",
        )
    ):
        broken = place / str(number)
        shutil.copytree(folder, broken)
        with closing(sqlite3.connect(broken / "index.db")) as database:
            database.executescript(change)
        yield change, broken


def test_nothing_is_found_in_an_index_that_is_not_what_was_written(
    folder: Path, tmp_path: Path
) -> None:
    for what, broken in _damaged(folder, tmp_path):
        with pytest.raises(FormatError, match="build it again") as told:
            found(broken, "whale")
        assert str(broken) in str(told.value), what


def test_a_document_that_is_no_text_is_damage(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "index")
    with closing(sqlite3.connect(tmp_path / "index" / "index.db")) as database:
        database.executescript("UPDATE documents SET text = x'ff00' WHERE id = 'a'")
    with Index.open(tmp_path / "index") as index, pytest.raises(FormatError, match="damaged"):
        index.document("a")


def test_a_panic_of_tantivy_is_damage_and_ends_no_run() -> None:
    # What pyo3 raises is no Exception: past every handler it would end the process.
    panic = type("PanicException", (BaseException,), {})("index out of bounds")
    with pytest.raises(FormatError, match="out of bounds"), reading(Path("index")):
        raise panic
    with pytest.raises(KeyboardInterrupt), reading(Path("index")):
        raise KeyboardInterrupt


def test_an_index_that_another_process_holds_is_not_called_damaged() -> None:
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    with pytest.raises(StoreError, match="no other process"), reading(Path("index")):
        raise busy


def test_an_index_of_another_version_is_refused_and_mended_by_a_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = written(tmp_path / "rows.jsonl", ROWS)
    with monkeypatch.context() as older:
        older.setattr("saccade.search.local.store.writer.VERSION", 0)
        before = build(source, tmp_path / "index").digest
    with pytest.raises(ConfigError, match="saccade index build"):
        Index.open(tmp_path / "index")
    again = build(source, tmp_path / "index")
    assert (again.unchanged, again.digest == before) == (3, False)
    assert [name for name, _ in found(tmp_path / "index", "whale")] == ["c"]


async def test_an_index_that_was_changed_since_the_run_was_set_up_is_refused(
    tmp_path: Path,
) -> None:
    build(written(tmp_path / "rows.jsonl", ROWS), tmp_path / "index")
    local = Local(LocalOptions(index=tmp_path / "index"))
    build(written(tmp_path / "more.jsonl", numbered(1)), tmp_path / "index")
    with pytest.raises(ConfigError, match="has changed"):
        await local.start()
