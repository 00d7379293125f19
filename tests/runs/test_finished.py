"""A finished run is known again, unless it is asked for more."""

from pathlib import Path

import pytest
from pydantic import JsonValue

from saccade.errors import ConfigError
from saccade.runs.claim import Claim
from saccade.runs.finished import Finished, finish, finished
from saccade.runs.manifest import Manifest

Config = dict[str, JsonValue]


def config(**changes: JsonValue) -> Config:
    """Settings of every kind: amounts, harmless ones, and such that mean another run."""
    usual: Config = {
        "seed": 0, "samples": 2, "concurrency": 8, "tasks": {"kind": "world", "n": 20},
        "train": {"steps": 5, "device": "cpu"}, "nets": [0, 1],
    }  # fmt: skip
    return usual | changes


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished run; a task file had 20 tasks."""
    with Claim(tmp_path / "run", Manifest(verb="rl", config=config()), begun=("model",)):
        (tmp_path / "run" / "model").mkdir()
    finish(tmp_path / "run", "rl", config(), {"model": "m"}, needs=["model"], total=20)
    return tmp_path / "run"


def test_the_same_again_is_finished_and_has_its_result(out: Path) -> None:
    done = finished("rl", config(), out, total=20)
    assert done is not None
    assert done.result == {"model": "m"}
    assert done.beyond(config()) == []


@pytest.mark.parametrize(
    "changes",
    [{"concurrency": 1}, {"train": {"steps": 5, "device": "auto"}}, {"out": "elsewhere"}],
    ids=str,
)
def test_harmless_settings_change_nothing(out: Path, changes: Config) -> None:
    assert finished("rl", config(**changes), out) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": 3}, {"tasks": {"kind": "world", "n": 21}}, {"tasks": {"kind": "world"}},
        {"train": {"steps": 6, "device": "cpu"}}, {"nets": [0, 1, 2]},
    ],
    ids=str,
)  # fmt: skip
def test_whoever_asks_for_more_is_not_done(out: Path, changes: Config) -> None:
    assert finished("rl", config(**changes), out) is None


def test_whoever_asks_for_less_is_told_what_there_is(out: Path) -> None:
    less = config(samples=1, tasks={"kind": "world", "n": 3}, nets=[1])
    done = finished("rl", less, out)
    assert done is not None
    assert done.beyond(less) == ["tasks.n=20", "samples=2", "nets=[0, 1]"]


def test_a_task_file_that_has_grown_is_not_done(out: Path) -> None:
    assert finished("rl", config(), out, total=21) is None
    assert finished("rl", config(), out, total=3) is not None


def test_an_option_that_came_later_is_looked_at_by_whoever_knows_its_default(out: Path) -> None:
    """The run goes on, and is compared with the defaults of today."""
    assert finished("rl", config(colour="srgb"), out) is None
    assert finished("rl", config(out="elsewhere"), out) is not None


def test_another_run_is_refused_before_anything_is_loaded(out: Path) -> None:
    with pytest.raises(ConfigError, match="seed: 0 -> 1"):
        finished("rl", config(seed=1), out)
    with pytest.raises(ConfigError, match="made by `saccade rl`"):
        finished("sft", config(), out)


def test_a_result_that_is_gone_is_not_finished(out: Path) -> None:
    (out / "model").rmdir()
    assert finished("rl", config(), out) is None


@pytest.mark.parametrize("damage", [b"", b"{", b'{"verb": "rl"}'])
def test_a_damaged_note_is_none(out: Path, damage: bytes) -> None:
    (out / "finished.json").write_bytes(damage)
    assert finished("rl", config(), out) is None


def test_nothing_is_finished_where_nothing_is(tmp_path: Path) -> None:
    assert finished("rl", config(), tmp_path / "nowhere") is None


def test_what_is_all_is_more_than_any_number() -> None:
    done = Finished(verb="rollout", config={"tasks": {"n": None}}, result={})
    assert done.beyond({"tasks": {"n": 5}}) == ["tasks.n=all"]
    assert done.beyond({"tasks": {"n": None}}) == []
