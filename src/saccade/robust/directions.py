"""Where a single step goes: directions of unit size, from gradients that do not vanish.

The gradient of the loss is divided by the probability of an error. Its direction is the same, and
it is not lost to float32 where a net is sure of itself.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn.functional import normalize

from saccade.robust.fisher import eigenpairs
from saccade.robust.products import Product
from saccade.robust.target import Target

Norm = Literal["l2", "linf"]
Step = Literal["ossa", "fgm", "otcm", "deepfool", "random"]


def direction(
    target: Target,
    x: torch.Tensor,
    aim: torch.Tensor,
    *,
    towards: bool = False,
    method: Step = "ossa",
    norm: Norm = "l2",
    seed: int = 0,
) -> torch.Tensor:
    """(N, *shape): a change of size one by which the loss of a class rises.

    Args:
        target: Gives log-probabilities.
        x: (N, ...) inputs.
        aim: (N,) int64, the class to leave; with `towards` the class to reach.
        towards: The loss of `aim` is to fall.
        method: `ossa`: along the largest eigenvector of the Fisher matrix (Zhao et al., arXiv
            1810.03806, algorithm 1), with the sign by which the loss rises to first order
            (published: tried by a forward pass). `fgm`: the gradient of the loss (FGSM with
            `linf`). `otcm`: towards the least likely class (Kurakin et al., arXiv 1607.02533).
            `deepfool`: to the nearest boundary of the linearised target, the first step of
            arXiv 1511.04599. `random`: a direction at random, what a method must beat.
        norm: By which the size is measured.
        seed: Of `random`.
    """
    if method == "random":
        generator = torch.Generator().manual_seed(seed)
        way = torch.randn(x.shape, generator=generator).to(x)
    elif method == "deepfool":
        way = _to_boundary(target, x, aim, towards=towards)
    elif method == "otcm":
        least = aim if towards else _least_likely(target, x)
        way = -loss_direction(target, x, least)
    elif method == "ossa":
        way = _spectral(target, x, aim, towards=towards)
    else:
        way = loss_direction(target, x, aim) * (-1 if towards else 1)
    return sized(way, norm)


def loss_direction(target: Target, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(N, *shape): the gradient of -log p(label), divided by the probability of an error.

    That is the gradient of log((1 - p) / p), which stays of order one where p is 1 in float32.
    """
    product = Product(target, x)
    others = product.log_probs.double().scatter(1, labels[:, None], -torch.inf)
    cotangent = others.softmax(1).scatter(1, labels[:, None], -1.0)
    return product.pull(cotangent).view_as(x)


def sized(way: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Of size one; 0 where there is no direction."""
    if norm == "linf":
        return way.sign()
    return normalize(way.double().flatten(1), dim=1).to(way.dtype).view_as(way)


def _spectral(target: Target, x: torch.Tensor, aim: torch.Tensor, *, towards: bool) -> torch.Tensor:
    """The top eigenvector; its sign costs nothing where the class to leave is the likeliest."""
    pairs = eigenpairs(target, x)
    gradient = pairs.gradients.clone()
    other = pairs.top != aim
    if other.any():
        gradient[other] = loss_direction(target, x[other], aim[other])
    along = (pairs.vectors[:, 0] * gradient).flatten(1).sum(1)
    turned = torch.where((along < 0) != towards, -1.0, 1.0).to(x.dtype)
    return pairs.vectors[:, 0] * turned.view(-1, *[1] * (x.ndim - 1))


def _least_likely(target: Target, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return target.log_probs(x).argmin(1)


def _to_boundary(
    target: Target, x: torch.Tensor, aim: torch.Tensor, *, towards: bool
) -> torch.Tensor:
    """Across the nearest boundary of the linearised target; `towards`: that of the class."""
    product = Product(target, x)
    log_probs = product.log_probs.double()
    leave = log_probs.argmax(1) if towards else aim
    nearest = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
    way = torch.zeros_like(x)
    for k in range(log_probs.shape[1]):
        cotangent = torch.zeros_like(log_probs)
        cotangent[:, k] += 1
        cotangent.scatter_add_(1, leave[:, None], -torch.ones_like(log_probs[:, :1]))
        gradient = product.pull(cotangent)
        gap = (log_probs.gather(1, leave[:, None]) - log_probs[:, k : k + 1])[:, 0]
        distance = gap / gradient.double().norm(dim=1).clamp_min(1e-300)
        better = (distance < nearest) & (leave != k)
        if towards:
            better &= aim == k
        nearest = torch.where(better, distance, nearest)
        way[better] = gradient.view_as(x)[better]
    return way
