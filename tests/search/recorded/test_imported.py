"""Caches of MMSearch-R1 and DeepEyesV2: read as the published environment reads them, and back.

Source: DeepEyesV2, data/README.md (where the files lie), cache_convert.py (what the keys are, that
a path is relative or null), and search_utils.py of its environment (what is left out).
"""

import json
import pickle
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from building import noise, plain

from saccade.errors import ConfigError, FormatError
from saccade.images.geometry import Box
from saccade.search.found import Query
from saccade.search.recorded import imported
from saccade.search.recorded.imported import ENGINE, export_cache, import_cache
from saccade.search.recorded.recording import Recording
from saccade.search.recorded.replay import Replay, ReplayOptions


def entry(titles: list, paths: list) -> dict[str, list]:
    return {"tool_returned_web_title": titles, "cached_images_path": paths}


def cache(folder: Path, content: object, *, pictures: int = 4) -> Path:
    """A cache as it lies in `search_cache/`, with its pictures below it."""
    below = folder / "search_cache" / "cached_images" / "train"
    below.mkdir(parents=True)
    for n in range(pictures):
        (below / f"{n}.png").write_bytes(noise(20, 20, n).source.encoded())
    file = folder / "search_cache" / "fvqa_train_image_search_results_cache.json"
    file.write_text(json.dumps(content, indent=4, ensure_ascii=False))
    return file


def published(file: Path, name: str) -> list[tuple[str, bytes]]:
    """What the published `image_search` returns for a question, written anew from its source."""
    held = json.loads(file.read_text()).get(name)
    found = []
    for n, path in enumerate(held["cached_images_path"]):
        if path is not None and (file.parent / path).exists():
            picture = (file.parent / path).read_bytes()
            found.append((held["tool_returned_web_title"][n], picture))
    return found


PATHS = [f"cached_images/train/{n}.png" for n in range(4)]
CONTENT = {
    "fvqa_train_1": entry(["A tower", "B", "C"], [PATHS[0], None, PATHS[1]]),
    "fvqa_train_2": entry(["gone", "D\u00fcne"], ["cached_images/train/9.png", PATHS[2]]),
    "fvqa_train_3": entry(["none"], [None]),
    "fvqa_train_4": entry([], []),
}


async def replayed(file: Path, name: str, k: int = 5) -> list[tuple[str, bytes]]:
    provider = Replay(ReplayOptions(file=file))
    await provider.start()
    try:
        found = await provider.search(Query("image", image=plain(50, 50), task_id=name, k=k))
    finally:
        await provider.close()
    assert [hit.rank for hit, _ in found.results] == list(range(1, len(found.results) + 1))
    return [(hit.title, thumbnail.source.encoded()) for hit, thumbnail in found.results]


async def test_a_cache_is_replayed_as_it_was_published(tmp_path: Path) -> None:
    file, out = cache(tmp_path, CONTENT), tmp_path / "cache.sqlite"
    done = import_cache(file, out)
    assert (done.questions, done.imported, done.results, done.empty) == (4, 4, 3, 2)
    assert done.left_out == {imported.NO_PICTURE: 2, imported.MISSING: 1}
    for name in CONTENT:
        for task in (name, f"search-{name}", f"fvqa-{name}"):
            assert await replayed(out, task) == published(file, name)
    assert len(await replayed(out, "fvqa_train_1", k=1)) == 1
    with pytest.raises(Exception, match="no image search of mmsearch_r1_cache"):
        await replayed(out, "fvqa_train_5")


async def test_a_part_of_the_picture_is_not_in_a_cache(tmp_path: Path) -> None:
    import_cache(cache(tmp_path, CONTENT), tmp_path / "cache.sqlite")
    provider = Replay(ReplayOptions(file=tmp_path / "cache.sqlite"))
    await provider.start()
    part = plain(50, 50).crop(Box(0, 0, 20, 20))
    with pytest.raises(Exception, match="is recorded"):
        await provider.search(Query("image", image=part, task_id="fvqa_train_1"))
    await provider.close()


def test_pictures_that_came_later_are_found_by_the_same_command(tmp_path: Path) -> None:
    file, out = cache(tmp_path, CONTENT), tmp_path / "cache.sqlite"
    import_cache(file, out)
    missing = file.parent / "cached_images/train/9.png"
    missing.write_bytes(plain(9, 9).source.encoded())
    again = import_cache(file, out)
    assert (again.imported, again.already, again.results) == (1, 3, 2)
    whole = tmp_path / "whole.sqlite"
    import_cache(file, whole)
    with closing(Recording(out)) as one, closing(Recording(whole)) as two:
        assert one.engines() == two.engines()


def test_an_import_that_was_stopped_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imported, "BATCH", 1)
    file, out = cache(tmp_path, CONTENT), tmp_path / "cache.sqlite"

    def stop(what: str, done: int, total: int) -> None:
        assert (what, total) == ("questions", 4)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_cache(file, out, on_progress=stop)
    again = import_cache(file, out)
    assert again.already + again.imported == 4
    assert again.already == 1  # the other one lacked a picture


