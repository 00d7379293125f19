"""Bringing an index up to date: what is worked on, what is told, and who may."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from search.local.indexing import ROWS, found, numbered, written

from saccade.errors import ConfigError, FormatError, StoreError, StoreLocked
from saccade.search.local.build import build
from saccade.search.local.index import Index
from saccade.search.local.store.writer import Writer
from saccade.testing.faults import disk


def test_only_what_is_new_or_changed_is_worked_on(tmp_path: Path) -> None:
    first = written(tmp_path / "1.jsonl", numbered(6))
    second = written(tmp_path / "2.jsonl", numbered(8, changed=[2]))
    build(first, tmp_path / "index")
    again = build(first, tmp_path / "index")
    assert (again.added, again.replaced, again.unchanged) == (0, 0, 6)
    with Index.open(tmp_path / "index") as before:
        built = build(second, tmp_path / "index", commit_every=2)
        assert (built.added, built.replaced, built.unchanged, built.kept) == (2, 1, 5, 0)
        # A reader that was there first keeps its state, whole.
        assert (before.digest, before.text("whale", 5)) == (again.digest, ())
        old = before.document("2")
        assert old is not None
        assert "whale" not in old.text
        assert before.document("7") is None
    assert [name for name, _ in found(tmp_path / "index", "whale")] == ["2"]


def test_an_updated_index_equals_one_that_was_built_at_once(tmp_path: Path) -> None:
    build(written(tmp_path / "1.jsonl", numbered(9)), tmp_path / "index", commit_every=2)
    source = written(tmp_path / "2.jsonl", list(reversed(numbered(7, changed=[1, 3]))))
    kept = build(source, tmp_path / "index", commit_every=2)
    assert (kept.kept, kept.removed, kept.documents) == (2, 0, 9)
    pruned = build(source, tmp_path / "index", prune=True)
    once = build(source, tmp_path / "once")
    assert (pruned.removed, pruned.documents) == (2, 7)
    assert kept.digest != pruned.digest == once.digest
    for query in ("whale", "number 3 things", "8"):
        assert found(tmp_path / "index", query) == found(tmp_path / "once", query)


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path / "rows.jsonl", ROWS)
    with Writer(tmp_path / "index"), pytest.raises(StoreLocked, match="another process builds"):
        build(source, tmp_path / "index")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    source = written(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(ConfigError, match="other content"):
        build(source, tmp_path)
    with pytest.raises(ConfigError, match="a file is in the way"):
        build(source, source)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "a", "text": "x"}, {"id": "a", "text": "y"}], r":2: .*that of .*rows.jsonl:1"),
        ([{"id": "a"}], r":1: expected a text or an image"),
        ([{"title": "a", "text": "x"}], r":1: id: missing.*this row has text, title"),
        ([{"id": "a", "text": 7.5, "url": []}], r":1: url: "),
        ([{"id": "x" * 1001, "text": "x"}], r":1: id: .*1000"),
        ([{"id": "a", "text": "x", "image": "../b.png"}], r":1: .*outside the folder"),
        ([{"id": "a", "text": "x", "image": "none.png"}], r":1: .*none.png"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        build(written(tmp_path / "rows.jsonl", rows), tmp_path / "index")


def test_a_row_that_is_there_twice_is_told(tmp_path: Path) -> None:
    built = build(written(tmp_path / "rows.jsonl", ROWS + ROWS[:1]), tmp_path / "index")
    assert (built.documents, built.repeated) == (3, 1)


@pytest.mark.parametrize("at", [0, 7])
def test_a_full_disk_is_told_and_a_rerun_goes_on(tmp_path: Path, at: int) -> None:
    source = written(tmp_path / "rows.jsonl", numbered(4))
    with disk(tmp_path / "index", "full", at=at), pytest.raises(StoreError, match="make room"):
        build(source, tmp_path / "index", commit_every=2)
    assert build(source, tmp_path / "index").documents == 4
    assert [name for name, _ in found(tmp_path / "index", "2 things", 1)] == ["2"]


@pytest.mark.parametrize("name", ["texts", "sentences", "lock"])
def test_a_build_neither_removes_nor_writes_what_a_link_leads_to(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    (outside / "precious").mkdir(parents=True)
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / name).symlink_to(outside)
    (tmp_path / "index" / "index.db").touch()
    with pytest.raises(ConfigError, match="is a link"):
        build(written(tmp_path / "rows.jsonl", ROWS), tmp_path / "index")
    assert [path.name for path in outside.iterdir()] == ["precious"]


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    with closing(sqlite3.connect(tmp_path / "index" / "index.db")) as database:
        database.execute("CREATE TABLE mine (x)")
    before = (tmp_path / "index" / "index.db").read_bytes()
    with pytest.raises(FormatError, match="expected the tables of an index"):
        build(written(tmp_path / "rows.jsonl", ROWS), tmp_path / "index")
    assert (tmp_path / "index" / "index.db").read_bytes() == before


def test_a_build_that_was_ended_early_has_another_digest_where_it_ranks_otherwise(
    tmp_path: Path,
) -> None:
    rows = numbered(8)
    whole = build(written(tmp_path / "few.jsonl", rows[:4]), tmp_path / "few").digest
    build(written(tmp_path / "all.jsonl", rows), tmp_path / "index")
    with Writer(tmp_path / "index") as writer:
        for row in rows[4:]:
            writer.remove(row["id"])
        writer.commit()
    assert found(tmp_path / "index", "number 3") != found(tmp_path / "few", "number 3")
    with Index.open(tmp_path / "index") as ended:
        assert ended.digest != whole
    assert build(tmp_path / "few.jsonl", tmp_path / "index").digest == whole
