"""Counterfactual groups: who is forced, what the deciding token is trained by, what is left alone."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_rl import fresh_process_state, metrics, recipe_of

from saccade.embedded import folder_of
from saccade.models import LoadedModel, load
from saccade.nano.settings import environment
from saccade.runs.folder import RunReader
from saccade.train.credit.counterfactual import (
    Counterfactual,
    Member,
    MoveAdvantage,
    deciding_place,
    member_of,
    move_advantages,
    move_sample,
)
from saccade.train.recipe import Training
from saccade.train.rl import rl
from saccade.types import Action, Completion, Score, StopReason, Trajectory, Turn
from saccade.world import tasks

__all__ = ["fresh_process_state"]

NAN = math.nan
CALL, ANSWER = Member(1.0, "call", 0.01), Member(0.0, "answer", 0.99)


def test_the_first_members_are_forced() -> None:
    forces = [Counterfactual(call=2, answer=1).force(member) for member in range(5)]
    assert forces == ["<tool_call>", "<tool_call>", "<answer>", "", ""]
    with pytest.raises(ValueError, match=r"4 \+ 5 forced members in a group of 8"):
        Training.model_validate({"group": 8, "counterfactual": {"call": 4, "answer": 5}})


def test_the_decision_gains_the_gap_between_the_moves() -> None:
    """Rewards 1, 1 (call) and 0, 0 (answer): deviation sqrt(1/3), gap one in deviations."""
    group = [CALL, CALL, ANSWER, ANSWER]
    one = 1 / (math.sqrt(1 / 3) + 1e-4)
    crossed = move_advantages(group, "cross_entropy")
    assert [a.decision for a in crossed] == pytest.approx([one, one, 0, 0])
    assert [a.after for a in crossed] == pytest.approx([0, 0, 0, 0])
    exact = move_advantages(group, "exact")
    assert [a.decision for a in exact] == pytest.approx(
        [one / 2 * p for p in (0.01, 0.01, -0.99, -0.99)]
    )
    sampled = move_advantages(group, "sampled")
    assert [a.decision for a in sampled] == pytest.approx([one / 2, one / 2, -one / 2, -one / 2])


def test_rewards_are_divided_by_what_the_run_says(tmp_path: Path) -> None:
    """By hand; and the same steps by the group's deviation and by none give other weights."""
    group = [CALL, CALL, ANSWER, ANSWER]
    halved = move_advantages(group, "sampled", scale=2.0)
    assert [a.decision for a in halved] == [0.25, 0.25, -0.25, -0.25]
    weights = []
    for scale in ("group", "none"):
        out = tmp_path / scale
        settings = ("train.steps=2", "train.counterfactual={call=2,answer=1}", "train.group=4")
        rl(recipe_of(out, *settings, f"train.scale={scale}"))
        weights.append(load_file(out / "model" / "model.safetensors"))
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_move_counts_as_much_as_the_other_whatever_its_size() -> None:
    group = [CALL, ANSWER, ANSWER, ANSWER]
    better = move_advantages([m._replace(reward=1 - m.reward) for m in group], "cross_entropy")
    assert better[0].decision == 0
    assert sum(a.decision for a in better) == pytest.approx(
        move_advantages(group, "cross_entropy")[0].decision
    )


def test_what_follows_is_compared_within_its_own_move() -> None:
    group = [CALL, CALL._replace(reward=0.0), ANSWER, ANSWER]
    deviation = float(torch.tensor([1.0, 0, 0, 0]).std()) + 1e-4
    assert [a.after for a in move_advantages(group, "cross_entropy")] == pytest.approx(
        [0.5 / deviation, -0.5 / deviation, 0, 0]
    )


@pytest.mark.parametrize(
    "group",
    [
        [CALL, CALL._replace(reward=0.5)],
        [CALL, ANSWER._replace(reward=NAN)],
        [CALL, Member(0.0, None, 0.0)],
    ],
)
def test_without_both_moves_the_decision_has_no_advantage(group: list[Member]) -> None:
    assert [a.decision for a in move_advantages(group, "cross_entropy")] == [0.0, 0.0]


