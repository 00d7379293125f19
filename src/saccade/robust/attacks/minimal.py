"""Attacks that look for the least change, and how far an input is from being lost.

They take a budget as every attack does: `math.inf` for the least change, whatever its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field

from saccade.errors import ConfigError
from saccade.fisher.target import Target
from saccade.robust.attacks import Norm
from saccade.robust.attacks.arguments import Box
from saccade.robust.attacks.base import Attack, Batch
from saccade.robust.attacks.directions import loss_direction


class Opt(Attack):
    """The least L2 change that loses an input, by optimisation; what is never lost stays as it is.

    Adam on |d|^2 + c max(margin, 0), c found by bisection. Source: Liu et al., arXiv 1611.02770, in
    its targetless form, with the margin of Carlini and Wagner (arXiv 1608.04644) for a loss.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)
    can_target: ClassVar[bool] = False
    takes_inf: ClassVar[bool] = True
    chunk: ClassVar[int | None] = None

    rounds: int = Field(default=5, ge=1)
    """Number of weights c that are tried for an input."""
    steps: int = Field(default=60, ge=1)
    """Number of steps of Adam for each weight."""
    rate: float = Field(default=0.02, gt=0)
    """Learning rate of Adam."""
    first_c: float = Field(default=1.0, gt=0)
    """The weight c that is tried first."""

    def passes(self, budgets: int) -> int:
        return self.rounds * self.steps

    def propose(self, batch: Batch, epsilons: Sequence[float]) -> list[torch.Tensor]:
        return [self._least(batch)] * len(epsilons)

    def _least(self, batch: Batch) -> torch.Tensor:
        target, x, labels = batch.target, batch.x, batch.classes
        low = torch.zeros(len(x), device=x.device)
        high = torch.full_like(low, torch.inf)
        c = torch.full_like(low, self.first_c)
        best, least = x.clone(), torch.full_like(low, torch.inf)
        for _ in range(self.rounds):
            lost = torch.zeros_like(low, dtype=torch.bool)
            change = torch.zeros_like(x, requires_grad=True)
            optimizer = torch.optim.Adam([change], self.rate)
            for _ in range(self.steps):
                moved = batch.box.clip(x + change)
                margin = _margin(target.log_probs(moved), labels)
                sizes = (moved - x).flatten(1).square().sum(1)
                (grad,) = torch.autograd.grad((sizes + c * margin.clamp_min(0)).sum(), change)
                with torch.no_grad():
                    won = margin < 0
                    lost |= won
                    better = won & (sizes < least)
                    best[better], least[better] = moved[better], sizes[better]
                change.grad = grad
                optimizer.step()
            high = torch.where(lost, c, high)
            low = torch.where(lost, low, c)
            c = torch.where(high.isinf(), 10 * c, (low + high.nan_to_num(posinf=0)) / 2)
        return best.detach()


class GreedyL0(Attack):
    """One value after another is set to a bound, up to the budget, the most telling first.

    The value is that by which the loss rises most to first order, given the room it has left. It
    stands where the paper has JSMA (arXiv 1511.07528), whose saliency takes pairs and a target.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l0",)
    can_target: ClassVar[bool] = False
    takes_inf: ClassVar[bool] = True
    chunk: ClassVar[int | None] = None

    def propose(self, batch: Batch, epsilons: Sequence[float]) -> list[torch.Tensor]:
        if batch.box.bounds is None:
            raise ConfigError("bounds: GreedyL0 sets values to a bound and needs some")
        low, high = batch.box.bounds
        return [self._changed(batch, epsilon, low, high) for epsilon in epsilons]

    def _changed(self, batch: Batch, epsilon: float, low: float, high: float) -> torch.Tensor:
        target, labels, moved = batch.target, batch.classes, batch.x.clone()
        for _ in range(int(min(epsilon, moved[0].numel()))):
            with torch.no_grad():
                active = target.log_probs(moved).argmax(1) == labels
            if not active.any():
                break
            way = loss_direction(target, moved[active], labels[active]).flatten(1)
            flat = moved[active].flatten(1)
            gain = way.abs() * torch.where(way > 0, high - flat, flat - low)
            at = gain.argmax(1, keepdim=True)
            value = torch.where(way.gather(1, at) > 0, high, low).to(flat.dtype)
            moved[active] = flat.scatter(1, at, value).view_as(moved[active])
        return moved


@torch.no_grad()
def least_along(
    target: Target,
    x: torch.Tensor,
    labels: torch.Tensor,
    ways: torch.Tensor,
    *,
    limit: float,
    bounds: tuple[float, float] | None = None,
    grid: int = 60,
    halvings: int = 10,
) -> torch.Tensor:
    """(N,) float64: the least size at which an input is lost along its direction.

    Sizes up to `limit` are tried on a grid, then between the first that loses it and the one
    before; inf where none does: along the top eigenvector that is the attack's saturation.

    Args:
        target: Gives log-probabilities.
        x: (N, ...) inputs.
        labels: (N,) int64.
        ways: (N, *shape), of unit size.
        limit: The largest size.
        bounds: Clip what is tried to them.
        grid: Number of sizes on the grid.
        halvings: Number of times that the cell in which it is lost is halved.
    """
    box = Box(bounds)

    def lost(sizes: torch.Tensor) -> torch.Tensor:
        moved = x + sizes.to(x).view(-1, *[1] * (x.ndim - 1)) * ways
        return target.log_probs(box.hold(moved)).argmax(1) != labels

    cell = limit / grid
    first = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
    for step in range(grid, 0, -1):
        size = torch.full_like(first, step * cell)
        first = torch.where(lost(size), size, first)
    high = first.nan_to_num(posinf=limit)
    low = high - cell
    for _ in range(halvings):
        middle = (low + high) / 2
        gone = lost(middle)
        low, high = torch.where(gone, low, middle), torch.where(gone, middle, high)
    return torch.where(first.isinf(), first, high)


def _margin(log_probs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    own = log_probs.gather(1, labels[:, None])[:, 0]
    return own - log_probs.scatter(1, labels[:, None], -torch.inf).amax(1)
