"""Where a step goes: directions from gradients that do not vanish.

The gradient of the loss is divided by the probability of an error. Its direction is the same, and
it is not lost to float32 where a net is sure of itself.
"""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from saccade.errors import ConfigError
from saccade.fisher.products import Product
from saccade.fisher.target import Target
from saccade.robust.attacks import AnyNorm, norm_of


def loss_direction(target: Target, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(N, *shape): the gradient of -log p(label), divided by the probability of an error.

    That is the gradient of log((1 - p) / p), which stays of order one where p is 1 in float32.

    Raises:
        ConfigError: the target has no gradient, or hides it.
    """
    product = Product(target, x)
    others = product.log_probs.double().scatter(1, labels[:, None], -torch.inf)
    cotangent = others.softmax(1).scatter(1, labels[:, None], -1.0)
    way = product.pull(cotangent).view_as(x)
    product.look(way)
    return way


def sized(way: torch.Tensor, norm: AnyNorm) -> torch.Tensor:
    """Of size one; 0 where there is no direction.

    Raises:
        ConfigError: a norm without unit directions, or no norm.
    """
    norm = norm_of(norm)
    if norm == "linf":
        return way.sign()
    if norm == "l0":
        raise ConfigError("norm: a direction is of size one in l2 or linf, not in l0")
    return normalize(way.double().flatten(1), dim=1).to(way.dtype).view_as(way)
