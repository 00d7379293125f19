"""One place puts policy, environment and reward together, and says where they do not fit."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from saccade import Agent
from saccade.config import Table, validate
from saccade.data.curate import CurateRecipe, curate
from saccade.embedded import folder_of, with_folders
from saccade.errors import ConfigError
from saccade.nano.spec import environment, sections
from saccade.policies import LocalPolicy
from saccade.recipe import Recipe
from saccade.runs.assemble import Assembly, assemble, mismatches
from saccade.runs.execute import run

NANO: Table = {"policy": {"kind": "hf", "path": "nano-look"}}


def elsewhere() -> Table:
    """The world of the embedded models with one turn less: another fingerprint, nothing else."""
    table = sections()
    limits = environment().record.limits.model_copy(update={"max_turns": 3})
    section = table["environment"]
    assert isinstance(section, dict)
    return table | {"environment": section | {"limits": limits.model_dump(mode="json")}}


def played(table: Table, out: Path) -> None:
    recipe = validate(Recipe, with_folders(table))
    asyncio.run(run("rollout", recipe, [], out, on_finish=lambda task, trajectory: None))


def asked(table: Table, out: Path) -> None:
    Agent(**table).close()


def curated(table: Table, out: Path) -> None:
    tasks = {"kind": "world", "n": 1}
    extra = {"tasks": tasks, "out": str(out), "curate": {"terms": ["verifiability"]}}
    asyncio.run(curate(validate(CurateRecipe, with_folders(table | extra))))


@pytest.mark.parametrize("use", [played, asked, curated], ids=["rollout", "Agent", "curate"])
def test_a_checkpoint_of_another_environment_is_said_so(
    use: Callable[[Table, Path], None], tmp_path: Path
) -> None:
    """`rl` and `attack` are tested with their own runs."""
    with pytest.warns(UserWarning, match=f"trained in the environment {environment().fingerprint}"):
        use(NANO | elsewhere(), tmp_path / "out")
    use(NANO | sections(), tmp_path / "home")  # warnings are errors here


def test_what_a_model_knows_of_itself_is_declared() -> None:
    parts = assemble(validate(Recipe, with_folders(NANO | sections())))
    assert isinstance(parts.policy, LocalPolicy)
    info = parts.policy.info
    assert (info.factor, info.name) == (14, str(folder_of("nano-look")))
    assert mismatches(parts.policy.info, parts.environment) == []
    asyncio.run(parts.close())


def test_a_missing_policy_is_said_before_anything_is_loaded() -> None:
    with pytest.raises(ConfigError, match="policy: missing"):
        assemble(Recipe())


async def test_what_fails_to_close_keeps_nothing_else_open() -> None:
    closed: list[str] = []

    class Part:
        def __init__(self, name: str) -> None:
            self.name = name

        async def close(self) -> None:
            closed.append(self.name)
            if self.name == "policy":
                raise OSError("gone")

    parts = [Part(name) for name in ("policy", "environment", "reward")]
    with pytest.raises(OSError, match="gone"):
        await Assembly(*parts).close()  # type: ignore[arg-type]
    assert closed == ["policy", "environment", "reward"]
