"""Attacks of one step and of several, at a given size, all with gradients that do not vanish.

    found = attack(Classifier(model), images, labels, method="ossa", epsilons=[0.5, 1.0])
    found.success.float().mean(1)            # fooling rate at each epsilon

`ossa` moves along the largest eigenvector of the Fisher matrix (Zhao et al., arXiv 1810.03806,
algorithm 1); its sign is that by which the loss rises to first order (published: tried by a
forward pass). `fgm` and `pgd` are the usual ones, with the gradient of the loss divided by the
probability of an error: the direction is the same, and it is not lost to float32 where a net is
sure of itself.
`deepfool` is the first step of DeepFool (arXiv 1511.04599), `random` a direction at random: what a
method must beat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch.nn.functional import normalize

from saccade.errors import ConfigError
from saccade.robust.fisher import eigenpairs
from saccade.robust.products import Product
from saccade.robust.target import Target, checked

Method = Literal["ossa", "ossa_iterated", "fgm", "pgd", "deepfool", "random"]
Norm = Literal["l2", "linf"]
STEP_SHARE = 2.5
"""Steps of `pgd` and `ossa_iterated` are this times epsilon over their number (Madry et al.)."""


class Attacked(NamedTuple):
    """What an attack made, for each epsilon."""

    inputs: torch.Tensor
    """(E, N, *shape), within the bounds."""
    success: torch.Tensor
    """(E, N) bool, judged on what is returned."""
    sizes: torch.Tensor
    """(E, N): norm of the change as it is returned; clipping makes it smaller."""


def attack(
    target: Target,
    x: torch.Tensor,
    labels: torch.Tensor | None = None,
    *,
    method: Method = "ossa",
    epsilons: Sequence[float],
    norm: Norm = "l2",
    wanted: torch.Tensor | None = None,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    levels: int | None = None,
    steps: int = 10,
    seed: int = 0,
) -> Attacked:
    """Change inputs so that the most likely class is another one.

    Args:
        target: Gives log-probabilities.
        x: (N, ...) inputs, within the bounds.
        labels: (N,) int64, what must not come out; the most likely classes if left out, so that no
            label leaks into the attack.
        method: Which attack.
        epsilons: Sizes of the change.
        norm: By which it is measured.
        wanted: (N,) int64: what must come out, for a targeted attack.
        bounds: Of the inputs; None for none.
        levels: Round to so many equal steps between the bounds, 255 for images of 8 bits.
        steps: Of `pgd` and `ossa_iterated`.
        seed: Of `random`.

    Raises:
        ConfigError: inputs out of bounds, labels of another number, epsilons that are no sizes.
    """
    x = checked(x)
    _check(x, labels, wanted, epsilons, bounds, levels)
    with torch.no_grad():
        labels = target.log_probs(x).argmax(1) if labels is None else labels
    aim = labels if wanted is None else wanted
    sign = 1.0 if wanted is None else -1.0
    box = _Box(bounds, levels)
    made = []
    if method in ("pgd", "ossa_iterated"):
        for epsilon in epsilons:
            made.append(_stepped(target, x, aim, sign, method, epsilon, norm, box, steps))
    else:
        way = _direction(target, x, aim, sign, method, norm, seed)
        made = [box.hold(x + epsilon * way) for epsilon in epsilons]
    inputs = torch.stack(made)
    with torch.no_grad():
        said = torch.stack([target.log_probs(one).argmax(1) for one in inputs])
    success = said != labels if wanted is None else said == wanted
    change = (inputs - x).flatten(2).double()
    sizes = change.norm(dim=2) if norm == "l2" else change.abs().amax(2)
    return Attacked(inputs, success, sizes)


def loss_direction(target: Target, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(N, *shape): the gradient of -log p(label), divided by the probability of an error.

    That is the gradient of log((1 - p) / p), which stays of order one where p is 1 in float32.
    """
    return _odds_gradient(Product(target, x), labels)


def _odds_gradient(product: Product, labels: torch.Tensor) -> torch.Tensor:
    others = product.log_probs.double().scatter(1, labels[:, None], -torch.inf)
    cotangent = others.softmax(1).scatter(1, labels[:, None], -1.0)
    return product.pull(cotangent).view_as(product.x)


def _direction(
    target: Target,
    x: torch.Tensor,
    aim: torch.Tensor,
    sign: float,
    method: Method,
    norm: Norm,
    seed: int,
) -> torch.Tensor:
    """A change of size one."""
    if method == "random":
        generator = torch.Generator().manual_seed(seed)
        way = torch.randn(x.shape, generator=generator).to(x)
    elif method == "deepfool":
        way = _to_nearest_boundary(target, x, aim)
    elif method == "ossa":
        way = _spectral(target, x, aim, sign)
    else:
        way = sign * loss_direction(target, x, aim)
    return _sized(way, norm)