def test_an_episode_without_a_reward_has_no_advantage() -> None:
    assert move_advantages([CALL, ANSWER, CALL._replace(reward=NAN)], "sampled")[
        2
    ] == MoveAdvantage(0.0, 0.0)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load(folder_of("nano-base"))


def episode(loaded: LoadedModel, text: str) -> Trajectory:
    begun = environment().begin(next(tasks("read", n=1, seed=2, split="dev")))
    ids = (*loaded.renderer.encode(text), loaded.renderer.end_of_turn)
    completion = Completion(text=text, token_ids=ids, log_probs=tuple([-0.5] * len(ids)))
    turn = Turn(completion=completion, action=Action())
    return begun.model_copy(
        update={"turns": (turn,), "stop": StopReason.ANSWER, "score": Score(value=1.0)}
    )


@pytest.mark.parametrize(
    ("text", "move", "before"),
    [
        ("<think>The red object.</think><answer>1</answer>", "answer", "</think>"),
        ("<think>The red object.</think><tool_call>{", "call", "</think>"),
        ("<tool_call>{", "call", None),
        ("<answer>1</answer>", "answer", None),
        ("<think>The red object.</think>[", None, "</think>"),
    ],
)
def test_the_deciding_token_is_the_first_after_the_thought(
    loaded: LoadedModel, text: str, move: str | None, before: str | None
) -> None:
    trajectory, options = episode(loaded, text), Counterfactual()
    place = deciding_place(loaded.renderer, trajectory)
    ids = trajectory.turns[0].completion.token_ids
    assert place is not None
    assert ids is not None
    assert (loaded.renderer.text_of(ids[place - 1]) if place else None) == before
    member = member_of(loaded.renderer, trajectory, options)
    assert (member.move, member.probability) == (move, pytest.approx(math.exp(-0.5)))

    rendered = loaded.renderer.render(trajectory, generation=False)
    sample = move_sample(rendered, place, MoveAdvantage(7.0, 3.0), learn_thought=False)
    start = rendered.prompt_len
    assert sample.advantages_T[start + place] == 7.0
    assert set(sample.advantages_T[start + place + 1 :]) == {3.0}
    assert sample.trained_T[start : start + len(ids)] == [False] * place + [True] * (
        len(ids) - place
    )
    with_thought = move_sample(rendered, place, MoveAdvantage(7, 3), learn_thought=True)
    assert with_thought.trained_T == rendered.sampled


def test_a_thought_that_never_ends_decides_nothing(loaded: LoadedModel) -> None:
    trajectory = episode(loaded, "<think>The red object.")
    assert deciding_place(loaded.renderer, trajectory) is None
    assert member_of(loaded.renderer, trajectory, Counterfactual()).move is None


def test_a_run_attempts_every_prompt_both_ways(tmp_path: Path) -> None:
    """And counts only what nothing was forced on."""
    recipe = recipe_of(
        tmp_path / "run", f"model={folder_of('nano-base')}", "train.steps=1", "train.keep_every=1",
        'tasks.family=["read","easy"]', "train.counterfactual={call=1, answer=1}",
        "reward.preset=deepeyes_no_bonus", "reward.weights.calls=-0.1",
    )  # fmt: skip
    rl(recipe)
    entries = list(RunReader(tmp_path / "run" / "rollouts" / "step-00001").entries())
    for _, trajectory in entries:
        called = bool(trajectory.turns[0].action.calls)
        if trajectory.sample % 4 < 2:
            assert called == (trajectory.sample % 4 == 0)
    (row,) = metrics(tmp_path / "run")
    assert row["episodes"] == 4
    assert row["sampling_gap"] < 1e-4
    assert {"call_rate/read", "call_rate/easy", "thought_iou"} <= row.keys()
