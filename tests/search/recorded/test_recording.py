"""The file of a recording: whole after a crash, shared by processes, read without trust."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest
from building import noise, plain

from saccade.errors import ConfigError, FormatError, StoreError
from saccade.images.geometry import Box
from saccade.search.found import Fetches, Hit, Query, Result, Results
from saccade.search.recorded import content, database
from saccade.search.recorded import recording as recordings
from saccade.search.recorded.content import packed
from saccade.search.recorded.keys import Key, key_of, keys_by_id
from saccade.search.recorded.recording import Engine, Recording

WEB = Engine.of("web", {"edition": 1})
KEY = Key("text", "tall towers", 5)


def results(*titles: str, thumbnail=None) -> Results:
    hits = [Hit(rank=n, title=title, score=1 / n) for n, title in enumerate(titles, 1)]
    return Results(tuple(Result(h, thumbnail) for h in hits), Fetches(succeeded=len(hits)))


def recorded(path: Path, *titles: str, thumbnail=None, key: Key = KEY) -> Path:
    with closing(Recording(path, write=True)) as recording:
        recording.put(WEB, key, packed(results(*titles, thumbnail=thumbnail)), asked="Tall towers")
    return path


def changed(path: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql, values)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "web.sqlite"


def test_what_is_put_is_what_is_got(path: Path) -> None:
    picture = noise(40, 30).crop(Box(3, 4, 20, 22))
    found = results("a", "b", thumbnail=picture)
    with closing(Recording(path, write=True)) as recording:
        recording.put(WEB, KEY, packed(found), asked="Tall  towers")
    with closing(Recording(path)) as recording:
        kept = recording.get(WEB, KEY)
        assert kept is not None
        assert (kept.results, kept.asked) == (found, "Tall  towers")
        assert kept.results.results[0].thumbnail.pixels().tobytes() == picture.pixels().tobytes()
        assert recording.get(WEB, KEY._replace(k=4)) is None
        assert recording.get(Engine.of("web", {"edition": 2}), KEY) is None


def test_what_was_recorded_first_stays_unless_it_is_replaced(path: Path) -> None:
    recorded(path, "first")
    with closing(Recording(path, write=True)) as recording:
        before = recording.engines()
        recording.put(WEB, KEY, packed(results("second")))
        assert recording.engines() == before
        assert recording.get(WEB, KEY).results == results("first")
        recording.put(WEB, KEY, packed(results("second")), replace=True)
        assert recording.get(WEB, KEY).results == results("second")
        recording.put(WEB, KEY, packed(results("first")), replace=True)
        assert recording.engines() == before


def test_the_digest_is_of_the_content_and_of_no_order(tmp_path: Path) -> None:
    def digest(name: str, *words: str, title: str = "t") -> str:
        with closing(Recording(tmp_path / name, write=True)) as recording:
            for word in words:
                recording.put(WEB, Key("text", word, 5), packed(results(title)))
            return recording.engines()[WEB]

    one = digest("one", "a", "b", "c")
    assert digest("two", "c", "a", "b") == one
    assert len({one, digest("three", "a", "b"), digest("four", "a", "b", title="u")}) == 3


def test_searches_differ_in_no_more_than_their_key() -> None:
    def of(text: str) -> Key:
        return key_of(Query("text", text))

    assert of("  T\u00eate \t  NOIR ") == of("te\u0302te noir") == of("\uff34e\u0302te noir")
    assert of("Stra\u00dfe \ufb01n") == of("STRASSE FIN")
    assert len({of("a b"), of("ab"), of("a-b"), of("b a"), of("a b.")}) == 5
    image = noise(30, 20)
    views = [image, image.crop(Box(0, 0, 10, 10)), image.crop(Box(0, 0, 10, 11)), noise(30, 20, 1)]
    assert len({key_of(Query("image", image=view)) for view in views}) == 4
    assert key_of(Query("image", image=image)) == key_of(Query("image", image=noise(30, 20)))


def test_only_the_whole_picture_of_a_question_goes_by_its_id() -> None:
    image = plain(30, 20)
    asked = Query("image", image=image, task_id="search-fvqa_train_12")
    assert [key.what for key in keys_by_id(asked)] == [
        "id:search-fvqa_train_12",
        "id:fvqa_train_12",
    ]
    part = image.crop(Box(0, 0, 10, 10))
    assert not list(keys_by_id(asked._replace(image=part)))
    assert not list(keys_by_id(Query("text", "a", task_id="fvqa_train_12")))


WRITER = """
import sys
from itertools import count
from pathlib import Path
from saccade.search.found import Hit, Result, Results
from saccade.search.recorded.content import packed
from saccade.search.recorded.keys import Key
from saccade.search.recorded.recording import Engine, Recording