def _spectral(target: Target, x: torch.Tensor, aim: torch.Tensor, sign: float) -> torch.Tensor:
    """The top eigenvector, with the sign by which the loss rises (or falls, if targeted)."""
    vector = eigenpairs(target, x).vectors[:, 0]
    gradient = sign * loss_direction(target, x, aim)
    along = (vector * gradient).flatten(1).sum(1)
    turned = torch.where(along < 0, -1.0, 1.0).to(x.dtype)
    return vector * turned.view(-1, *[1] * (x.ndim - 1))


def _to_nearest_boundary(target: Target, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The first step of DeepFool: towards the nearest boundary of the linearised target."""
    product = Product(target, x)
    log_probs = product.log_probs.double()
    gaps = log_probs.gather(1, labels[:, None]) - log_probs
    nearest = torch.full((len(x),), torch.inf, dtype=torch.float64)
    way = torch.zeros_like(x)
    for k in range(log_probs.shape[1]):
        cotangent = torch.zeros_like(log_probs)
        cotangent[:, k] += 1
        cotangent.scatter_add_(1, labels[:, None], -torch.ones_like(gaps[:, :1]))
        gradient = product.pull(cotangent)
        distance = gaps[:, k] / gradient.double().norm(dim=1).clamp_min(1e-300)
        better = (distance < nearest) & (labels != k)
        nearest = torch.where(better, distance, nearest)
        way[better] = gradient.view_as(x)[better]
    return way


def _stepped(
    target: Target,
    x: torch.Tensor,
    aim: torch.Tensor,
    sign: float,
    method: Method,
    epsilon: float,
    norm: Norm,
    box: _Box,
    steps: int,
) -> torch.Tensor:
    """Projected steps; the loss goes on rising after an input is lost, so that it stays lost."""
    moved, size = x, STEP_SHARE * epsilon / steps
    for _ in range(steps):
        if method == "ossa_iterated":
            way = _spectral(target, moved, aim, sign)
        else:
            way = sign * loss_direction(target, moved, aim)
        moved = x + _projected(moved + size * _sized(way, norm) - x, epsilon, norm)
        moved = box.hold(moved)
    return moved


def _sized(way: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Of size one; 0 where there is no direction."""
    if norm == "linf":
        return way.sign()
    return normalize(way.double().flatten(1), dim=1).to(way.dtype).view_as(way)


def _projected(change: torch.Tensor, epsilon: float, norm: Norm) -> torch.Tensor:
    if norm == "linf":
        return change.clamp(-epsilon, epsilon)
    sizes = change.flatten(1).norm(dim=1).clamp_min(1e-12)
    shrink = (epsilon / sizes).clamp_max(1.0)
    shrunk: torch.Tensor = change * shrink.view(-1, *[1] * (change.ndim - 1))
    return shrunk


class _Box(NamedTuple):
    """Where inputs may lie."""

    bounds: tuple[float, float] | None
    levels: int | None

    def hold(self, x: torch.Tensor) -> torch.Tensor:
        if self.bounds is None:
            return x
        low, high = self.bounds
        x = x.clamp(low, high)
        if self.levels is None:
            return x
        step = (high - low) / self.levels
        return low + ((x - low) / step).round() * step


def _check(
    x: torch.Tensor,
    labels: torch.Tensor | None,
    wanted: torch.Tensor | None,
    epsilons: Sequence[float],
    bounds: tuple[float, float] | None,
    levels: int | None,
) -> None:
    for name, given in (("labels", labels), ("wanted", wanted)):
        if given is not None and given.shape != (len(x),):
            shape = tuple(given.shape)
            raise ConfigError(
                f"{name}: expected one class for each of {len(x)} inputs, got {shape}"
            )
    if not epsilons or not all(e > 0 and math.isfinite(e) for e in epsilons):
        raise ConfigError(f"epsilons: expected sizes above 0, got {list(epsilons)}")
    if levels is not None and (levels < 1 or bounds is None):
        raise ConfigError("levels: at least 1, between bounds")
    if bounds is not None:
        low, high = float(x.min()), float(x.max())
        if low < bounds[0] or high > bounds[1]:
            raise ConfigError(
                f"inputs: from {low:g} to {high:g}, outside of the bounds {bounds}; say bounds=..."
            )
