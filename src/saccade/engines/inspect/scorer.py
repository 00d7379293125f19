"""The scorer `saccade/verdict`: what the benchmark's rule and its judges say of an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inspect_ai.scorer import (
    Metric,
    SampleScore,
    Score,
    Scorer,
    Target,
    mean,
    metric,
    scorer,
    stderr,
)
from inspect_ai.solver import TaskState
from pydantic import JsonValue

from saccade.bench.benchmark import Scored
from saccade.bench.recipe import BenchRecipe
from saccade.bench.run import bench_reward
from saccade.config import validate
from saccade.engines.inspect import named
from saccade.engines.inspect.samples import TASK
from saccade.engines.inspect.solver import TRAJECTORY
from saccade.types import (
    Action,
    Completion,
    EnvironmentRecord,
    StopReason,
    Task,
    Trajectory,
    Turn,
)

EPISODE = "saccade_episode"
"""Key of a score's metadata: the episode without its turns."""
_BARE = EnvironmentRecord(fingerprint="", dialect="", prompts="")
_LIGHT = {"prompt", "turns", "environment"}


@scorer(metrics=[mean(), stderr()], name=named("verdict"))
def verdict(recipe: dict[str, JsonValue]) -> Scorer:
    """Score the answer of an episode; one that is undecided or out of time stays unscored.

    After another solver than ours, the completion is the answer.

    Args:
        recipe: A `BenchRecipe`, as JSON: the benchmark and the judges of `reward`.

    Raises:
        ConfigError: there is no such benchmark or judge.
    """
    reward = bench_reward(validate(BenchRecipe, recipe))

    async def score(state: TaskState, target: Target) -> Score:
        task = Task.model_validate(state.metadata[TASK])
        scored = await reward.apply(task, _episode(state, task))
        opinion = scored.verdict
        noted = {
            "stop": str(scored.stop),
            "turns": len(scored.turns),
            "tool_calls": len(scored.results),
            "judge": "" if opinion is None else opinion.judge,
            "raw": "" if opinion is None else opinion.raw,
            EPISODE: scored.model_dump(mode="json", exclude=_LIGHT),
        }
        value = None if opinion is None else opinion.value
        if value is None or opinion is None:
            why = scored.error or (
                opinion.reason if opinion else f"the episode ended: {scored.stop}"
            )
            return Score.unscored(
                reason="no verdict", answer=scored.answer, explanation=why, metadata=noted
            )
        return Score(value=value, answer=scored.answer, explanation=opinion.reason, metadata=noted)

    return score


@metric(name=named("numbers"))
def numbers(recipe: dict[str, JsonValue]) -> Metric:
    """The numbers of the benchmark with their 95 % intervals, and how episodes ended.

    Args:
        recipe: A `BenchRecipe`, as JSON.

    Raises:
        ConfigError: there is no such benchmark.
    """
    benchmark = validate(BenchRecipe, recipe).source.made

    def measure(scores: Sequence[SampleScore]) -> dict[str, float]:
        known = [scored for one in scores if (scored := _scored(one)) is not None]
        found: dict[str, float] = {}
        for number in benchmark.metrics(known):
            name = number.name if number.group == "all" else f"{number.name}/{number.group}"
            values = {"": number.value, " low": number.low, " high": number.high}
            found |= {name + end: value for end, value in values.items() if value is not None}
        rates: dict[str, Callable[[Score], bool]] = {
            "tool_call_rate": lambda s: bool((s.metadata or {}).get("tool_calls")),
            "truncated": lambda s: (s.metadata or {}).get("stop") == StopReason.MAX_TOKENS,
            "out_of_turns": lambda s: (s.metadata or {}).get("stop") == StopReason.MAX_TURNS,
        }
        for name, holds in rates.items():
            found[name] = sum(holds(one.score) for one in scores) / max(1, len(scores))
        return found

    return measure


def _scored(one: SampleScore) -> Scored | None:
    task = (one.sample_metadata or {}).get(TASK)
    played = (one.score.metadata or {}).get(EPISODE)
    if not isinstance(task, dict) or not isinstance(played, dict):
        return None
    record = {**played, "prompt": [], "environment": _BARE}
    return Scored(
        Task.model_validate(task), Trajectory.model_validate(record), float(one.score.as_float())
    )


def _episode(state: TaskState, task: Task) -> Trajectory:
    record = state.store.get(TRAJECTORY)
    if record is not None:
        return Trajectory.model_validate(record)
    text = state.output.completion
    turn = Turn(completion=Completion(text=text), action=Action(answer=text))
    return Trajectory(
        id=f"{task.id}:{state.epoch - 1}", task_id=task.id, sample=state.epoch - 1,
        environment=_BARE, prompt=(), turns=(turn,), stop=StopReason.ANSWER,
    )  # fmt: skip
