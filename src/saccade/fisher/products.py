"""Products with the Fisher matrix of an input, by several ways of differentiating."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from torch.func import jvp, linearize

from saccade.config import check_choice
from saccade.errors import ConfigError
from saccade.fisher.checks import (
    changes_nearby,
    check_finite,
    check_graph,
    check_values,
    report_zero,
)
from saccade.fisher.target import Tail, Target, tail_of

Backend = Literal["auto", "jvp", "linearize", "double_vjp", "difference", "kl"]
STEP = 1e-2
"""Step of central differences, as a part of the norm of a unit direction."""
RADIUS = 1e-3
"""Radius of the KL divergence whose gradient is taken; 1e-6, as in foolbox, is far too small for
float32."""


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
        """One forward pass, kept for all products.

        Raises:
            ConfigError: there is no such backend, or log-probabilities that cannot be used.
        """
        check_choice("backend", self.backend, get_args(Backend))
        self._leaf, self._values = _forward(self.target.log_probs, self.x)
        self.log_probs = self._values.detach()
        self.passes.forward += 1
        self._back: tuple[torch.Tensor, torch.Tensor] | None = None
        if self.log_probs.ndim not in (2, 3):
            shape = tuple(self.log_probs.shape)
            raise ConfigError(f"target: log_probs must be (N, C) or (N, T, C), got {shape}")
        check_values(self._values)
        rows = self.log_probs.flatten(0, -2)
        self.tail: Tail = tail_of(rows)
        log_q = self.tail.log_q.view(len(self.x), -1)
        self.log_q = log_q.logsumexp(1)
        """(N,) float64: log Q."""
        self._share = (log_q - self.log_q[:, None]).exp().view(-1, 1)
        self._way: Backend | None = None if self.backend == "auto" else self.backend

    def part(self, rows: torch.Tensor) -> Product:
        """The same for some of the inputs, (n,) int64, by the same way; costs a forward pass."""
        return Product(self.target, self.x[rows], self._way or self.backend, self.passes)

    def pull(self, cotangent: torch.Tensor) -> torch.Tensor:
        """J^T c: (N, C) or (N * T, C) -> (N, D).

        Raises:
            ConfigError: the target has no gradient in its inputs.
        """
        self.passes.vjp += 1
        shaped = self._like_values(cotangent)
        (back,) = torch.autograd.grad(
            self._values, self._leaf, shaped, retain_graph=True, allow_unused=True
        )
        return check_graph(back).flatten(1)

    def gradient(self) -> torch.Tensor:
        """(N, D): u, the gradient by which the others gain on the most likely class.

        The loss gradient divided by Q: it does not vanish, however confident the target is.
        """
        return self._open().detach().flatten(1)

    def _open(self) -> torch.Tensor:
        """The gradient as a differentiable function J^T w of its cotangent w: for `double_vjp`."""
        self.passes.vjp += 1
        w = self._like_values(self._cotangent(self.tail.weights, -torch.ones_like(self.tail.q)))
        w.requires_grad_()
        (back,) = torch.autograd.grad(
            self._values, self._leaf, w, create_graph=True, allow_unused=True
        )
        self._back = w, check_graph(back)
        self.look(self._back[1])
        return self._back[1]

    def look(self, gradients: torch.Tensor) -> None:
        """Whether gradients of this target, (N, ...), are some by which inputs can be moved.

        Warns where all are zero and nothing else is wrong.

        Raises:
            ConfigError: they are not finite, or zero because something hides them.
        """
        if 0 < float(gradients.detach().abs().max()) < torch.inf:
            return
        check_finite(gradients)
        waves = torch.arange(self.log_probs.numel(), device=self.x.device).cos()
        masked = not self.pull(waves).any() and changes_nearby(self.target.log_probs, self.x)
        report_zero(len(self.x), masked)

    def __call__(self, v: torch.Tensor) -> torch.Tensor:
        """G v / Q for directions (N, D)."""
        if self.backend == "kl":
            return self._by_divergence(v)
        return self.pull(self._metric(self.push(v)))

    def push(self, v: torch.Tensor) -> torch.Tensor:
        """J v: (N, D) -> (N, C). Where an operator has no forward mode, by the next best way."""
        if self._way is not None:
            return self._push_by(self._way, v)
        names: tuple[Backend, ...] = ("double_vjp", "jvp")
        for name in names:
            before = replace(self.passes)
            try:
                pushed = self._push_by(name, v)
                if self._is_transposed(v, pushed):
                    self._way = name
                    return pushed
            except (NotImplementedError, RuntimeError):  # an operator has no such derivative
                pass
            vars(self.passes).update(vars(before))
        self._way = "difference"
        return self._push_by(self._way, v)

    def _is_transposed(self, v: torch.Tensor, pushed: torch.Tensor) -> bool:
        """Whether w (J v) = (J^T w) v, which costs no pass where the gradient is known.

        It is not where an operator's own backward is not differentiated, as by a detached factor.
        """
        if self._back is None:
            return True
        w, back = (part.detach().flatten(1).double() for part in self._back)
        ours, theirs = (w * pushed.flatten(1).double()).sum(1), (back * v.double()).sum(1)
        return bool(
            ((ours - theirs).abs() <= 0.05 * back.norm(dim=1) * v.double().norm(dim=1)).all()
        )

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

    def _push_by(self, way: str, v: torch.Tensor) -> torch.Tensor:
        ways = {
            "jvp": self._by_jvp,
            "linearize": self._by_linearize,
            "double_vjp": self._by_double_vjp,
            "difference": self._by_difference,
        }
        return ways[way](v)

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
        """J v as the derivative of J^T w with respect to w, which is linear in w.

        No forward pass is repeated, and the transposed graph is that of the gradient.
        """
        if self._back is None:
            self._open()
        assert self._back is not None
        w, back = self._back
        self.passes.jvp += 1
        (pushed,) = torch.autograd.grad(back, w, self._shaped(v), retain_graph=True)
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
        leaf, moved = _forward(self.target.log_probs, self.x + RADIUS * self._shaped(v))
        (back,) = torch.autograd.grad(moved, leaf, moved.detach().exp() - self.log_probs.exp())
        return back.flatten(1) / (RADIUS * self.log_q.exp()[:, None].to(back.dtype))

    def _like_values(self, cotangent: torch.Tensor) -> torch.Tensor:
        return cotangent.to(self.log_probs.dtype).view_as(self.log_probs)

    def _shaped(self, v: torch.Tensor) -> torch.Tensor:
        return v.to(self.x.dtype).view_as(self.x)


def _forward(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """An input and its values in a graph, by ordinary autograd, which every operator supports."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return x, function(x)


@contextmanager
def quiet() -> Iterator[None]:
    """Torch 2.13 warns of itself when it first differentiates forwards."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Attempted to insert a get_attr Node")
        warnings.filterwarnings(
            "ignore", message=".*torch.jit.script.*", category=DeprecationWarning
        )
        yield
