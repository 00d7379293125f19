"""Differential answer probes: where the model is asked, what a call gains, who is trained."""

import asyncio
from pathlib import Path

import pytest
from trainings import metrics, recipe_of

from saccade.dialects.deepeyes import SEAMS
from saccade.embedded import folder_of
from saccade.nano.spec import environment
from saccade.policies.forced import FirstMove
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.rewards import RewardOptions
from saccade.rollout import rollout
from saccade.train.credit.probe import call_probes, gain_of, is_right, routed
from saccade.train.recipe import Training
from saccade.train.rl import rl
from saccade.types import Sampling, Task, Trajectory
from saccade.world import tasks


@pytest.fixture(scope="module")
def policy() -> HFPolicy:
    return HFPolicy(HFOptions(path=str(folder_of("nano-look"))))


def attempted(policy: HFPolicy, family: str, n: int) -> list[tuple[Task, Trajectory]]:
    """Questions that were answered by a call."""
    reward = RewardOptions().make()
    return [
        (
            task,
            asyncio.run(
                rollout(FirstMove(policy, SEAMS.force("call")), environment(), task, reward=reward)
            ),
        )
        for task in tasks(family, n=n, seed=31, split="dev")
    ]


def asked(policy: HFPolicy, task: Task, trajectory: Trajectory) -> int | None:
    (probes,) = call_probes(trajectory, SEAMS)
    dialect, reward = environment().dialect, RewardOptions().make()
    before, after = (
        asyncio.run(is_right(probe, task, policy, dialect, reward))
        for probe in (probes.before, probes.after)
    )
    return gain_of(before, after)


def test_the_model_is_asked_after_its_thought_and_after_the_result(policy: HFPolicy) -> None:
    ((_, trajectory),) = attempted(policy, "read", 1)
    (probes,) = call_probes(trajectory, SEAMS)
    text = trajectory.turns[0].completion.text
    thought, force = text[: text.index("<tool_call>")], probes.before.force.text
    assert thought.startswith("<think>")
    assert force == thought + "<answer>"
    assert (probes.turn, probes.before.so_far.turns) == (0, ())
    assert probes.after.so_far.turns == trajectory.turns[:1]
    assert probes.after.force.text == "<answer>"
    sampling = Sampling(force=probes.before.force, max_tokens=64, stop=environment().record.stop)
    assert asyncio.run(policy.act(probes.before.so_far, sampling)).text.startswith(force)


def test_a_look_gains_something_where_it_is_needed_and_nothing_elsewhere(
    policy: HFPolicy,
) -> None:
    small = [asked(policy, *pair) for pair in attempted(policy, "read", 20)]
    large = [asked(policy, *pair) for pair in attempted(policy, "easy", 20)]
    assert sum(gain or 0 for gain in small) >= 12
    assert sum(gain or 0 for gain in large) <= 3


@pytest.mark.parametrize(("before", "after"), [(None, True), (False, None)])
def test_an_undecided_answer_makes_no_gain(before: bool | None, after: bool | None) -> None:
    assert gain_of(before, after) is None


@pytest.mark.parametrize(
    ("advantage", "gain", "credit"),
    [
        (0.5, 1, 1.5),  # useful, and the answer was right
        (-0.5, 1, 1.0),  # useful; the wrong answer is not its fault
        (0.5, 0, 0.0),  # superfluous: no share in a right answer
        (-0.5, 0, 0.0),
        (0.5, -1, -1.0),  # misleading, although the answer was right in the end
        (-0.5, -1, -1.5),
    ],
)
def test_an_outcome_reaches_the_calls_that_it_is_due_to(
    policy: HFPolicy, advantage: float, gain: int, credit: float
) -> None:
    ((_, trajectory),) = attempted(policy, "read", 1)
    renderer = policy.loaded.renderer
    rendered = renderer.render(trajectory, generation=False)
    advantages_T = routed(renderer, trajectory, rendered, advantage, {0: gain}, weight=1.0)
    sampled = [a for a, own in zip(advantages_T, rendered.sampled, strict=True) if own]
    first = len(trajectory.turns[0].completion.token_ids or ())
    assert sampled[:first] == [credit] * first
    assert sampled[first:] == [advantage] * (len(sampled) - first)
    assert len(sampled) > first


def test_a_run_probes_and_trains(tmp_path: Path) -> None:
    rl(recipe_of(tmp_path, "tasks.family=read", "train.steps=2", "train.probe={}"))
    for row in metrics(tmp_path):
        assert row["probe/calls"] == 8  # this model always calls on `read`
        assert 0 < row["probe/gain"] <= 8
        assert row["sampling_gap"] < 1e-4


def test_calls_are_credited_in_one_way() -> None:
    with pytest.raises(ValueError, match="choose one"):
        Training.model_validate({"probe": {}, "counterfactual": {}})
