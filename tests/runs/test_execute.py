"""Carrying out a recipe: warnings before it starts, and what a rerun attempts."""

from pathlib import Path

import pytest
from building import a_task

from saccade.config import validate
from saccade.dialects.base import Prompts
from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ConfigError, ServiceError
from saccade.images.geometry import CoordSpace, PixelBudget
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.policies.openai import OpenAIOptions, OpenAIPolicy
from saccade.policies.replay import ReplayPolicy
from saccade.recipe import Recipe
from saccade.rollout import Job
from saccade.runs.assemble import mismatches
from saccade.runs.execute import jobs_of, run
from saccade.runs.folder import RunReader
from saccade.testing import ScriptedReply, ScriptedServer
from saccade.types import Completion, Sampling, Task, Trajectory


def test_a_model_in_a_foreign_frame_or_budget_is_warned_about(tiny_qwen3_vl: Path) -> None:
    policy = HFPolicy(HFOptions(path=str(tiny_qwen3_vl)))
    frame, factor = mismatches(policy, Environment(DeepEyes()))
    assert "environment.coords=relative_1000" in frame
    assert "environment.view.factor=32" in factor
    budget = PixelBudget(factor=32)
    right = Environment(DeepEyes(), view=budget, coords=CoordSpace.RELATIVE_1000)
    assert mismatches(policy, right) == []
    half = Environment(
        DeepEyes(), view=budget, observation=PixelBudget(), coords=CoordSpace.RELATIVE_1000
    )
    assert len(mismatches(policy, half)) == 1


def test_a_released_checkpoint_with_our_prompt_is_warned_about() -> None:
    options = OpenAIOptions(base_url="http://127.0.0.1:9/v1", model="ChenShawn/DeepEyes-7B")
    policy = OpenAIPolicy(options)
    assert "dialect.prompts=FILE" in mismatches(policy, Environment(DeepEyes()))[0]
    published = DeepEyes(prompts=Prompts(system="s", user="{question}"))
    assert mismatches(policy, Environment(published)) == []
    assert mismatches(ReplayPolicy({}), Environment(DeepEyes())) == []


async def test_a_warning_reaches_the_user(tmp_path: Path) -> None:
    policy = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "deepeyes-7b"}
    recipe = validate(Recipe, {"policy": policy})
    with pytest.warns(UserWarning, match="published DeepEyes prompt"):
        await run("rollout", recipe, [], tmp_path / "run", on_finish=lambda task, t: None)


async def test_only_what_is_missing_is_attempted(tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text('{"task": "a", "turns": ["<answer>1</answer>"]}\n'
                      '{"task": "b", "turns": ["<answer>2</answer>"]}\n')  # fmt: skip
    recipe = validate(Recipe, {"samples": 2, "policy": {"kind": "replay", "script": str(script)}})
    tasks = [a_task(id=name) for name in "ab"]
    seen: list[tuple[str, int]] = []

    def note(task: Task, trajectory: object) -> None:
        seen.append((task.id, trajectory.sample))  # type: ignore[attr-defined]

    resumed: list[int] = []
    await run("rollout", recipe, [Job(tasks[0], 1)], tmp_path / "run", on_finish=note)
    await run(
        "rollout",
        recipe,
        jobs_of(recipe, tasks),
        tmp_path / "run",
        on_finish=note,
        on_resume=resumed.append,
    )
    assert sorted(seen) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert resumed == [1]


class Misconfigured(ReplayPolicy):
    """Finds out when it first acts: a model that is loaded then, and is not there."""

    Options = None

    def __init__(self) -> None:
        super().__init__({})

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        raise ConfigError("no such model")


async def test_a_start_that_fails_claims_no_folder(tmp_path: Path) -> None:
    out, jobs = tmp_path / "runs" / "a", [Job(a_task(id="a"))]
    wrong = validate(Recipe, {"seed": 1, "policy": {"kind": f"{__name__}:Misconfigured"}})
    with pytest.raises(ConfigError, match="no such model"):
        await run("rollout", wrong, jobs, out, on_finish=lambda task, t: None)
    assert not list(tmp_path.iterdir())
    script = tmp_path / "script.jsonl"
    script.write_text('{"task": "a", "turns": ["<answer>1</answer>"]}\n')
    right = validate(Recipe, {"policy": {"kind": "replay", "script": str(script)}})
    await run("rollout", right, jobs, out, on_finish=lambda task, t: None)
    with pytest.raises(ConfigError, match="seed: 0 -> 1"):
        await run("rollout", wrong, jobs, out, on_finish=lambda task, t: None)
    assert len(list(RunReader(out).trajectories())) == 1


async def test_a_run_stops_when_a_server_is_down(tmp_path: Path) -> None:
    with ScriptedServer(lambda request: ScriptedReply(status=500)) as server:
        policy = {"kind": "openai", "base_url": server.url, "model": "m", "max_retries": 0}
        recipe = validate(Recipe, {"policy": policy, "max_aborts": 5, "concurrency": 2})
        jobs = (Job(a_task(id=str(n))) for n in range(100))
        with pytest.raises(ServiceError, match=r"5 episodes in a row .* status 500"):
            await run("rollout", recipe, jobs, tmp_path / "run", on_finish=lambda task, t: None)
    assert len(list(RunReader(tmp_path / "run").aborted())) in (5, 6), "those under way may end"
