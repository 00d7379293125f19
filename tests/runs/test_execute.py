"""Carrying out a recipe: warnings before it starts, and what a rerun attempts."""

import asyncio
from pathlib import Path

import pytest
from building import a_task
from waiting import LIMIT_S, until

from saccade.config import validate
from saccade.dialects.base import Prompts
from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ConfigError, PluginError, ServiceError
from saccade.images.geometry import CoordSpace, PixelBudget
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.policies.openai import OpenAIOptions, OpenAIPolicy
from saccade.policies.replay import ReplayPolicy
from saccade.recipe import Recipe
from saccade.rewards import Reward, Weighted
from saccade.rewards.judges import Exact, Judge
from saccade.rollout import Job
from saccade.runs.assemble import Assembly, mismatches
from saccade.runs.execute import jobs_of, play, run
from saccade.runs.folder import RunReader
from saccade.testing import ScriptedReply, ScriptedServer
from saccade.tools.zoom import ZoomIn
from saccade.types import Completion, Sampling, StopReason, Task, Trajectory, Verdict


def test_a_model_in_a_foreign_frame_or_budget_is_warned_about(tiny_qwen3_vl: Path) -> None:
    policy = HFPolicy(HFOptions(path=str(tiny_qwen3_vl)))
    frame, factor = mismatches(policy.info, Environment(DeepEyes()))
    assert "environment.coords=relative_1000" in frame
    assert "environment.view.factor=32" in factor
    budget = PixelBudget(factor=32)
    right = Environment(DeepEyes(), view=budget, coords=CoordSpace.RELATIVE_1000)
    assert mismatches(policy.info, right) == []
    half = Environment(
        DeepEyes(), view=budget, observation=PixelBudget(), coords=CoordSpace.RELATIVE_1000
    )
    assert len(mismatches(policy.info, half)) == 1


def test_a_released_checkpoint_with_our_prompt_is_warned_about() -> None:
    options = OpenAIOptions(base_url="http://127.0.0.1:9/v1", model="ChenShawn/DeepEyes-7B")
    policy = OpenAIPolicy(options)
    ours = Environment(DeepEyes(), [ZoomIn()])
    assert "dialect.prompts=FILE" in mismatches(policy.info, ours)[0]
    published = DeepEyes(prompts=Prompts(system="s", user="{question}"))
    assert mismatches(policy.info, Environment(published, [ZoomIn()])) == []
    assert mismatches(ReplayPolicy({}).info, ours) == []
    # None is published for an environment without tools.
    assert mismatches(policy.info, Environment(DeepEyes())) == []


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


class Own:
    """A policy and a reward term of a user's own, either of which can have a mistake in it."""

    def __init__(self, out: Path, *, judge: Judge | None = None) -> None:
        self.out = out
        self.asked = 0
        self.policy_is_broken = False
        self.no_opinion_on: set[str] = set()
        self._reward = Reward({"own:term": Weighted(1.0, self._term)}, judge or Exact())

    async def play(self, *tasks: Task, max_aborts: int = 100) -> list[Trajectory]:
        """What was finished by this run; one episode goes on at a time."""
        finished: list[Trajectory] = []
        recipe = Recipe(concurrency=1, max_aborts=max_aborts)
        parts = Assembly(ReplayPolicy(self._answer), Environment(DeepEyes()), self._reward)
        jobs = jobs_of(recipe, tasks)
        await play(
            "rollout", recipe, parts, jobs, self.out, on_finish=lambda _, t: finished.append(t)
        )
        return finished

    def _answer(self, trajectory: Trajectory) -> str:
        self.asked += 1
        if self.policy_is_broken:
            raise KeyError("colour")
        return "<answer>7</answer>"

    def _term(self, task: Task, trajectory: Trajectory, correct: bool) -> float:
        if task.id in self.no_opinion_on:
            raise ValueError(f"no opinion on {task.id}")
        return 1.0


def some(names: str) -> list[Task]:
    return [a_task(id=name, answer="7") for name in names]


async def test_a_mended_reward_scores_what_is_finished_without_playing_it(tmp_path: Path) -> None:
    own = Own(tmp_path)
    own.no_opinion_on.add("b")
    assert [t.reward_failed for t in await own.play(*some("abc"))] == [False, True, False]
    kept = {entry.task.id: entry.trajectory for entry in RunReader(tmp_path).entries()}
    assert set(kept) == {"a", "b", "c"}
    assert "no opinion on b" in (kept["b"].error or "")
    assert "raise ValueError" in (kept["b"].traceback or "")
    assert [t.task_id for t in await own.play(*some("abc"))] == ["b"]
    own.no_opinion_on.clear()
    again = await own.play(*some("abcd"))
    assert [(t.task_id, t.score is not None) for t in again] == [("b", True), ("d", True)]
    assert own.asked == 4, "each was played once"
    after = list(RunReader(tmp_path).entries())
    assert [entry.task.id for entry in after] == ["a", "c", "b", "d"]
    assert all(entry.trajectory.score and not entry.trajectory.error for entry in after)
    assert list(RunReader(tmp_path).waiting()) == []


async def test_a_reward_that_always_raises_ends_the_run_and_loses_nothing(tmp_path: Path) -> None:
    own = Own(tmp_path)
    own.no_opinion_on.update("abcdefgh")
    says = r"3 episodes in a row .*own:term: ValueError: no opinion on c \(test_execute.py:.*again"
    with pytest.raises(PluginError, match=says):
        await own.play(*some("abcdefgh"), max_aborts=3)
    assert [entry.task.id for entry in RunReader(tmp_path).waiting()] == ["a", "b", "c"]


async def test_a_policy_that_always_raises_ends_the_run_and_its_line_is_kept(
    tmp_path: Path,
) -> None:
    own = Own(tmp_path)
    own.policy_is_broken = True
    says = r"2 episodes in a row were aborted, the last one by KeyError: 'colour' \(test_execute"
    with pytest.raises(ServiceError, match=says):
        await own.play(*some("abc"), max_aborts=2)
    aborted = list(RunReader(tmp_path).aborted())
    assert [t.stop for t in aborted] == [StopReason.ABORTED] * 2
    assert 'raise KeyError("colour")' in (aborted[0].traceback or "")


async def test_an_episode_whose_scoring_shows_a_wrong_configuration_is_kept(tmp_path: Path) -> None:
    own, strange = Own(tmp_path), a_task(id="strange", answer="7", judge="nobody")
    with pytest.raises(ConfigError, match="no judge 'nobody'"):
        await own.play(strange)
    (kept,) = RunReader(tmp_path).waiting()
    assert "no judge 'nobody'" in (kept.trajectory.error or "")


async def test_an_episode_that_is_being_judged_when_the_run_is_interrupted_is_kept(
    tmp_path: Path,
) -> None:
    asked = asyncio.Event()

    class Slow(Exact):
        async def judge(self, task: Task, answer: str) -> Verdict:
            asked.set()
            await asyncio.sleep(LIMIT_S)
            raise AssertionError

    running = asyncio.create_task(Own(tmp_path, judge=Slow()).play(*some("a")))
    await until(lambda: asked.is_set() or running.done())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    again = Own(tmp_path)
    assert [t.score is not None for t in await again.play(*some("a"))] == [True]
    assert again.asked == 0, "it was not played again"
