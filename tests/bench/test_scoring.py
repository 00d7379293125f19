"""The reward of a benchmark: the rule first, then a judge that is a model, and both are kept."""

from typing import ClassVar

import pytest

from saccade.bench.benchmark import About, Benchmark
from saccade.bench.scoring import RULES, BenchReward, rule_verdict
from saccade.config import Part
from saccade.dialects.plain import Plain
from saccade.env import Environment
from saccade.errors import ConfigError
from saccade.policies.replay import ReplayPolicy
from saccade.rewards import RewardOptions
from saccade.rollout import rollout
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer
from saccade.types import StopReason, Task, Trajectory, Verdict

ABOUT = About("Signs", 2, "CC0", "here", "nothing", "accuracy", "nothing")


class Signs(Benchmark):
    name: ClassVar[str] = "signs"
    about: ClassVar[About] = ABOUT

    async def judge(self, task: Task, answer: str) -> Verdict:
        if answer == "half":
            return Verdict(correct=False, grade=0.5, judge="signs")
        if answer == "boom":
            raise ZeroDivisionError("rule")
        return await super().judge(task, answer)


def sign(**fields: object) -> Task:
    return Task.model_validate(
        {"id": "s", "prompt": ["What does it say?"], "answer": "stop", "judge": RULES} | fields
    )


async def scored(answer: str, options: RewardOptions | None = None, **fields: object) -> Trajectory:
    task = sign(**fields)
    reward = BenchReward(Signs(), options or RewardOptions(preset="benchmark"))
    policy = ReplayPolicy({"s": [f"Thought: I see.\nAnswer: {answer}"]})
    try:
        return await rollout(policy, Environment(Plain()), task, reward=reward)
    finally:
        await reward.close()


def judged_by(server: ScriptedServer) -> RewardOptions:
    judge = {"kind": "llm", "base_url": server.url, "model": "judge-7b", "max_retries": 0}
    return RewardOptions(preset="benchmark", judge=("exact", Part.model_validate(judge)))  # type: ignore[arg-type]


async def test_the_rule_decides_and_no_model_is_asked() -> None:
    with ScriptedServer(lambda request: "INCORRECT") as server:
        played = await scored("Stop.", judged_by(server))
        assert not server.requests
    assert played.verdict is not None
    assert played.verdict.correct
    rule = rule_verdict(played)
    assert rule is not None
    assert rule.correct


async def test_what_the_rule_leaves_open_a_model_judges_and_both_are_kept() -> None:
    with ScriptedServer(lambda request: "It fits.\nCORRECT") as server:
        played = await scored("Halt at once", judged_by(server))
    assert played.verdict is not None
    assert played.verdict.correct
    assert played.verdict.judge.startswith("llm:judge-7b:")
    assert played.verdict.raw == "It fits.\nCORRECT"
    rule = rule_verdict(played)
    assert rule is not None
    assert rule.correct is None


async def test_without_a_model_an_open_answer_is_not_scored() -> None:
    played = await scored("Halt at once")
    assert played.score is None
    assert played.verdict is not None
    assert played.verdict.correct is None
    assert played.verdict.unread


async def test_a_model_that_fails_leaves_the_episode_to_be_scored_again() -> None:
    """Never a score: in the Vision-DeepResearch harness an outage becomes an exact match."""

    def down(request: ScriptedRequest) -> ScriptedReply:
        return ScriptedReply(status=500)

    with ScriptedServer(down) as server:
        played = await scored("Halt at once", judged_by(server))
    assert played.reward_failed
    assert played.score is None
    assert played.verdict is None


async def test_a_rule_that_raises_is_no_score() -> None:
    played = await scored("boom")
    assert played.reward_failed
    assert "ZeroDivisionError" in (played.error or "")


async def test_a_long_answer_is_judged_like_others() -> None:
    """DeepEyes counts 1,000 characters as wrong; a report is no attack on its judge."""
    with ScriptedServer(lambda request: "CORRECT") as server:
        played = await scored("stop " * 300, judged_by(server))
    assert played.verdict is not None
    assert played.verdict.correct


async def test_a_grade_is_what_enters_an_average() -> None:
    played = await scored("half")
    assert played.verdict is not None
    assert played.verdict.value == 0.5
    assert played.verdict.correct is False


async def test_no_answer_is_wrong_and_has_no_verdict_of_the_rule() -> None:
    reward = BenchReward(Signs(), RewardOptions(preset="benchmark"))
    policy = ReplayPolicy({"s": ["I do not know."]})
    played = await rollout(policy, Environment(Plain()), sign(), reward=reward)
    assert played.stop is StopReason.NO_ACTION
    assert played.score is not None
    assert played.score.value == 0
    assert rule_verdict(played) is None


def test_a_gold_answer_that_names_no_option_is_found_before_the_run() -> None:
    reward = BenchReward(Signs(), RewardOptions(preset="benchmark"))
    reward.check(sign(choices=["stop", "go"]))
    with pytest.raises(ConfigError, match="names none of the options"):
        reward.check(sign(choices=["halt", "go"]))
