"""Counterfactual groups: who is forced, what the deciding token is worth, what is left alone."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_rl import fresh_process_state, metrics, recipe_of

from saccade.embedded import folder_of
from saccade.models import LoadedModel, load
from saccade.nano.spec import environment
from saccade.runs.folder import RunReader
from saccade.train.counterfactual import (
    Counterfactual,
    Member,
    Worth,
    deciding_place,
    member_of,
    spread,
    weigh,
)
from saccade.train.options import Training
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


def test_the_decision_is_worth_the_gap_between_the_arms() -> None:
    """Scores 1, 1 (call) and 0, 0 (answer): deviation sqrt(1/3), gap one in deviations."""
    group = [CALL, CALL, ANSWER, ANSWER]
    one = 1 / (math.sqrt(1 / 3) + 1e-4)
    worth = weigh(group, "cross_entropy")
    assert [w.decision for w in worth] == pytest.approx([one, one, 0, 0])
    assert [w.after for w in worth] == pytest.approx([0, 0, 0, 0])
    exact = weigh(group, "exact")
    assert [w.decision for w in exact] == pytest.approx(
        [one / 2 * p for p in (0.01, 0.01, -0.99, -0.99)]
    )
    sampled = weigh(group, "sampled")
    assert [w.decision for w in sampled] == pytest.approx([one / 2, one / 2, -one / 2, -one / 2])


def test_scores_are_divided_by_what_the_run_says(tmp_path: Path) -> None:
    """By hand; and the same steps by the group's deviation and by none learn other weights."""
    group = [CALL, CALL, ANSWER, ANSWER]
    assert [w.decision for w in weigh(group, "sampled", deviation=2.0)] == [
        0.25,
        0.25,
        -0.25,
        -0.25,
    ]
    weights = []
    for scale in ("group", "none"):
        out = tmp_path / scale
        settings = ("train.steps=2", "train.counterfactual={call=2,answer=1}", "train.group=4")
        rl(recipe_of(out, *settings, f"train.scale={scale}"))
        weights.append(load_file(out / "model" / "model.safetensors"))
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_an_arm_counts_as_much_as_the_other_whatever_its_size() -> None:
    group = [CALL, ANSWER, ANSWER, ANSWER]
    better = weigh([m._replace(score=1 - m.score) for m in group], "cross_entropy")
    assert better[0].decision == 0
    assert sum(w.decision for w in better) == pytest.approx(
        weigh(group, "cross_entropy")[0].decision
    )


def test_what_follows_is_compared_within_its_own_arm() -> None:
    group = [CALL, CALL._replace(score=0.0), ANSWER, ANSWER]
    deviation = float(torch.tensor([1.0, 0, 0, 0]).std()) + 1e-4
    assert [w.after for w in weigh(group, "cross_entropy")] == pytest.approx(
        [0.5 / deviation, -0.5 / deviation, 0, 0]
    )


@pytest.mark.parametrize(
    "group",
    [
        [CALL, CALL._replace(score=0.5)],
        [CALL, ANSWER._replace(score=NAN)],
        [CALL, Member(0.0, None, 0.0)],
    ],
)
def test_without_both_arms_the_decision_is_worth_nothing(group: list[Member]) -> None:
    assert [w.decision for w in weigh(group, "cross_entropy")] == [0.0, 0.0]


def test_an_episode_without_a_score_is_worth_nothing() -> None:
    assert weigh([CALL, ANSWER, CALL._replace(score=NAN)], "sampled")[2] == Worth(0.0, 0.0)


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
    ("text", "arm", "before"),
    [
        ("<think>The red object.</think><answer>1</answer>", "answer", "</think>"),
        ("<think>The red object.</think><tool_call>{", "call", "</think>"),
        ("<tool_call>{", "call", None),
        ("<answer>1</answer>", "answer", None),
        ("<think>The red object.</think>[", None, "</think>"),
    ],
)
def test_the_deciding_token_is_the_first_after_the_thought(
    loaded: LoadedModel, text: str, arm: str | None, before: str | None
) -> None:
    trajectory, options = episode(loaded, text), Counterfactual()
    place = deciding_place(loaded.renderer, trajectory)
    ids = trajectory.turns[0].completion.token_ids
    assert place is not None
    assert ids is not None
    assert (loaded.renderer.text_of(ids[place - 1]) if place else None) == before
    member = member_of(loaded.renderer, trajectory, options)
    assert (member.arm, member.probability) == (arm, pytest.approx(math.exp(-0.5)))

    rendered = loaded.renderer.render(trajectory, generation=False)
    values, learned = spread(loaded.renderer, trajectory, rendered, Worth(7.0, 3.0), options)
    start = rendered.prompt_len
    assert values[start + place] == 7.0
    assert set(values[start + place + 1 :]) == {3.0}
    assert learned[start : start + len(ids)] == [False] * place + [True] * (len(ids) - place)
    _, all_of_it = spread(
        loaded.renderer, trajectory, rendered, Worth(7, 3), Counterfactual(learn_thought=True)
    )
    assert all_of_it == rendered.sampled


def test_a_thought_that_never_ends_decides_nothing(loaded: LoadedModel) -> None:
    trajectory = episode(loaded, "<think>The red object.")
    assert deciding_place(loaded.renderer, trajectory) is None
    assert member_of(loaded.renderer, trajectory, Counterfactual()).arm is None


def test_a_run_plays_every_question_both_ways(tmp_path: Path) -> None:
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
    assert {"tool_call_rate/read", "tool_call_rate/easy", "thought_iou"} <= row.keys()
