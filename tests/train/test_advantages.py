"""What is trained on of which episode; oracles are written out by hand."""

import math

import pytest
import torch
from building import a_result, a_trajectory, a_turn

from saccade.train.advantages import (
    EPSILON,
    Group,
    advantages,
    deviations,
    filled_up,
    group_metrics,
    group_rewards,
    select_groups,
    shared_scale,
    trained_turns,
)
from saccade.train.recipe import PRESETS, RLRecipe, Training
from saccade.types import (
    StopReason,
    Task,
    Trajectory,
)

NAN = math.nan


def test_advantages_are_rewards_about_their_mean_in_deviations() -> None:
    advantages_P_G = advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0]]))
    deviation = math.sqrt(4 * 0.25 / 3)
    assert advantages_P_G[0].tolist() == pytest.approx(
        [0.5 / (deviation + 1e-4) * s for s in (1, -1, -1, 1)]
    )
    assert advantages_P_G[1].tolist() == [0.0] * 4


def test_an_episode_without_a_reward_is_in_neither_mean_nor_deviation() -> None:
    with_nan = advantages(torch.tensor([[1.0, NAN, 0.0, NAN]]))
    without = advantages(torch.tensor([[1.0, 0.0]]))
    assert with_nan[0, [0, 2]].tolist() == without[0].tolist()
    assert with_nan[0, [1, 3]].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("rewards_G", [[NAN, NAN, NAN], [1.0, NAN, NAN]])
def test_a_group_with_fewer_than_two_rewards_says_nothing(rewards_G: list[float]) -> None:
    rewards_P_G = torch.tensor([rewards_G])
    assert advantages(rewards_P_G).tolist() == [[0.0] * 3]
    assert deviations(rewards_P_G).tolist() == [0.0]
    assert select_groups(rewards_P_G, "all", at_most=1) == []


def test_other_scales() -> None:
    rewards_P_G = torch.tensor([[1.0, 0.0], [0.5, 0.25]])
    assert shared_scale(rewards_P_G, "group") is None
    none = shared_scale(rewards_P_G, "none")
    assert advantages(rewards_P_G, none).tolist() == [[0.5, -0.5], [0.125, -0.125]]
    batch = shared_scale(rewards_P_G, "batch")
    assert batch == pytest.approx(float(rewards_P_G.std()) + EPSILON)
    by_batch = advantages(rewards_P_G, 0.5 + EPSILON)
    assert by_batch[1].tolist() == pytest.approx([0.125 / 0.5001, -0.125 / 0.5001])


def test_which_groups_are_trained_on() -> None:
    flat, small, large, lost = [1.0, 1.0], [1.0, 0.9], [2.0, 0.0], [1.0, NAN]
    rewards_P_G = torch.tensor([flat, small, lost, large])
    assert select_groups(rewards_P_G, "all", at_most=3) == [0, 1, 3]
    assert select_groups(rewards_P_G, "all", at_most=2) == [0, 1]
    assert select_groups(rewards_P_G, "varied", at_most=3) == [1, 3]
    assert select_groups(rewards_P_G, "most_varied", at_most=3) == [3, 1]
    assert select_groups(rewards_P_G, "most_varied", at_most=1) == [3]
    assert filled_up([3, 1], groups=4, size=3) == [3, 1, 0]
    assert filled_up([3, 1, 0], groups=4, size=3) == [3, 1, 0]
    assert group_metrics(rewards_P_G, trained=2) == {
        "groups/sampled": 4, "groups/trained": 2, "groups/unscored": 1, "groups/zero_variance": 2,
    }  # fmt: skip


def episode(stop: StopReason, calls: str = "", score: float | None = 1.0) -> Trajectory:
    """`calls`: a letter a turn, o for a call that worked and x for one that failed."""
    turns = [a_turn(a_result(error=None if call == "o" else "no")) for call in calls]
    return a_trajectory(*turns, a_turn(answer="1"), stop=stop, score=score)


