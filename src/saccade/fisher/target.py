"""What is examined: something that gives log-probabilities of classes, image by image.

A target needs one method. `Classifier` makes one of any PyTorch module that returns logits, and
`Logits` of a function.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import nn

from saccade.errors import ConfigError
from saccade.fisher.checks import (
    Function,
    check_ending,
    check_evaluates,
    check_logits,
    check_normalised,
    plain,
)

CHUNK = 256
"""Number of inputs at a time, where any number may come."""


class Target(Protocol):
    """A distribution over classes that depends on an input."""

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        """(N, ...) inputs -> (N, C) log-probabilities, each row a function of its own input.

        Or (N, T, C), of T positions of an answer: see `products.Product`.
        """
        ...


class Logits:
    """A function that returns logits (N, C)."""

    def __init__(self, function: Function) -> None:
        """Wrap a function of inputs (N, ...); what it returns is looked at when it is first called.

        Log-probabilities are logits, too: nothing is lost where a net ends in `log_softmax`.
        """
        self._function = function
        self._known = False

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        """In float32 at least, whatever the function computes in.

        Raises:
            ConfigError: what came are no logits; probabilities are told from them.
        """
        logits = self._function(x)
        if not self._known:
            check_logits(self._function, x, logits)
            self._known = bool(len(x))
        return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)


class Classifier(Logits):
    """A module that returns logits (N, C)."""

    def __init__(self, module: nn.Module) -> None:
        """Wrap a module.

        Raises:
            ConfigError: it is in training mode: dropout and batch statistics would make each pass
                another function; or it ends in softmax.
        """
        check_ending(module)
        check_evaluates(module)
        super().__init__(module)
        self.module = module

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        """As of `Logits`.

        Raises:
            ConfigError: the module is in training mode by now.
        """
        check_evaluates(self.module)
        return super().log_probs(x)


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
        ConfigError: fewer than two classes, a number that is not finite, or rows that are no
            log-probabilities.
    """
    if log_probs.ndim != 2 or log_probs.shape[1] < 2:
        shape = tuple(log_probs.shape)
        raise ConfigError(f"target: log_probs must be (N, C) with C at least 2, got {shape}")
    if not torch.isfinite(log_probs).all():
        bad = int((~torch.isfinite(log_probs)).any(1).nonzero()[0])
        raise ConfigError(
            f"target: log-probabilities of input {bad} are not all finite; where it takes the "
            "logarithm of softmax, return logits.log_softmax(-1)"
        )
    ordered, order = log_probs.detach().double().sort(dim=1, descending=True)
    log_others = ordered[:, 1:].logsumexp(1)
    weights = (ordered[:, 1:] - log_others[:, None]).exp()
    # Rows need not be normalised to the last bit: q is what is left beside the top class.
    log_totals = ordered.logsumexp(1)
    check_normalised(log_probs, log_totals)
    log_q = log_others - log_totals
    return Tail(order[:, 0], order[:, 1:], log_q, weights)


def checked(x: torch.Tensor) -> torch.Tensor:
    """A batch of inputs that can be differentiated.

    Raises:
        ConfigError: no tensor, empty, of whole numbers, or not finite.
    """
    if not isinstance(x, torch.Tensor):
        raise ConfigError(
            f"inputs: expected a torch tensor, got a {type(x).__name__}; torch.as_tensor makes one"
        )
    if x.ndim < 2 or not len(x):
        raise ConfigError(f"inputs: expected a batch (N, ...), got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ConfigError(f"inputs: expected floating-point pixels, got {x.dtype}; divide by 255")
    if not torch.isfinite(x).all():
        raise ConfigError("inputs: some pixels are not finite")
    return plain(x)
