"""Attacks of several steps, each of them one of `single`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field

from saccade.robust.attacks.base import Attack, Batch, projected
from saccade.robust.attacks.single import Fgm, OneStep, Ossa

STEP_SHARE = 2.5
"""Iterated attacks step by this times epsilon over the number of steps (Madry et al.)."""
TWO_STEPS = (0.6, 0.4)


class Iterated(Attack):
    """Projected steps; the loss goes on rising after an input is lost: it stays lost."""

    steps: int = Field(default=10, ge=1)
    """Number of steps, each of 2.5 epsilon / steps."""
    step: ClassVar[OneStep]
    """What gives a step its direction."""

    def passes(self, budgets: int) -> int:
        return budgets * self.steps * self.step.passes(1)

    def propose(self, batch: Batch, epsilons: Sequence[float]) -> list[torch.Tensor]:
        return [self._stepped(batch, epsilon) for epsilon in epsilons]

    def _stepped(self, batch: Batch, epsilon: float) -> torch.Tensor:
        moved, size = batch.x, STEP_SHARE * epsilon / self.steps
        for _ in range(self.steps):
            ahead = moved + size * self.step.direction(batch._replace(x=moved))
            near = batch.x + projected(ahead - batch.x, epsilon, batch.norm)
            moved = batch.box.clip(near)  # not rounded: a step may be less than a level
        return moved


class Pgd(Iterated):
    """Projected gradient descent (Madry et al., arXiv 1706.06083), without a random start."""

    step: ClassVar[OneStep] = Fgm()


class OssaIterated(Iterated):
    """A spectral step each time."""

    step: ClassVar[OneStep] = Ossa()


class OssaTwoStep(Attack):
    """Two spectral steps, of .6 and .4 of the budget (Tron et al., Machine Learning 113, 2024)."""

    def passes(self, budgets: int) -> int:
        return budgets * len(TWO_STEPS) * Ossa().passes(1)

    def propose(self, batch: Batch, epsilons: Sequence[float]) -> list[torch.Tensor]:
        return [self._two_steps(batch, epsilon) for epsilon in epsilons]

    def _two_steps(self, batch: Batch, epsilon: float) -> torch.Tensor:
        moved = batch.x
        for share in TWO_STEPS:
            ahead = moved + share * epsilon * Ossa().direction(batch._replace(x=moved))
            moved = batch.box.clip(ahead)
        return moved
