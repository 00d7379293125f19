"""From rewards to advantages: pure functions of rewards and stops.

A group is the attempts at one prompt. An episode without a reward (aborted, timed out, undecided)
is NaN: it is left out of mean and deviation, and has no gradient. A group with fewer than two
rewards says nothing, and is not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, get_args

import torch

from saccade.config import check_choice
from saccade.train.recipe import Mask, Scale, Select
from saccade.types import StopReason, Task, Trajectory

EPSILON = 1e-4
"""Added to the deviation, as TRL does (DeepEyes: 1e-6)."""

_LIMIT = {
    StopReason.MAX_TOKENS: "over_long",
    StopReason.MAX_IMAGES: "over_long",
    StopReason.MAX_TURNS: "over_turn",
}


class Group(NamedTuple):
    """The attempts at one prompt."""

    task: Task
    trajectories: tuple[Trajectory, ...]


def group_rewards(groups_P: Sequence[Group]) -> torch.Tensor:
    """(P, G) float32 rewards of groups of one size, NaN where an episode has none."""
    rewards_P_G = [
        [float("nan") if t.score is None else t.score.value for t in group.trajectories]
        for group in groups_P
    ]
    return torch.tensor(rewards_P_G, dtype=torch.float32)


def deviations(rewards_P_G: torch.Tensor) -> torch.Tensor:
    """(P,) sample standard deviation of each group's rewards; 0 with fewer than two of them."""
    known = ~rewards_P_G.isnan()
    count = known.sum(1)
    centred = torch.where(known, rewards_P_G - rewards_P_G.nanmean(1, keepdim=True), 0.0)
    return (centred.square().sum(1) / (count - 1).clamp(min=1)).sqrt()


def shared_scale(rewards_B_G: torch.Tensor, scale: Scale) -> float | None:
    """What the rewards of all groups are divided by; None if each group has its own deviation.

    Args:
        rewards_B_G: (B, G) rewards of the batch, those of all processes.
        scale: By which deviation.
    """
    check_choice("scale", scale, get_args(Scale))
    if scale == "group":
        return None
    return 1.0 if scale == "none" else float(deviations(rewards_B_G.view(1, -1))) + EPSILON


def advantages(rewards_P_G: torch.Tensor, scale: float | None = None) -> torch.Tensor:
    """(P, G) reward minus mean of the group, divided by `scale`; 0 where there is no reward.

    Args:
        rewards_P_G: (P, G) rewards, NaN where there is none.
        scale: None divides by the deviation of each group.

    Source: GRPO (arXiv 2402.03300), section 4.1.2, without its process reward.
    """
    centred_P_G = (rewards_P_G - rewards_P_G.nanmean(1, keepdim=True)).nan_to_num(0.0)
    if scale is None:
        return centred_P_G / (deviations(rewards_P_G)[:, None] + EPSILON)
    return centred_P_G / scale


def select_groups(rewards_P_G: torch.Tensor, select: Select, *, at_most: int) -> list[int]:
    """Which groups are trained on, in the order in which they are used.

    Groups with fewer than two rewards never are.
    """
    check_choice("select", select, get_args(Select))
    known = (~rewards_P_G.isnan()).sum(1) >= 2
    spread = deviations(rewards_P_G)
    chosen = [p for p in range(len(rewards_P_G)) if known[p]]
    if select != "all":
        chosen = [p for p in chosen if spread[p] > 0]
    if select == "most_varied":
        chosen.sort(key=lambda p: -float(spread[p]))
    return chosen[:at_most]


def filled_up(chosen: Sequence[int], *, groups: int, size: int) -> list[int]:
    """The chosen ones of so many groups, and after them others until there are `size`."""
    others = [place for place in range(groups) if place not in chosen]
    return [*chosen, *others][:size]


def group_metrics(rewards_B_G: torch.Tensor, *, trained: int) -> dict[str, float]:
    """How many groups were sampled and trained on, and what was wrong with the others.

    Args:
        rewards_B_G: (B, G) rewards of the batch, those of all processes.
        trained: How many of the groups were chosen.
    """
    rewarded = (~rewards_B_G.isnan()).sum(1)
    return {
        "groups/sampled": float(len(rewards_B_G)),
        "groups/trained": float(trained),
        "groups/unscored": float((rewarded < 2).sum()),
        "groups/zero_variance": float((deviations(rewards_B_G) == 0).sum()),
    }


def trained_turns(trajectory: Trajectory, masks: Sequence[Mask], failures: int) -> int:
    """How many turns of an episode are trained on, counted from the first.

    None of one without a reward, or one that `masks` leaves out.
    """
    if trajectory.score is None or _LIMIT.get(trajectory.stop or StopReason.ANSWER) in masks:
        return 0
    fatal = fatal_turn(trajectory, failures) if "tool_failure" in masks else None
    return len(trajectory.turns) if fatal is None else fatal


def fatal_turn(trajectory: Trajectory, failures: int) -> int | None:
    """The turn, counted from 1, in which that many calls in a row had failed, if there is one."""
    in_a_row = 0
    for number, turn in enumerate(trajectory.turns, start=1):
        for result in turn.results:
            in_a_row = in_a_row + 1 if result.failed else 0
            if in_a_row >= failures:
                return number
    return None
