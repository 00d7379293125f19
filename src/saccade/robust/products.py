"""Products with the Fisher matrix of an input, by several ways of differentiating."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch.func import jvp, linearize

from saccade.errors import ConfigError
from saccade.robust.target import Tail, Target, tail_of

Backend = Literal["auto", "jvp", "linearize", "double_vjp", "difference", "kl"]
STEP = 1e-2
"""Of central differences, as a part of the norm of a unit direction."""
RADIUS = 1e-3
"""Of the KL divergence whose gradient is taken; foolbox's 1e-6 is far too small for float32."""


@dataclass
class Passes:
    """Passes through the target, for the whole batch at once."""

    forward: int = 0
    jvp: int = 0
    vjp: int = 0

    @property
    def equivalents(self) -> int:
        """In forward passes: a derivative in either direction costs about one more."""
        return self.forward + self.jvp + self.vjp


@dataclass
class Product:
    """G v / Q at a batch of inputs. Vectors are (N, D).

    A target may give one distribution an input, (N, C), or one for each of T positions of an
    answer, (N, T, C); then G is the sum over positions, because the scores of successive tokens
    are uncorrelated. Q is the probability of not being the most likely class, summed over
    positions. One derivative forwards and one backwards serve all positions.
    """

    target: Target
    x: torch.Tensor
    backend: Backend = "auto"
    passes: Passes = field(default_factory=Passes)

    def __post_init__(self) -> None:
        """One forward pass, kept for all products."""
        self.log_probs, self._pull = _vjp(self.target.log_probs, self.x)
        self.passes.forward += 1
        if self.log_probs.ndim not in (2, 3):
            shape = tuple(self.log_probs.shape)
            raise ConfigError(f"target: log_probs must be (N, C) or (N, T, C), got {shape}")
        rows = self.log_probs.flatten(0, -2)
        self.tail: Tail = tail_of(rows)
        log_q = self.tail.log_q.view(len(self.x), -1)
        self.log_q = log_q.logsumexp(1)
        """(N,) float64: log Q."""
        self._share = (log_q - self.log_q[:, None]).exp().view(-1, 1)
        self._push: Callable[[torch.Tensor], torch.Tensor] | None = None

    def pull(self, cotangent: torch.Tensor) -> torch.Tensor:
        """J^T c: (N, C) or (N * T, C) -> (N, D)."""
        self.passes.vjp += 1
        shaped = cotangent.to(self.log_probs.dtype).view_as(self.log_probs)
        return self._pull(shaped).flatten(1)

    def gradient(self) -> torch.Tensor:
        """(N, D): u, the gradient by which the others gain on the most likely class.

        The loss gradient divided by Q: it does not vanish, however confident the target is.
        """
        return self.pull(self._cotangent(self.tail.weights, -torch.ones_like(self.tail.q)))

    def __call__(self, v: torch.Tensor) -> torch.Tensor:
        """G v / Q for directions (N, D)."""
        if self.backend == "kl":
            return self._by_divergence(v)
        return self.pull(self._metric(self.push(v)))

    def push(self, v: torch.Tensor) -> torch.Tensor:
        """J v: (N, D) -> (N, C)."""
        if self._push is None:
            self._push = self._choose(v)
        return self._push(v)

    def _metric(self, t: torch.Tensor) -> torch.Tensor:
        """(diag p - p p^T) t / Q, in the pivoted form."""
        tail = self.tail
        t = t.double().flatten(0, -2)
        t = t.gather(1, tail.others) - t.gather(1, tail.top[:, None])
        mean = (tail.weights * t).sum(1, keepdim=True)
        return self._cotangent(tail.weights * (t - tail.q * mean), -(1 - tail.q) * mean)

    def _cotangent(self, others: torch.Tensor, top: torch.Tensor) -> torch.Tensor:
        """(N * T, C), of the positions by their share of Q."""
        whole = torch.empty(
            len(others), others.shape[1] + 1, dtype=torch.float64, device=top.device
        )
        whole = whole.scatter(1, self.tail.others, others).scatter(1, self.tail.top[:, None], top)
        return self._share * whole

    def _choose(self, v: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        """The way of differentiating forwards; where an operator has none, the next one."""
        ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
            "jvp": self._by_jvp,
            "linearize": self._by_linearize,
            "double_vjp": self._by_double_vjp,
            "difference": self._by_difference,
        }
        if self.backend != "auto":
            return ways[self.backend]
        for name in ("jvp", "double_vjp"):
            before = Passes(self.passes.forward, self.passes.jvp, self.passes.vjp)
            try:
                ways[name](v)
            except (NotImplementedError, RuntimeError):
                self.passes.forward, self.passes.jvp = before.forward, before.jvp
                self.passes.vjp = before.vjp
                continue
            self.passes.forward, self.passes.jvp = before.forward, before.jvp
            self.passes.vjp = before.vjp
            return ways[name]
        return self._by_difference

    def _by_jvp(self, v: torch.Tensor) -> torch.Tensor:
        self.passes.forward += 1
        self.passes.jvp += 1
        with quiet():
            pushed: torch.Tensor = jvp(self.target.log_probs, (self.x,), (self._shaped(v),))[1]
        return pushed

    def _by_linearize(self, v: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "_linear"):
            self.passes.forward += 1
            with quiet():
                _, self._linear = linearize(self.target.log_probs, self.x)
        self.passes.jvp += 1
        pushed: torch.Tensor = self._linear(self._shaped(v))
        return pushed

    def _by_double_vjp(self, v: torch.Tensor) -> torch.Tensor:
        """J v as the derivative of J^T w with respect to w, which is linear in w."""
        self.passes.forward += 1
        self.passes.vjp += 2
        with torch.enable_grad():
            x = self.x.detach().requires_grad_()
            out = self.target.log_probs(x)
            w = torch.zeros_like(out, requires_grad=True)
            (back,) = torch.autograd.grad(out, x, w, create_graph=True)
            (pushed,) = torch.autograd.grad(back, w, self._shaped(v))
        return pushed.detach()

    def _by_difference(self, v: torch.Tensor) -> torch.Tensor:
        self.passes.forward += 2
        step = STEP * self._shaped(v)
        with torch.no_grad():
            ahead, behind = (self.target.log_probs(self.x + s * step) for s in (1, -1))
        return (ahead.double() - behind.double()) / (2 * STEP)

    def _by_divergence(self, v: torch.Tensor) -> torch.Tensor:
        """The gradient of KL(p(x) || p(x + r)) at r = RADIUS v: first order only, and biased."""
        self.passes.forward += 1
        self.passes.vjp += 1
        moved, pull = _vjp(self.target.log_probs, self.x + RADIUS * self._shaped(v))
        back = pull(moved.exp() - self.log_probs.exp())
        return back.flatten(1) / (RADIUS * self.log_q.exp()[:, None].to(back.dtype))

    def _shaped(self, v: torch.Tensor) -> torch.Tensor:
        return v.to(self.x.dtype).view_as(self.x)


def _vjp(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """Values, and what pulls cotangents of them back to x.

    By ordinary autograd, which every operator supports.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        values = function(x)

    def pull(cotangent: torch.Tensor) -> torch.Tensor:
        (back,) = torch.autograd.grad(values, x, cotangent, retain_graph=True)
        return back

    return values.detach(), pull


@contextmanager
def quiet() -> Iterator[None]:
    """Torch 2.13 warns of itself when it first differentiates forwards."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Attempted to insert a get_attr Node")
        warnings.filterwarnings(
            "ignore", message=".*torch.jit.script.*", category=DeprecationWarning
        )
        yield