recording = Recording(Path(sys.argv[1]), write=True)
engine = Engine.of("web", {"edition": 1})
found = packed(Results((Result(Hit(rank=1, title="one")),)))
for n in count():
    recording.put(engine, Key("text", f"one {n}", 5), found)
    recording.put(engine, Key("text", f"shared {n}", 5), found)
    print(n, flush=True)
"""


def test_a_killed_process_loses_nothing_and_another_one_writes_beside_it(path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            said = [other.stdout.readline()]
            with closing(Recording(path, write=True)) as recording:
                for n in range(20):
                    for what in (f"two {n}", f"shared {n}"):
                        recording.put(WEB, Key("text", what, 5), packed(results("two")))
            said += [other.stdout.readline() for _ in range(20)]
        finally:
            other.kill()
        said += other.stdout.read().splitlines(keepends=True)
    finished = [int(line) for line in said if line.endswith("\n")]
    assert len(finished) >= 21
    with closing(Recording(path)) as recording:
        kept = {key.what: found for (key, _, _, found, _) in recording.all(WEB)}
        digest = recording.engines()[WEB]
    assert {f"one {n}" for n in finished} | {f"two {n}" for n in range(20)} <= set(kept)
    assert {kept[f"shared {n}"].results[0].hit.title for n in range(20)} <= {"one", "two"}
    total = sum(int.from_bytes(d) for (d,) in rows(path, "SELECT digest FROM searches"))
    assert digest == (total % 2**256).to_bytes(32).hex()


def rows(path: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_a_record_is_whole_or_not_there(path: Path) -> None:
    recorded(path, "a")
    with closing(Recording(path, write=True)) as recording:
        with suppress(ZeroDivisionError), recording.together():
            recording.put(WEB, Key("text", "b", 5), packed(results("b")))
            raise ZeroDivisionError
        assert [kept.key for kept in recording.all(WEB)] == [KEY]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no SQLite"),
        (b"\x80\x04\x95", "no SQLite"),
        (b"SQLite format 3\0", "no SQLite"),
    ],
)
def test_a_file_of_another_kind_is_refused(path: Path, data: bytes, said: str) -> None:
    path.write_bytes(data)
    for write in (False, True):
        with pytest.raises(FormatError, match=said):
            Recording(path, write=write)
    assert path.read_bytes() == data


def test_the_database_of_another_program_is_refused(path: Path) -> None:
    changed(path, "CREATE TABLE searches (a)")
    with pytest.raises(FormatError, match="another program"):
        Recording(path, write=True)


def test_no_file_is_no_recording(path: Path) -> None:
    with pytest.raises(ConfigError, match="no such recording"):
        Recording(path)
    os.mkfifo(path)
    for write in (False, True):
        with pytest.raises(StoreError, match="no regular file"):
            Recording(path, write=write)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON searches BEGIN DELETE FROM searches; END",
        "CREATE TABLE more (a)",
        "CREATE INDEX i ON searches (asked)",
        "ALTER TABLE searches ADD COLUMN more TEXT",
        "DROP TABLE pictures",
    ],
)
def test_tables_that_are_not_ours_are_refused(path: Path, sql: str) -> None:
    recorded(path, "a")
    changed(path, sql)
    for write in (False, True):
        with pytest.raises(FormatError, match="expected the tables"):
            Recording(path, write=write)


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("UPDATE searches SET results = replace(results, 'tower', 'power')", ()),
        ("UPDATE searches SET results = x'00'", ()),
        ("UPDATE searches SET digest = x'00'", ()),
        ("UPDATE searches SET asked = x'ff'", ()),
        ("UPDATE searches SET asked = CAST(x'ff' AS TEXT)", ()),
        ("UPDATE pictures SET data = ?", (b"no picture",)),
        ("UPDATE pictures SET data = ?", (plain(5, 5, "red").source.encoded(),)),
        ("UPDATE pictures SET data = 'text'", ()),
        ("DELETE FROM pictures", ()),
    ],
)
def test_a_record_that_was_changed_is_refused(path: Path, sql: str, values: tuple) -> None:
    recorded(path, "a tower", thumbnail=plain(5, 5))
    changed(path, sql, *values)
    with closing(Recording(path)) as recording, pytest.raises(FormatError) as told:
        recording.get(WEB, KEY)
    assert str(path) in str(told.value)


def test_what_is_larger_than_was_ever_written_is_not_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(path, "a tower", thumbnail=noise(50, 50))
    for limit, most in (("MAX_PICTURE_BYTES", 1000), ("MAX_RECORD_BYTES", 1000),
                        ("MAX_TEXT_BYTES", 10)):  # fmt: skip
        with monkeypatch.context() as smaller, closing(Recording(path)) as recording:
            smaller.setattr(recordings, limit, most)
            with pytest.raises(FormatError, match="is not what was written"):
                recording.get(WEB, KEY)
    monkeypatch.setattr(database, "MAX_VALUE_BYTES", 5000)
    with closing(Recording(path)) as recording, pytest.raises(FormatError, match="too big"):
        recording.get(WEB, KEY)


def test_a_record_of_an_honest_hash_is_still_checked(path: Path) -> None:
    """Whoever writes the file can write hashes: what is read is validated nonetheless."""
    text = '{"results": [{"hit": {"rank": 0}}]}'
    recorded(path, "a")
    with closing(Recording(path, write=True)) as recording:
        recording.put(WEB, KEY, content.Packed(text, {}), replace=True)
        with pytest.raises(FormatError, match=r"hit\.rank"):
            recording.get(WEB, KEY)


def test_a_torn_file_is_damaged(path: Path) -> None:
    recorded(path, *"abcdefgh", thumbnail=noise(60, 60))
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
    with pytest.raises(FormatError, match="damaged"), closing(Recording(path)) as recording:
        recording.get(WEB, KEY)


def test_a_replay_cannot_write(path: Path) -> None:
    recorded(path, "a")
    with closing(Recording(path)) as recording, pytest.raises(StoreError, match="written"):
        recording.put(WEB, Key("text", "b", 5), packed(results("b")))


def test_pictures_are_kept_once_and_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(50, 50)
    recorded(path, *"abc", thumbnail=picture)
    recorded(path, *"de", thumbnail=picture, key=Key("text", "other", 5))
    assert len(rows(path, "SELECT name FROM pictures")) == 1
    monkeypatch.setattr(content, "MAX_PICTURE_BYTES", 1000)
    with pytest.raises(StoreError, match="a picture of a result has"):
        packed(results("a", thumbnail=picture))
    monkeypatch.setattr(content, "MAX_TEXT_BYTES", 10)
    with pytest.raises(StoreError, match="the results of a search"):
        packed(results("a"))


def test_a_disk_or_a_neighbour_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(path, "a")
    monkeypatch.setattr(database, "BUSY_S", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(Recording(path, write=True)) as recording:
            assert recording.get(WEB, KEY) is not None
            with pytest.raises(StoreError, match="another process"):
                recording.put(WEB, Key("text", "b", 5), packed(results("b")))


def test_two_threads_use_one_recording(path: Path) -> None:
    async def run() -> None:
        def one(n: int) -> None:
            recording.put(WEB, Key("text", f"{n}", 5), packed(results(f"{n}")))
            assert recording.get(WEB, Key("text", f"{n}", 5)).results == results(f"{n}")

        await asyncio.gather(*(asyncio.to_thread(one, n) for n in range(20)))

    with closing(Recording(path, write=True)) as recording:
        asyncio.run(run())
        assert len(list(recording.all(WEB))) == 20