def test_rewards_of_a_group_are_a_row() -> None:
    task, stop = Task(id="t", prompt=("?",)), StopReason.ANSWER
    groups_P = [
        Group(task, (episode(stop, score=1.0), episode(stop, score=None))),
        Group(task, (episode(stop, score=0.5), episode(stop, score=-0.5))),
    ]
    rewards_P_G = group_rewards(groups_P)
    assert rewards_P_G.nan_to_num(7.0).tolist() == [[1.0, 7.0], [0.5, -0.5]]
    assert rewards_P_G.dtype == torch.float32


def test_an_unscored_episode_is_not_trained_on() -> None:
    for stop in (StopReason.ABORTED, StopReason.TIMEOUT, StopReason.ANSWER):
        assert trained_turns(episode(stop, "o", score=None), (), 3) == 0
    assert trained_turns(episode(StopReason.ANSWER, "o"), (), 3) == 2


def test_over_long_and_over_turn_are_left_out_where_asked() -> None:
    long, turns = episode(StopReason.MAX_TOKENS), episode(StopReason.MAX_TURNS)
    assert [trained_turns(t, (), 3) for t in (long, turns)] == [1, 1]
    assert [trained_turns(t, ("over_long",), 3) for t in (long, turns)] == [0, 1]
    assert [trained_turns(t, ("over_turn",), 3) for t in (long, turns)] == [1, 0]


@pytest.mark.parametrize(
    ("calls", "trained"), [("oxxo", 5), ("xxx", 3), ("oxxxo", 4), ("xoxxx", 5), ("", 1)]
)
def test_what_follows_a_fatal_tool_failure_is_left_out(calls: str, trained: int) -> None:
    trajectory = episode(StopReason.ANSWER, calls)
    assert trained_turns(trajectory, ("tool_failure",), 3) == trained
    assert trained_turns(trajectory, (), 3) == len(calls) + 1


def test_a_cell_that_raised_is_a_failed_call() -> None:
    raised = a_result("ZeroDivisionError").model_copy(update={"outcome": "failed"})
    trajectory = a_trajectory(*[a_turn(raised)] * 3, a_turn(answer="7"), score=1.0)
    assert trained_turns(trajectory, ("tool_failure",), 3) == 3


def test_the_published_algorithm_is_the_default() -> None:
    """DeepEyes, training script: examples/agent/final_merged_v1v8_thinklite.sh."""
    made = Training()
    assert (made.group, made.prompts, made.updates) == (16, 256, 1)
    assert (made.learning_rate, made.kl, made.clip_range, made.clip_range_high) == (
        1e-6,
        0.0,
        0.2,
        None,
    )
    assert (made.loss, made.scale, made.select, made.mask) == ("dapo", "group", "all", ())


def test_a_preset_is_overridden_by_what_is_said() -> None:
    made = Training.model_validate({"preset": "dapo", "group": 4, "prompts": 16})
    assert (made.clip_range_high, made.select, made.mask, made.group) == (
        0.28,
        "varied",
        ("over_long",),
        4,
    )
    for name in PRESETS:
        Training.model_validate({"preset": name})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"preset": "deepeye"}}, "did you mean 'deepeyes'"),
        ({"train": {"prompts": 8, "updates": 3}}, "cannot be shared among 3 updates"),
        ({"train": {"group": 1}}, "greater than or equal to 2"),
        ({"policy": {"kind": "replay"}}, "leave `policy` out"),
        ({"sampling": {"temperature": 0}}, "a group of greedy episodes is one episode"),
        ({"sampling": {"temperature": 1, "top_p": 0.9}}, "make another policy act"),
        ({"train": {"prompts": 8, "updates": 4, "save_steps": 6}}, "save_steps: 6 is no multiple"),
        (
            {"train": {"prompts": 8, "updates": 4, "steps": 6, "save_steps": 4}},
            "error, steps: 6 is no multiple",
        ),
    ],
)
def test_bad_options_are_explained(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RLRecipe.model_validate({"model": "m", "out": "o", **changes})
