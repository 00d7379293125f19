"""A build that is killed loses what was not committed; a rerun ends with the same index."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from search.local.indexing import found, numbered, written

from saccade.search.local.build import build
from saccade.search.local.store import generations
from saccade.search.local.store.writer import Writer


def test_whenever_a_build_is_killed_the_index_is_whole_and_a_rerun_ends_it(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (_, undisturbed), *moments, (_, rerun) = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(moments) == 3
    for moment, (documents, names) in moments:
        assert len(names) == documents, moment
    assert {documents for _, (documents, _) in moments} == {3, 6}
    assert rerun == undisturbed


def ended(*_: object) -> None:
    raise KeyboardInterrupt


def test_without_going_back_to_the_last_state_a_rerun_would_count_documents_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off: a working folder is taken over as the failed build left it."""
    source = written(tmp_path / "rows.jsonl", numbered(4))
    build(source, tmp_path / "once")

    def interrupted() -> None:
        with monkeypatch.context() as ends:
            ends.setattr(Writer, "_write", ended)
            ends.setattr(generations, "remove_others", lambda *_, **__: None)
            with pytest.raises(KeyboardInterrupt):
                build(source, tmp_path / "index")

    interrupted()
    build(source, tmp_path / "index")
    assert found(tmp_path / "index", "number 3") == found(tmp_path / "once", "number 3")
    (tmp_path / "index").rename(tmp_path / "first")
    interrupted()
    monkeypatch.setattr(generations, "remove_others", lambda *_, **__: None)
    monkeypatch.setattr(generations, "restart", lambda *_: None)
    build(source, tmp_path / "index")
    assert found(tmp_path / "index", "number 3") != found(tmp_path / "once", "number 3")
