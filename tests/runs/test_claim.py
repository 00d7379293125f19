"""A run folder is held by one process, and nothing is left of a run that never began."""

from pathlib import Path

import pytest

from saccade.errors import ConfigError, StoreLocked
from saccade.runs.claim import Claim
from saccade.runs.manifest import FINISHED, Manifest, read_manifest

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
    (out / "mine.txt").touch()
    fail(out, seed=1)
    left = {path.name for path in out.rglob("*")}
    assert left == {"metrics.jsonl", "mine.txt"}, "they may be the user's"
    with Claim(out, Manifest(verb="rl", config={}), begun=BEGUN):
        assert read_manifest(out).verb == "rl", "nothing was done, by whatever command"


def test_what_a_run_prepared_gives_way_to_the_same_command_only(tmp_path: Path) -> None:
    with Claim(tmp_path, manifest(0), begun=BEGUN):
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "weights").write_text("of an earlier run")
        (tmp_path / FINISHED).write_text("of an earlier run")
    with pytest.raises(ConfigError, match="made by `saccade sft`, this is `saccade rollout`"):
        Claim(tmp_path, Manifest(verb="rollout", config={}), begun=("trajectories.jsonl",))
    assert read_manifest(tmp_path).verb == "sft"
    fail(tmp_path, seed=1)
    left = {path.name for path in tmp_path.rglob("*")}
    assert left == {"model", "weights", "run.json"}, "what was finished was another run"


def test_a_run_of_another_command_is_refused_and_keeps_its_own(tmp_path: Path) -> None:
    """Also one that this command would not count as begun, and whose folder it would overwrite."""
    fail(tmp_path, leaving="checkpoint-1/weights")
    with pytest.raises(ConfigError, match="made by `saccade sft`"):
        Claim(tmp_path, Manifest(verb="rollout", config={}), begun=("trajectories.jsonl",))
    assert read_manifest(tmp_path).verb == "sft"


def test_a_folder_with_other_content_is_refused_and_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "empty").mkdir()
    fail(tmp_path)
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="a folder with other content"):
        Claim(tmp_path, manifest(0), begun=BEGUN)
    left = {path.name for path in tmp_path.rglob("*")}
    assert left == {"package", "__init__.py", "empty", "thesis.tex"}


def test_a_second_process_is_refused_and_takes_nothing_away(tmp_path: Path) -> None:
    with Claim(tmp_path / "a", manifest(0), begun=BEGUN):
        with pytest.raises(StoreLocked):
            Claim(tmp_path / "a", manifest(1), begun=BEGUN)
        assert read_manifest(tmp_path / "a").config == {"seed": 0}
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="a file is in the way"):
        Claim(tmp_path / "file", manifest(0), begun=BEGUN)
