"""Counterfactual groups: some of a group must call, some must answer, the rest do as they like.

A tool that is hardly ever called is hardly ever found to be worth it, and one that is always called
is never found to be superfluous. Here every prompt is attempted both ways, after each episode's
own thought. The tokens that decide (the first after the thought, see `decision`) are trained
towards the move that did better on this prompt; what follows them, by the advantage among those
that made the same move; the thought not at all unless `learn_thought`. No trajectory ever shows
when to call.

Related: HGPO (arXiv 2505.14631) forces modes of thinking in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import NamedTuple

import torch

from saccade.dialects.base import Move, Seams
from saccade.dialects.deepeyes_v2 import PYTHON
from saccade.env import Environment
from saccade.render.qwen_vl import QwenVLRenderer, Rendered
from saccade.train.advantages import EPSILON, Group, deviations
from saccade.train.credit.base import Credited
from saccade.train.credit.decision import Decision, decision_of, openings_of
from saccade.train.recipe import Counterfactual
from saccade.train.sample import TrainingSample
from saccade.types import Trajectory


class Member(NamedTuple):
    """An episode of a group, as far as its first move goes."""

    reward: float
    """NaN if there is none."""
    move: Move | None
    """None if it neither called nor answered in its first turn."""
    probability: float
    """Probability of the tokens that decided."""


class MoveAdvantage(NamedTuple):
    """By what the parts of a member are trained."""

    decision: float
    """Advantage of the tokens that decide."""
    after: float
    """Advantage of those after them."""


class CounterfactualCredit:
    """Credits the first move with what it gained over the other one."""

    def __init__(
        self, options: Counterfactual, renderer: QwenVLRenderer, environment: Environment
    ) -> None:
        """Prepare.

        Raises:
            ConfigError: no text of the dialect opens an answer, so that none can be forced.
        """
        self._options, self._renderer = options, renderer
        self._seams = environment.dialect.seams
        openings_of(self._seams)
        self._calls = _calls(self._seams, [tool.spec.name for tool in environment.tools])

    def forced_move(self, member: int) -> Move | None:
        """The first members call, in turn by every kind of call that there is; the next answer."""
        call, answer = self._options.call, self._options.answer
        if member < call:
            return self._calls[member % len(self._calls)]
        return "answer" if member < call + answer else None

    async def assign(
        self, groups_P: Sequence[Group], advantages_P_G: torch.Tensor, scale: float | None
    ) -> Credited:
        """The advantages of the episodes are not used: each move is compared for itself."""
        samples_P_G = []
        for group in groups_P:
            decisions_G = [decision_of(self._renderer, self._seams, t) for t in group.trajectories]
            members_G = [
                member_of(trajectory, decision)
                for trajectory, decision in zip(group.trajectories, decisions_G, strict=True)
            ]
            found_G = move_advantages(members_G, self._options.decision, scale=scale)
            samples_P_G.append(
                [
                    move_sample(
                        self._renderer.render(trajectory, generation=False),
                        decision,
                        advantage,
                        learn_thought=self._options.learn_thought,
                    )
                    for trajectory, decision, advantage in zip(
                        group.trajectories, decisions_G, found_G, strict=True
                    )
                ]
            )
        return Credited(samples_P_G, {})


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


def member_of(trajectory: Trajectory, decision: Decision | None) -> Member:
    """Which move an episode made, and how likely that was."""
    reward = float("nan") if trajectory.score is None else trajectory.score.value
    if decision is None:
        return Member(reward, None, 0.0)
    log_probs = (trajectory.turns[0].completion.log_probs or ())[decision.start : decision.end]
    return Member(reward, decision.move, exp(sum(log_probs)) if log_probs else 0.0)


def move_sample(
    rendered: Rendered,
    decision: Decision | None,
    advantage: MoveAdvantage,
    *,
    learn_thought: bool,
) -> TrainingSample:
    """A training sample in which the tokens that decide have an advantage of their own.

    Args:
        rendered: The episode.
        decision: Where in the first turn they are, if anywhere.
        advantage: Theirs, and that of what follows them.
        learn_thought: Whether what stands before them is trained on.
    """
    advantages_T = [advantage.after] * len(rendered.ids)
    trained_T = list(rendered.sampled)
    if decision is not None:
        start, end = (rendered.prompt_len + place for place in decision[:2])
        advantages_T[start:end] = [advantage.decision] * (end - start)
        if not learn_thought:
            trained_T[:start] = [False] * start
    return TrainingSample(rendered, trained_T, advantages_T)


_OTHER: dict[Move, Move] = {"call": "answer", "answer": "call"}


def _calls(seams: Seams, tools: Sequence[str]) -> tuple[Move, ...]:
    """How these tools are called: Python by a cell where the dialect has cells, others by JSON."""
    cells = seams.code is not None and PYTHON in tools
    others = [name for name in tools if not (cells and name == PYTHON)]
    moves: list[Move] = ["call"] if others or not cells else []
    return (*moves, "code") if cells else ("call",)


def _mean(rewards: Sequence[float]) -> float | None:
    known = [reward for reward in rewards if reward == reward]
    return sum(known) / len(known) if known else None
