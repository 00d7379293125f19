"""Counterfactual groups: who is forced, what trains the tokens that decide, what is left alone."""

import math
from pathlib import Path

import pytest
import torch
from building import a_turn
from safetensors.torch import load_file
from scripted import Cell
from trainings import metrics, recipe_of

from saccade.dialects.base import Dialect, Move
from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.embedded import folder_of
from saccade.env import Environment
from saccade.images.geometry import PixelBudget
from saccade.nano.spec import ZOOM
from saccade.render.qwen_vl import QwenVLRenderer, load_renderer
from saccade.runs.folder import RunReader
from saccade.train.credit.counterfactual import (
    Counterfactual,
    CounterfactualCredit,
    Member,
    MoveAdvantage,
    member_of,
    move_advantages,
    move_sample,
)
from saccade.train.credit.decision import decision_of
from saccade.train.recipe import Training
from saccade.train.rl import rl
from saccade.types import Score, StopReason, Tool, Trajectory
from saccade.world import tasks

NAN = math.nan
CALL, ANSWER = Member(1.0, "call", 0.01), Member(0.0, "answer", 0.99)


@pytest.mark.parametrize(
    ("dialect", "tools", "calls"),
    [
        (DeepEyes(), [ZOOM], ["call", "call"]),
        (DeepEyesV2(), [ZOOM], ["call", "call"]),
        (DeepEyesV2(), [Cell()], ["code", "code"]),
        (DeepEyesV2(), [ZOOM, Cell()], ["call", "code"]),
        (DeepEyes(), [Cell()], ["call", "call"]),
    ],
)
def test_the_first_members_are_forced(
    dialect: Dialect, tools: list[Tool], calls: list[Move]
) -> None:
    """Where there are two ways to call, they take turns."""
    options, env = Counterfactual(call=2, answer=1), Environment(dialect, tools)
    credit = CounterfactualCredit(options, load_renderer(folder_of("nano-base")), env)
    moves = [credit.forced_move(member) for member in range(5)]
    assert moves == [*calls, "answer", None, None]
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


@pytest.fixture
def renderer(request: pytest.FixtureRequest) -> QwenVLRenderer:
    """Of an embedded model, whose tags are tokens, or of a tiny one with the tokens of Qwen."""
    name: str = request.param
    if name.startswith("nano"):
        return load_renderer(folder_of(name))
    return load_renderer(request.getfixturevalue(name))


def episode(renderer: QwenVLRenderer, text: str, prefix: str = "") -> Trajectory:
    factor = renderer.rule.factor
    view = PixelBudget(factor=factor, max_pixels=4 * factor**2)
    begun = Environment(DeepEyes(), [ZOOM], view=view).begin(
        next(tasks("read", n=1, seed=2, split="dev"))
    )
    ids = (*renderer.encode(text), renderer.end_of_turn)
    turn = a_turn(text=text, prefix=prefix, token_ids=ids, log_probs=(-0.5,) * len(ids))
    return begun.model_copy(
        update={"turns": (turn,), "stop": StopReason.ANSWER, "score": Score(value=1.0)}
    )


@pytest.mark.parametrize(
    ("renderer", "dialect", "text", "move", "decided"),
    [
        (name, dialect, opened + text, move, decided)
        for name, dialect, opened, cases in (
            ("nano-base", DeepEyes(), "<think>", 3),  # its tokens have no line break
            ("tiny_qwen2_5_vl", DeepEyes(), "<think>", 4),
            ("tiny_qwen3_vl", DeepEyesV2(), "", 5),
        )
        for text, move, decided in (
            ("The red object.</think><answer>1</answer>", "answer", "<answer>"),
            ("The red object.</think><tool_call>{", "call", "<tool_call>"),
            ("The red object.</think>[", None, "["),
            ("The red object.</think>\n<tool_call>{", "call", "<tool_call>"),
            ("The red object.</think><code>\n```python\n", "call", "<code>"),
        )[:cases]
    ],
    indirect=["renderer"],
)
def test_the_first_tokens_after_the_thought_decide(
    renderer: QwenVLRenderer, dialect: Dialect, text: str, move: str | None, decided: str
) -> None:
    """As many as the opening shares with one of the other move, and one more."""
    trajectory = episode(renderer, text, dialect.prefix)
    decision = decision_of(renderer, dialect.seams, trajectory)
    ids = trajectory.turns[0].completion.token_ids
    assert decision is not None
    assert ids is not None
    start, end, found = decision
    assert found == move
    assert renderer.decode(ids[:start]) + renderer.decode(ids[start:-1]) == text
    assert renderer.decode(ids[:start]).rstrip().endswith("</think>")
    written = renderer.decode(ids[start:end])
    assert decided.startswith(written)
    calls = [seam.opening for seam in (dialect.seams.call, dialect.seams.code) if seam]
    others = {"call": ["<answer>"], "answer": calls}.get(move or "", [])
    for other in map(renderer.encode, others):
        assert list(ids[start:end]) != other[: end - start]
    member = member_of(trajectory, decision)
    assert (member.move, member.probability) == (
        move,
        pytest.approx(math.exp(-0.5 * (end - start))),
    )

    rendered = renderer.render(trajectory, generation=False)
    sample = move_sample(rendered, decision, MoveAdvantage(7.0, 3.0), learn_thought=False)
    first = rendered.prompt_len
    assert set(sample.advantages_T[first + start : first + end]) == {7.0}
    assert set(sample.advantages_T[first + end :]) == {3.0}
    own = sample.trained_T[first : first + len(ids)]
    assert own == [False] * start + [True] * (len(ids) - start)
    with_thought = move_sample(rendered, decision, MoveAdvantage(7, 3), learn_thought=True)
    assert with_thought.trained_T == rendered.sampled


@pytest.mark.parametrize("renderer", ["nano-base", "tiny_qwen2_5_vl"], indirect=True)
@pytest.mark.parametrize("text", ["<tool_call>{", "<answer>1</answer>"])
def test_without_a_thought_the_first_token_decides(renderer: QwenVLRenderer, text: str) -> None:
    decision = decision_of(renderer, DeepEyes().seams, episode(renderer, text))
    assert decision is not None
    assert decision[:2] == (0, 1)
    assert decision.move == ("call" if "call" in text else "answer")


@pytest.mark.parametrize("renderer", ["nano-base", "tiny_qwen2_5_vl"], indirect=True)
@pytest.mark.parametrize("dialect", [DeepEyes(), DeepEyesV2()], ids=lambda d: d.name)
def test_a_thought_that_never_ends_decides_nothing(
    renderer: QwenVLRenderer, dialect: Dialect
) -> None:
    text = "<think>The red object.".removeprefix(dialect.prefix)
    trajectory = episode(renderer, text, dialect.prefix)
    decision = decision_of(renderer, dialect.seams, trajectory)
    assert decision is None
    assert member_of(trajectory, decision).move is None


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
    assert {"families/read/tool_call_rate", "families/easy/tool_calls", "thought_iou"} <= row.keys()
