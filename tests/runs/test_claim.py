"""A run folder is held by one process, and nothing is left of a run that never began."""

from pathlib import Path

import pytest

from saccade.errors import ConfigError, StoreLocked
from saccade.runs.claim import Claim
from saccade.runs.manifest import Manifest, read_manifest

BEGUN = ("metrics.jsonl", "checkpoint-*")


def manifest(seed: int) -> Manifest:
    return Manifest(verb="sft", config={"seed": seed})


def start(out: Path, seed: int, leaving: str) -> None:
    with Claim(out, manifest(seed), begun=BEGUN):
        (out / "images").mkdir(exist_ok=True)
        (out / "metrics.jsonl").touch()
        (out / "prepared.json").write_text("{}")
        if leaving:
            (out / leaving).parent.mkdir(exist_ok=True)
            (out / leaving).write_text("{}")
        raise ZeroDivisionError


def fail(out: Path, seed: int = 0, *, leaving: str = "") -> None:
    """A run that fails; `leaving` names a file that it writes before, with something in it."""
    with pytest.raises(ZeroDivisionError):
        start(out, seed, leaving)


def test_of_a_run_that_fails_before_it_began_nothing_is_left(tmp_path: Path) -> None:
    fail(tmp_path / "runs" / "a")
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    fail(tmp_path / "mine")
    assert not list((tmp_path / "mine").iterdir()), "the folder was there, and is there"
    (tmp_path / "mine" / "notes.txt").write_text("of the user")
    fail(tmp_path / "mine" / "a")
    assert [path.name for path in (tmp_path / "mine").rglob("*")] == ["notes.txt"]


@pytest.mark.parametrize("leaving", ["metrics.jsonl", "checkpoint-1/weights"])
def test_a_run_that_has_begun_keeps_its_folder_and_refuses_another(
    tmp_path: Path, leaving: str
) -> None:
    fail(tmp_path / "a", leaving=leaving)
    assert (tmp_path / "a" / leaving).exists()
    with pytest.raises(ConfigError, match="seed: 0 -> 1"):
        Claim(tmp_path / "a", manifest(1), begun=BEGUN)
    with Claim(tmp_path / "a", manifest(0), begun=BEGUN):
        pass


def test_a_run_that_was_killed_before_it_began_gives_way(tmp_path: Path) -> None:
    out = tmp_path / "a"
    with Claim(out, manifest(0), begun=BEGUN):
        (out / "metrics.jsonl").touch()
    assert read_manifest(out).config == {"seed": 0}
    fail(out, seed=1)
    assert {path.name for path in out.rglob("*")} == {"prepared.json"}, "it may be the user's"
    with Claim(out, manifest(2), begun=BEGUN):
        assert read_manifest(out).config == {"seed": 2}


def test_a_folder_with_other_content_loses_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.tex").write_text("years of work")
    fail(tmp_path)
    assert (tmp_path / "data" / "thesis.tex").exists()
    assert not (tmp_path / "run.json").exists()


def test_a_second_process_is_refused_and_takes_nothing_away(tmp_path: Path) -> None:
    with Claim(tmp_path / "a", manifest(0), begun=BEGUN):
        with pytest.raises(StoreLocked):
            Claim(tmp_path / "a", manifest(1), begun=BEGUN)
        assert read_manifest(tmp_path / "a").config == {"seed": 0}
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="a file is in the way"):
        Claim(tmp_path / "file", manifest(0), begun=BEGUN)
