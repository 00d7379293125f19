"""Attacks that look for the least change, and how far an input is from being lost.

`opt` is the optimisation attack of Liu et al. (arXiv 1611.02770) in its targetless form, with the
margin of Carlini and Wagner (arXiv 1608.04644) for a loss: Adam on |d|^2 + c max(margin, 0), c
found by bisection. `greedy_l0` sets one value after another to a bound, the most telling first; it
stands where the paper has JSMA (arXiv 1511.07528), whose saliency takes pairs and a target.
`least_along` walks along given directions: the paper's measure of vulnerability (its figure of
log-eigenvalue against least L2).
"""

from __future__ import annotations

import torch

from saccade.robust.attacks import Attacked, Box, check_box, check_labels, measured
from saccade.robust.directions import loss_direction
from saccade.robust.target import Target, checked

ROUNDS = 5
RATE = 0.02
FIRST_C = 1.0


def opt(
    target: Target,
    x: torch.Tensor,
    labels: torch.Tensor,
    *,
    steps: int = 60,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Attacked:
    """The least L2 change found that loses an input; `inputs` is (1, N, *shape).

    What is never lost comes back as it was. `steps` are of each of five weights c.

    Raises:
        ConfigError: inputs out of bounds, labels of another number.
    """
    x = checked(x)
    check_labels(x, labels=labels)
    check_box(x, Box(bounds))
    low = torch.zeros(len(x), device=x.device)
    high = torch.full_like(low, torch.inf)
    c = torch.full_like(low, FIRST_C)
    best, least = x.clone(), torch.full_like(low, torch.inf)
    for _ in range(ROUNDS):
        lost = torch.zeros_like(low, dtype=torch.bool)
        change = torch.zeros_like(x, requires_grad=True)
        optimizer = torch.optim.Adam([change], RATE)
        for _ in range(steps):
            moved = (x + change).clamp(*bounds)
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
    return measured(target, x, best[None].detach(), labels)


def greedy_l0(
    target: Target,
    x: torch.Tensor,
    labels: torch.Tensor,
    *,
    most: int = 40,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Attacked:
    """One value after another is set to a bound, up to `most`; `inputs` is (1, N, *shape).

    The value is that by which the loss rises most to first order, given the room it has left.

    Raises:
        ConfigError: inputs out of bounds, labels of another number.
    """
    x = checked(x)
    check_labels(x, labels=labels)
    check_box(x, Box(bounds))
    low, high = bounds
    moved = x.clone()
    for _ in range(most):
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
    return measured(target, x, moved[None], labels, norm="l0")


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
        grid: Sizes on the grid.
        halvings: Of the cell in which it is lost.
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
