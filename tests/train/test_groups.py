"""What is learned from which episode; oracles are written out by hand."""

import math

import pytest
import torch

from saccade.nano.spec import environment
from saccade.train.groups import advantages, deviations, learned_turns, selected
from saccade.train.options import PRESETS, RLRecipe, Training
from saccade.types import (
    Action,
    Completion,
    Score,
    StopReason,
    Task,
    ToolCall,
    ToolResult,
    Trajectory,
    Turn,
)

NAN = math.nan


def test_advantages_are_scores_about_their_mean_in_deviations() -> None:
    worth = advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0]]), "group")
    deviation = math.sqrt(4 * 0.25 / 3)
    assert worth[0].tolist() == pytest.approx(
        [0.5 / (deviation + 1e-4) * s for s in (1, -1, -1, 1)]
    )
    assert worth[1].tolist() == [0.0] * 4


def test_an_episode_without_a_score_is_in_neither_mean_nor_deviation() -> None:
    with_nan = advantages(torch.tensor([[1.0, NAN, 0.0, NAN]]), "group")
    without = advantages(torch.tensor([[1.0, 0.0]]), "group")
    assert with_nan[0, [0, 2]].tolist() == without[0].tolist()
    assert with_nan[0, [1, 3]].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("scores", [[NAN, NAN, NAN], [1.0, NAN, NAN]])
def test_a_group_with_fewer_than_two_scores_says_nothing(scores: list[float]) -> None:
    values = torch.tensor([scores])
    assert advantages(values, "group").tolist() == [[0.0] * 3]
    assert deviations(values).tolist() == [0.0]
    assert selected(values, 1, "all") == []


def test_other_scales() -> None:
    values = torch.tensor([[1.0, 0.0], [0.5, 0.25]])
    assert advantages(values, "none").tolist() == [[0.5, -0.5], [0.125, -0.125]]
    by_batch = advantages(values, "batch", batch=0.5)
    assert by_batch[1].tolist() == pytest.approx([0.125 / 0.5001, -0.125 / 0.5001])


def test_which_groups_are_learned_from() -> None:
    flat, small, large, lost = [1.0, 1.0], [1.0, 0.9], [2.0, 0.0], [1.0, NAN]
    values = torch.tensor([flat, small, lost, large])
    assert selected(values, 3, "all") == [0, 1, 3]
    assert selected(values, 2, "all") == [0, 1]
    assert selected(values, 3, "varied") == [1, 3]
    assert selected(values, 3, "most_varied") == [3, 1]
    assert selected(values, 1, "most_varied") == [3]


def episode(stop: StopReason, calls: str = "", score: float | None = 1.0) -> Trajectory:
    """`calls`: a letter a turn, o for a call that worked and x for one that failed."""
    begun = environment().begin(Task(id="t", prompt=("?",)))
    call = ToolCall(name="z")
    results = [ToolResult(call=call, error=None if c == "o" else "no") for c in calls]
    turns = tuple(
        Turn(completion=Completion(text=""), action=Action(), results=(result,))
        for result in results
    )
    last = Turn(completion=Completion(text=""), action=Action(answer="1"))
    scored = None if score is None else Score(value=score)
    return begun.model_copy(update={"turns": (*turns, last), "stop": stop, "score": scored})


def test_an_unscored_episode_is_not_learned_from() -> None:
    for stop in (StopReason.ABORTED, StopReason.TIMEOUT, StopReason.ANSWER):
        assert learned_turns(episode(stop, "o", score=None), (), 3) == 0
    assert learned_turns(episode(StopReason.ANSWER, "o"), (), 3) == 2


def test_over_long_and_over_turn_are_left_out_where_asked() -> None:
    long, turns = episode(StopReason.MAX_TOKENS), episode(StopReason.MAX_TURNS)
    assert [learned_turns(t, (), 3) for t in (long, turns)] == [1, 1]
    assert [learned_turns(t, ("over_long",), 3) for t in (long, turns)] == [0, 1]
    assert [learned_turns(t, ("over_turn",), 3) for t in (long, turns)] == [1, 0]


@pytest.mark.parametrize(
    ("calls", "learned"), [("oxxo", 5), ("xxx", 3), ("oxxxo", 4), ("xoxxx", 5), ("", 1)]
)
def test_what_follows_a_fatal_tool_failure_is_left_out(calls: str, learned: int) -> None:
    trajectory = episode(StopReason.ANSWER, calls)
    assert learned_turns(trajectory, ("tool_failure",), 3) == learned
    assert learned_turns(trajectory, (), 3) == len(calls) + 1


def test_the_published_algorithm_is_the_default() -> None:
    """DeepEyes, training script: examples/agent/final_merged_v1v8_thinklite.sh."""
    made = Training()
    assert (made.group, made.prompts, made.updates) == (16, 256, 1)
    assert (made.learning_rate, made.kl, made.clip, made.clip_high) == (1e-6, 0.0, 0.2, None)
    assert (made.loss, made.scale, made.select, made.mask) == ("dapo", "group", "all", ())


def test_a_preset_is_overridden_by_what_is_said() -> None:
    made = Training.model_validate({"preset": "dapo", "group": 4, "prompts": 16})
    assert (made.clip_high, made.select, made.mask, made.group) == (
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
        ({"train": {"prompts": 8, "updates": 4, "save_steps": 6}}, "no multiple of 4 updates"),
    ],
)
def test_bad_options_are_explained(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RLRecipe.model_validate({"model": "m", "out": "o", **changes})