@pytest.mark.parametrize(
    "path", ["../outside.png", "/etc/passwd", "http://x/1.png", "link.png", "a/../../outside.png"]
)
def test_no_path_leads_out_of_the_folder(path: str, tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(plain(9, 9).source.encoded())
    file = cache(tmp_path, {"q": entry(["t"], [path])})
    (file.parent / "link.png").symlink_to(tmp_path / "outside.png")
    done = import_cache(file, tmp_path / "out.sqlite")
    assert done.left_out == {imported.OUTSIDE: 1}
    assert (done.results, done.empty) == (0, 1)


def test_pictures_may_lie_elsewhere_and_paths_be_absolute(tmp_path: Path) -> None:
    """cache_convert.py puts the folder in front of each path."""
    file = cache(tmp_path, {"q": entry(["t", "u"], [str(tmp_path / "p/1.png"), "1.png"])})
    (tmp_path / "p").mkdir()
    (tmp_path / "p/1.png").write_bytes(plain(9, 9).source.encoded())
    assert import_cache(file, tmp_path / "a.sqlite").results == 0
    assert import_cache(file, tmp_path / "b.sqlite", images=tmp_path / "p").results == 2


def test_what_is_not_as_the_format_says_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "search_cache").mkdir()
    (tmp_path / "search_cache" / "text.png").write_text("no picture")
    odd = {
        "short": entry(["a"], [PATHS[0], PATHS[1]]),
        "number": entry([1], [PATHS[0]]),
        "list": [],
        "half": {"tool_returned_web_title": []},
        "good": entry([None, "b"], [PATHS[0], "text.png"]),
    }
    (tmp_path / "search_cache").rename(tmp_path / "kept")
    file = cache(tmp_path, odd)
    (tmp_path / "kept/text.png").rename(file.parent / "text.png")
    done = import_cache(file, tmp_path / "out.sqlite")
    assert done.unread.keys() == {"short", "number", "list", "half"}
    assert "1 titles and 2 pictures" in done.unread["short"]
    assert (done.imported, done.results, done.left_out) == (1, 1, {imported.NO_IMAGE: 1})


class Trap:
    """What a pickle does to whoever loads it."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("loaded"),))


def test_a_pickle_is_refused_whatever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "cache.json"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for value in ({"q": [1]}, [1], {}, (), Trap()):
            file.write_bytes(pickle.dumps(value, protocol))
            with pytest.raises(FormatError, match=r"pickle.*, which is not read: to load one runs"):
                import_cache(file, tmp_path / "out.sqlite")
    assert not (tmp_path / "loaded").exists()
    assert not (tmp_path / "out.sqlite").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected JSON"),
        (b"[]", "got list"),
        (b"{}", "got an empty object"),
        (b"{" * 9, "expected JSON"),
        (b"[" * 100_000, "expected JSON"),
        (b"9" * 5000, "expected JSON"),
        (b"\xff\xfe{\0}\0", "UTF-16"),
        (b"\x1f\x8b\x08", "gunzip"),
        (b"corpus of text.", "expected JSON"),
    ],
)
def test_what_is_no_cache_is_refused(data: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "cache.json"
    file.write_bytes(data)
    with pytest.raises(FormatError, match=said):
        import_cache(file, tmp_path / "out.sqlite")


def test_what_torch_saves_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cache.json", "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(FormatError, match=r"as torch\.save makes"):
        import_cache(tmp_path / "cache.json", tmp_path / "out.sqlite")


def test_a_cache_comes_back_as_it_was(tmp_path: Path) -> None:
    whole = {"a": entry(["A", "B"], [PATHS[0], PATHS[1]]), "b": entry(["C"], [PATHS[0]])}
    file = cache(tmp_path, whole)
    import_cache(file, tmp_path / "one.sqlite")
    out = tmp_path / "out" / "cache.json"
    assert export_cache(tmp_path / "one.sqlite", out) == (2, 3, 2)
    back = json.loads(out.read_text())
    assert back.keys() == whole.keys()
    for name in whole:
        assert published(out, name) == published(file, name)
    import_cache(out, tmp_path / "two.sqlite")
    with (
        closing(Recording(tmp_path / "one.sqlite")) as one,
        closing(Recording(tmp_path / "two.sqlite")) as two,
    ):
        assert one.engines() == two.engines()
        assert list(one.engines()) == [ENGINE]


def test_what_was_left_out_does_not_come_back_and_the_rest_does(tmp_path: Path) -> None:
    file = cache(tmp_path, CONTENT)
    import_cache(file, tmp_path / "one.sqlite")
    out = tmp_path / "cache.json"
    export_cache(tmp_path / "one.sqlite", out)
    assert {n: published(out, n) for n in CONTENT} == {n: published(file, n) for n in CONTENT}


def test_nothing_to_export_is_said(tmp_path: Path) -> None:
    Recording(tmp_path / "empty.sqlite", write=True).close()
    with pytest.raises(ConfigError, match="one provider, got none"):
        export_cache(tmp_path / "empty.sqlite", tmp_path / "out.json")
