"""Counterfactual groups: some of a group must call, some must answer, the rest do as they like.

A tool that is hardly ever called is hardly ever found to be worth it, and one that is always called
is never found to be superfluous. Here every prompt is attempted both ways, after each episode's
own thought. The token that decides (the first after the thought) is trained towards the move that
did better on this prompt; what follows it, by the advantage among those that made the same move;
the thought not at all unless `learn_thought`. No trajectory ever shows when to call.

Related: HGPO (arXiv 2505.14631) forces modes of thinking in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import Literal, NamedTuple

import torch
from pydantic import Field

from saccade.render.qwen_vl import QwenVLRenderer, Rendered
from saccade.train.advantages import EPSILON, Group, deviations
from saccade.train.credit.base import Credited
from saccade.train.sample import TrainingSample
from saccade.types import Record, Trajectory

Move = Literal["call", "answer"]


class Counterfactual(Record):
    """The `train.counterfactual` section of a run file."""

    call: int = Field(default=2, ge=1)
    """Number of members of a group that must call."""
    answer: int = Field(default=2, ge=1)
    """Number of members of a group that must answer."""
    decision: Literal["cross_entropy", "exact", "sampled"] = "cross_entropy"
    """How the deciding token is trained, given that the better move leads by a gap (in deviations):
    `cross_entropy` raises its log-probability in the better move by the gap; `exact` follows the
    gradient of the expected reward, the gap times p (1 - p); `sampled` treats forced tokens as if
    they had been sampled, half the gap up or down."""
    learn_thought: bool = False
    """Whether the thought is trained by the advantage of what followed it."""
    call_text: str = "<tool_call>"
    answer_text: str = "<answer>"

    def force(self, member: int) -> str:
        """What a member of a group must go on with after its thought; empty if it is free."""
        if member < self.call:
            return self.call_text
        return self.answer_text if member < self.call + self.answer else ""


class Member(NamedTuple):
    """An episode of a group, as far as its first move goes."""

    reward: float
    """NaN if there is none."""
    move: Move | None
    """None if it neither called nor answered in its first turn."""
    probability: float
    """Of the token that decided."""


class MoveAdvantage(NamedTuple):
    """By what the parts of a member are trained."""

    decision: float
    """Advantage of the deciding token."""
    after: float
    """Advantage of the tokens after it."""


class CounterfactualCredit:
    """Credits the first move with what it gained over the other one."""

    def __init__(self, options: Counterfactual, renderer: QwenVLRenderer) -> None:
        self._options, self._renderer = options, renderer

    def force(self, member: int) -> str:
        return self._options.force(member)

    async def assign(
        self, groups_P: Sequence[Group], advantages_P_G: torch.Tensor, scale: float | None
    ) -> Credited:
        """The advantages of the episodes are not used: each move is compared for itself."""
        samples_P_G = []
        for group in groups_P:
            members_G = [member_of(self._renderer, t, self._options) for t in group.trajectories]
            found_G = move_advantages(members_G, self._options.decision, scale=scale)
            samples_P_G.append(
                [
                    self._sample(trajectory, advantage)
                    for trajectory, advantage in zip(group.trajectories, found_G, strict=True)
                ]
            )
        return Credited(samples_P_G, {})

    def _sample(self, trajectory: Trajectory, advantage: MoveAdvantage) -> TrainingSample:
        rendered = self._renderer.render(trajectory, generation=False)
        place = deciding_place(self._renderer, trajectory)
        return move_sample(rendered, place, advantage, learn_thought=self._options.learn_thought)


def move_advantages(
    members_G: Sequence[Member], decision: str, *, scale: float | None = None
) -> list[MoveAdvantage]:
    """What a group says about the move of each of its members.

    Without rewards of both moves the decision has the advantage 0, as has all of an episode without
    a reward.

    Args:
        members_G: The group.
        decision: See `Counterfactual.decision`.
        scale: What differences of rewards are divided by; the deviation of the group if left out.
            That makes a small difference large where nothing else differs: a cost where every
            answer is wrong.
    """
    if scale is None:
        rewards_1_G = torch.tensor([[m.reward for m in members_G]], dtype=torch.float32)
        scale = float(deviations(rewards_1_G)) + EPSILON
    means = {
        move: _mean([m.reward for m in members_G if m.move == move]) for move in ("call", "answer")
    }
    whole = _mean([m.reward for m in members_G])
    found_G = []
    for member in members_G:
        own = whole if member.move is None else means[member.move]
        if own is None or member.reward != member.reward:
            found_G.append(MoveAdvantage(0.0, 0.0))
            continue
        after = (member.reward - own) / scale
        other = None if member.move is None else means[_OTHER[member.move]]
        gap = 0.0 if other is None else (own - other) / scale
        size = sum(m.move == member.move and m.reward == m.reward for m in members_G)
        share = len(members_G) / 2 / size
        if decision == "cross_entropy":
            weight = max(gap, 0.0) * share
        elif decision == "exact":
            weight = gap / 2 * member.probability * share
        else:
            weight = gap / 2
        found_G.append(MoveAdvantage(weight, after))
    return found_G


def deciding_place(renderer: QwenVLRenderer, trajectory: Trajectory) -> int | None:
    """Where in the ids of the first turn the first one after the thought is."""
    ids = trajectory.turns[0].completion.token_ids if trajectory.turns else None
    if not ids:
        return None
    opening, closing = (renderer.encode(tag) for tag in ("<think>", "</think>"))
    if list(ids[: len(opening)]) != opening:
        return 0
    for end in range(len(opening), len(ids)):
        if list(ids[end : end + len(closing)]) == closing:
            return end + len(closing) if end + len(closing) < len(ids) else None
    return None


def member_of(renderer: QwenVLRenderer, trajectory: Trajectory, options: Counterfactual) -> Member:
    """Which move an episode made, and how likely that was."""
    reward = float("nan") if trajectory.score is None else trajectory.score.value
    place = deciding_place(renderer, trajectory)
    if place is None:
        return Member(reward, None, 0.0)
    completion = trajectory.turns[0].completion
    token, known = (completion.token_ids or ())[place], completion.log_probs or ()
    firsts: dict[int, Move] = {
        renderer.encode(options.call_text)[0]: "call",
        renderer.encode(options.answer_text)[0]: "answer",
    }
    return Member(reward, firsts.get(token), exp(known[place]) if known else 0.0)


def move_sample(
    rendered: Rendered, place: int | None, advantage: MoveAdvantage, *, learn_thought: bool
) -> TrainingSample:
    """A training sample in which the deciding token has an advantage of its own.

    Args:
        rendered: The episode.
        place: Where in the ids of the first turn the deciding token is, if anywhere.
        advantage: Of the deciding token and of what follows it.
        learn_thought: Whether what stands before the deciding token is trained on.
    """
    start = rendered.prompt_len + (place or 0)
    advantages_T = [advantage.after] * len(rendered.ids)
    trained_T = list(rendered.sampled)
    if place is not None:
        advantages_T[start] = advantage.decision
        if not learn_thought:
            trained_T[:start] = [False] * start
    return TrainingSample(rendered, trained_T, advantages_T)


_OTHER: dict[Move, Move] = {"call": "answer", "answer": "call"}


def _mean(rewards: Sequence[float]) -> float | None:
    known = [reward for reward in rewards if reward == reward]
    return sum(known) / len(known) if known else None
