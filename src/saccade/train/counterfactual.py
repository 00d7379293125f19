"""Counterfactual groups: some of a group must call, some must answer, the rest do as they like.

A tool that is hardly ever called is hardly ever found to be worth it, and one that is always called
is never found to be superfluous. Here every question is attempted both ways, after each episode's
own thought. The token that decides (the first after the thought) is trained towards the arm that
did better on this question; what follows it, by the advantage within its own arm; the thought not
at all unless `learn_thought`. No trajectory ever shows when to call.

Related: HGPO (arXiv 2505.14631) forces modes of thinking in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import Literal, NamedTuple

import torch
from pydantic import Field

from saccade.render.qwen_vl import QwenVLRenderer, Rendered
from saccade.train.groups import EPSILON, deviations
from saccade.types import Record, Trajectory

Arm = Literal["call", "answer"]


class Counterfactual(Record):
    """The `train.counterfactual` section of a run file."""

    call: int = Field(default=2, ge=1)
    """Members of a group that must call."""
    answer: int = Field(default=2, ge=1)
    """Members that must answer."""
    decision: Literal["cross_entropy", "exact", "sampled"] = "cross_entropy"
    """How the deciding token is trained, given that the better arm leads by a gap (in deviations):
    `cross_entropy` raises its log-probability in the better arm by the gap; `exact` follows the
    gradient of the expected score, the gap times p (1 - p); `sampled` treats forced tokens as if
    they had been sampled, half the gap up or down."""
    learn_thought: bool = False
    """Train the thought by the advantage of what followed, as everything else."""
    call_text: str = "<tool_call>"
    answer_text: str = "<answer>"

    def force(self, member: int) -> str:
        """What a member of a group must go on with after its thought; empty if it is free."""
        if member < self.call:
            return self.call_text
        return self.answer_text if member < self.call + self.answer else ""


class Member(NamedTuple):
    """An episode of a group, as far as its decision goes."""

    score: float
    """NaN if there is none."""
    arm: Arm | None
    """None if it neither called nor answered in its first turn."""
    probability: float
    """Of the token that decided."""


class Worth(NamedTuple):
    """What the parts of a member are worth."""

    decision: float
    after: float
    """Of the tokens after the decision."""


def weigh(
    members: Sequence[Member], decision: str, *, deviation: float | None = None
) -> list[Worth]:
    """What a group says about each of its members.

    Without scores in both arms the decision is worth 0, as is all of an episode without a score.

    Args:
        members: The group.
        decision: See `Counterfactual.decision`.
        deviation: What scores are divided by; that of the group if left out. It makes a small
            difference large where nothing else differs, a cost where every answer is wrong.
    """
    if deviation is None:
        values = torch.tensor([[member.score for member in members]], dtype=torch.float32)
        deviation = float(deviations(values)) + EPSILON
    means = {arm: _mean([m.score for m in members if m.arm == arm]) for arm in ("call", "answer")}
    whole = _mean([m.score for m in members])
    found = []
    for member in members:
        own = whole if member.arm is None else means[member.arm]
        if own is None or member.score != member.score:
            found.append(Worth(0.0, 0.0))
            continue
        after = (member.score - own) / deviation
        other = None if member.arm is None else means[_OTHER[member.arm]]
        gap = 0.0 if other is None else (own - other) / deviation
        size = sum(m.arm == member.arm and m.score == m.score for m in members)
        share = len(members) / 2 / size
        if decision == "cross_entropy":
            weight = max(gap, 0.0) * share
        elif decision == "exact":
            weight = gap / 2 * member.probability * share
        else:
            weight = gap / 2
        found.append(Worth(weight, after))
    return found


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
    """What an episode decided, and how likely that was."""
    score = float("nan") if trajectory.score is None else trajectory.score.value
    place = deciding_place(renderer, trajectory)
    if place is None:
        return Member(score, None, 0.0)
    completion = trajectory.turns[0].completion
    token, known = (completion.token_ids or ())[place], completion.log_probs or ()
    firsts: dict[int, Arm] = {
        renderer.encode(options.call_text)[0]: "call",
        renderer.encode(options.answer_text)[0]: "answer",
    }
    return Member(score, firsts.get(token), exp(known[place]) if known else 0.0)


def spread(
    renderer: QwenVLRenderer,
    trajectory: Trajectory,
    rendered: Rendered,
    worth: Worth,
    options: Counterfactual,
) -> tuple[list[float], list[bool]]:
    """The worth of each id, and whether it is learned from: 0 and no in the thought."""
    place = deciding_place(renderer, trajectory)
    start = rendered.prompt_len + (place or 0)
    values = [worth.after] * len(rendered.ids)
    learned = list(rendered.sampled)
    if place is None:
        return values, learned
    values[start] = worth.decision
    if not options.learn_thought:
        learned[:start] = [False] * start
    return values, learned


_OTHER: dict[Arm, Arm] = {"call": "answer", "answer": "call"}


def _mean(scores: Sequence[float]) -> float | None:
    known = [score for score in scores if score == score]
    return sum(known) / len(known) if known else None
