"""What a credit is, and that of plain GRPO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch

from saccade.dialects.base import Move
from saccade.render.qwen_vl import QwenVLRenderer
from saccade.train.advantages import Group
from saccade.train.sample import TrainingSample


class Credited(NamedTuple):
    """Groups whose tokens have their advantages."""

    samples_P_G: list[list[TrainingSample]]
    metrics: dict[str, float]
    """What was found out on the way, over all processes."""


class Credit(Protocol):
    """Decides by what the tokens of an episode are trained."""

    def forced_move(self, member: int) -> Move | None:
        """What a member of a group must do after its first thought; None leaves it free."""
        ...

    async def assign(
        self, groups_P: Sequence[Group], advantages_P_G: torch.Tensor, scale: float | None
    ) -> Credited:
        """Credit the tokens of each member of each group; all processes make this call.

        Args:
            groups_P: Groups of this process.
            advantages_P_G: (P, G) advantages of the episodes.
            scale: What differences of rewards are divided by; None: the deviation of the group.
        """
        ...


class OutcomeCredit:
    """Plain GRPO: every sampled token gets the advantage of its episode."""

    def __init__(self, renderer: QwenVLRenderer) -> None:
        self._renderer = renderer

    def forced_move(self, member: int) -> Move | None:
        return None

    async def assign(
        self, groups_P: Sequence[Group], advantages_P_G: torch.Tensor, scale: float | None
    ) -> Credited:
        samples_P_G = []
        for group, advantages_G in zip(groups_P, advantages_P_G.tolist(), strict=True):
            samples_G = []
            for trajectory, advantage in zip(group.trajectories, advantages_G, strict=True):
                rendered = self._renderer.render(trajectory, generation=False)
                advantages_T = [advantage] * len(rendered.ids)
                samples_G.append(TrainingSample(rendered, rendered.sampled, advantages_T))
            samples_P_G.append(samples_G)
        return Credited(samples_P_G, {})
