"""What is examined: something that gives log-probabilities of classes, image by image.

A target needs one method. `Classifier` makes one of any PyTorch module that returns logits.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import nn

from saccade.errors import ConfigError

CHUNK = 256
"""Number of inputs at a time, where any number may come."""


class Target(Protocol):
    """A distribution over classes that depends on an input."""

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        """(N, ...) inputs -> (N, C) log-probabilities, each row a function of its own input.

        Or (N, T, C), of T positions of an answer: see `products.Product`.
        """
        ...


class Classifier:
    """A module that returns logits (N, C)."""

    def __init__(self, module: nn.Module) -> None:
        """Wrap a module.

        Raises:
            ConfigError: it is in training mode: dropout and batch statistics would make each pass
                another function.
        """
        if any(part.training for part in module.modules()):
            raise ConfigError("target: the module is in training mode; call .eval() first")
        self.module = module

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        """In float32 at least, whatever the module computes in."""
        logits: torch.Tensor = self.module(x)
        return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)


class Tail(NamedTuple):
    """A distribution seen from its most likely class, without cancellation.

    With m the most likely class, q = 1 - p_m and U_k = grad(log p_k - log p_m), the Fisher matrix
    is G = q [ (1 - q) u u^T + Cov(U_k) ], where u and Cov are taken over the other classes with
    weights p_k / q. Everything in the brackets is of order one, however small q is.
    """

    top: torch.Tensor
    """(N,) int64, the most likely class."""
    others: torch.Tensor
    """(N, C - 1) int64, the others, most likely first."""
    log_q: torch.Tensor
    """(N,) float64, logarithm of the probability of all others."""
    weights: torch.Tensor
    """(N, C - 1) float64, p_k / q of the others; they sum to 1."""

    @property
    def q(self) -> torch.Tensor:
        """(N, 1) float64."""
        return self.log_q.exp()[:, None]


def tail_of(log_probs: torch.Tensor) -> Tail:
    """The tail of each row of (N, C) log-probabilities.

    Raises:
        ConfigError: fewer than two classes, or a number that is not finite.
    """
    if log_probs.ndim != 2 or log_probs.shape[1] < 2:
        shape = tuple(log_probs.shape)
        raise ConfigError(f"target: log_probs must be (N, C) with C at least 2, got {shape}")
    if not torch.isfinite(log_probs).all():
        bad = int((~torch.isfinite(log_probs)).any(1).nonzero()[0])
        raise ConfigError(f"target: log-probabilities of input {bad} are not all finite")
    ordered, order = log_probs.detach().double().sort(dim=1, descending=True)
    log_others = ordered[:, 1:].logsumexp(1)
    weights = (ordered[:, 1:] - log_others[:, None]).exp()
    # Rows need not be normalised to the last bit: q is what is left beside the top class.
    log_q = log_others - ordered.logsumexp(1)
    return Tail(order[:, 0], order[:, 1:], log_q, weights)


def checked(x: torch.Tensor) -> torch.Tensor:
    """A batch of inputs that can be differentiated.

    Raises:
        ConfigError: empty, of whole numbers, or not finite.
    """
    if x.ndim < 2 or not len(x):
        raise ConfigError(f"inputs: expected a batch (N, ...), got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ConfigError(f"inputs: expected floating-point pixels, got {x.dtype}; divide by 255")
    if not torch.isfinite(x).all():
        raise ConfigError("inputs: some pixels are not finite")
    return x.detach()
