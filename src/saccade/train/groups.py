"""From the episodes of a step to what is learned from each: pure functions of scores and stops.

A group is the attempts at one question. An episode without a score (aborted, timed out, undecided)
is NaN: it is left out of mean and deviation, and has no gradient. With fewer than two scores a
group says nothing, and is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from saccade.types import StopReason, Trajectory

Mask = Literal["over_long", "over_turn", "tool_failure"]
Scale = Literal["group", "batch", "none"]
Select = Literal["all", "varied", "most_varied"]

EPSILON = 1e-4
"""Added to the deviation, as TRL does (DeepEyes: 1e-6)."""

_OVER = {
    StopReason.MAX_TOKENS: "over_long",
    StopReason.MAX_IMAGES: "over_long",
    StopReason.MAX_TURNS: "over_turn",
}


def scores(trajectories: Sequence[Trajectory], group: int) -> torch.Tensor:
    """(P, group) float32 scores, NaN where there is none.

    Args:
        trajectories: Those of a group one after the other.
        group: Size of a group.
    """
    values = [float("nan") if t.score is None else t.score.value for t in trajectories]
    return torch.tensor(values, dtype=torch.float32).view(-1, group)


def deviations(values: torch.Tensor) -> torch.Tensor:
    """(P,) sample standard deviation of each group's scores; 0 with fewer than two of them."""
    known = ~values.isnan()
    count = known.sum(1)
    centred = torch.where(known, values - values.nanmean(1, keepdim=True), 0.0)
    return (centred.square().sum(1) / (count - 1).clamp(min=1)).sqrt()


def advantages(values: torch.Tensor, scale: Scale, *, batch: float = 1.0) -> torch.Tensor:
    """(P, group) score minus mean of the group, over a deviation; 0 where there is no score.

    Args:
        values: (P, group) scores.
        scale: Which deviation: of the group (GRPO), of the batch, or none.
        batch: The deviation of the batch.

    Source: GRPO (arXiv 2402.03300), section 4.1.2, without its process reward.
    """
    centred = (values - values.nanmean(1, keepdim=True)).nan_to_num(0.0)
    if scale == "none":
        return centred
    deviation = deviations(values)[:, None] if scale == "group" else batch
    return centred / (deviation + EPSILON)


def selected(values: torch.Tensor, keep: int, select: Select) -> list[int]:
    """Which groups are learned from: at most `keep`, in the order in which they are used.

    Groups with fewer than two scores never are.
    """
    usable = (~values.isnan()).sum(1) >= 2
    spread = deviations(values)
    places = [p for p in range(len(values)) if usable[p]]
    if select != "all":
        places = [p for p in places if spread[p] > 0]
    if select == "most_varied":
        places.sort(key=lambda p: -float(spread[p]))
    return places[:keep]


def learned_turns(trajectory: Trajectory, masks: Sequence[Mask], failures: int) -> int:
    """How many turns of an episode are learned from, counted from the first.

    None of one without a score, or one that `masks` leaves out.
    """
    if trajectory.score is None or _OVER.get(trajectory.stop or StopReason.ANSWER) in masks:
        return 0
    fatal = fatal_turn(trajectory, failures) if "tool_failure" in masks else None
    return len(trajectory.turns) if fatal is None else fatal


def fatal_turn(trajectory: Trajectory, failures: int) -> int | None:
    """The turn, counted from 1, in which that many calls in a row had failed, if there is one."""
    in_a_row = 0
    for number, turn in enumerate(trajectory.turns, start=1):
        for result in turn.results:
            in_a_row = 0 if result.ok else in_a_row + 1
            if in_a_row >= failures:
                return number
    return None
