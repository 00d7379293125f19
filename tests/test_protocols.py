"""The settings of the protocols are those of their recipes: a run of hours does not end at once."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saccade.config import Table, read_toml, validate, with_overrides
from saccade.data.demos.recipe import DemosRecipe
from saccade.embedded import with_folders
from saccade.nano.deepeyes.options import BaseOptions
from saccade.nano.deepeyes_v2.options import BaseOptions as BaseOptionsV2
from saccade.recipe import make_environment
from saccade.train.recipe import RLRecipe, SFTRecipe

ROOT = Path(__file__).parents[1]
FIRST, SECOND = (
    tomllib.loads((ROOT / "benchmarks" / f"reproduce_{name}.toml").read_text())
    for name in ("deepeyes", "deepeyes_v2")
)


def recipe(name: str, settings: list[str]) -> Table:
    table = read_toml(ROOT / "recipes" / f"nano_{name}.toml")
    return with_folders(with_overrides(table, settings))


def arms() -> Iterator[Any]:
    for name, arm in FIRST["arms"].items():
        yield pytest.param("deepeyes", arm.get("settings", []), id=f"first-{name}")
    for name, arm in SECOND["arms"].items():
        settings = [*SECOND["groups"][arm["group"]]["settings"], *arm.get("settings", [])]
        yield pytest.param("rl_v2", settings, id=f"second-{name}")


@pytest.mark.parametrize(("name", "settings"), [*arms()])
def test_an_arm_can_be_trained(name: str, settings: list[str]) -> None:
    made = validate(RLRecipe, recipe(name, settings))
    make_environment(made)
    if name == "rl_v2" and "reward.weights={}" in settings:
        assert "calls" not in made.reward.weights


def test_what_an_arm_starts_from_is_in_the_protocol() -> None:
    for protocol, starts in (
        (FIRST, {"base": "bases"}),
        (SECOND, {"base": "bases", "cold": "cold"}),
    ):
        for arm in protocol["arms"].values():
            for key, table in starts.items():
                assert key not in arm or arm[key] in protocol[table]
    for arm in SECOND["arms"].values():
        if "cold" in arm:
            assert arm["seeds"] <= SECOND["cold"][arm["cold"]]["seeds"]


def test_bases_cold_starts_and_demonstrations() -> None:
    for base in FIRST["bases"].values():
        validate(BaseOptions, with_overrides({}, base["settings"]))
    for base in SECOND["bases"].values():
        validate(BaseOptionsV2, with_overrides({}, base["settings"]))
    for cold in SECOND["cold"].values():
        validate(SFTRecipe, recipe("sft_v2", cold["settings"]))
        assert cold["demos"] in SECOND["demos"]
    for demos in SECOND["demos"].values():
        validate(DemosRecipe, recipe("demos_v2", demos["settings"]))
