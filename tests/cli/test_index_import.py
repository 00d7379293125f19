"""`saccade index import` and `saccade index export`, as they are typed."""

import json
from pathlib import Path

from building import plain
from command import here


def test_a_cache_becomes_a_recording_and_a_cache_again(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.png").write_bytes(plain(9, 9).source.encoded())
    titles = ["the \x1b[31mtower", "gone"]
    held = {
        "q1": {"tool_returned_web_title": titles, "cached_images_path": ["p/a.png", "p/b.png"]},
        "q\x1b2": {"tool_returned_web_title": [], "cached_images_path": ["p/a.png"]},
    }
    (tmp_path / "cache.json").write_text(json.dumps(held))
    done = here("index", "import", "cache.json", "--out", "c.sqlite", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "c.sqlite: 1 of 2 questions with 1 results; 0 were there before" in done.stdout
    assert "left out: 1 results: the picture is not there" in done.stdout
    assert "0 titles and 1 pictures" in done.stdout
    assert "\x1b" not in done.stdout
    assert "questions 2/2" in done.stderr
    told = here("index", "import", "cache.json", "--out", "c.sqlite", "--json", cwd=tmp_path)
    assert json.loads(told.stdout)["left_out"] == {"the picture is not there": 1}
    back = here("index", "export", "c.sqlite", "--out", "back.json", "--json", cwd=tmp_path)
    assert json.loads(back.stdout) == {"questions": 1, "results": 1, "pictures": 1}
    (path,) = json.loads((tmp_path / "back.json").read_text())["q1"]["cached_images_path"]
    assert (tmp_path / path).read_bytes() == (tmp_path / "p/a.png").read_bytes()


def test_a_pickle_is_refused_with_the_reason_and_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "cache.pkl").write_bytes(b"\x80\x04}\x94.")
    done = here("index", "import", "cache.pkl", "--out", "c.sqlite", cwd=tmp_path)
    assert done.returncode == 1
    assert "runs whatever code" in done.stderr
    assert "import the JSON" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_that_could_be_read_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "cache.json").write_text('{"q": []}')
    done = here("index", "import", "cache.json", "--out", "c.sqlite", cwd=tmp_path)
    assert done.returncode == 1
    assert "0 of 1 questions" in done.stdout
