"""Attacks that know of the detector: a detector is judged by what it says of these.

Both go on until the input is read wrong, then until it looks like a clean one: as confident as the
typical clean image, and, for the second, with as small a top eigenvalue. Then they stop. The first
needs no gradient of the detector at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch.func import jvp
from torch.nn.functional import normalize

from saccade.fisher.products import Product, quiet
from saccade.fisher.spectrum import eigenpairs
from saccade.fisher.target import CHUNK, Target, tail_of
from saccade.robust.attacks import Norm
from saccade.robust.attacks.base import Attack, Batch, projected
from saccade.robust.attacks.directions import loss_direction, sized
from saccade.robust.attacks.stepped import STEP_SHARE


class AdaptiveConfidence(Attack):
    """Projected steps in L2 that stop where the input is as sure of its class as a clean one.

    The first start is the input, the others are at random in the ball. Of each input the first that
    stopped is kept, else one that is read wrong.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)
    can_target: ClassVar[bool] = False
    chunk: ClassVar[int | None] = None

    log_q: float | None = None
    """Logarithm of 1 - p_max at which to stop; None for the median of the inputs as they are."""
    steps: int = Field(default=100, ge=1)
    """Number of steps of each start."""
    restarts: int = Field(default=5, ge=1)
    """Number of starts."""

    def passes(self, budgets: int) -> int:
        return budgets * self.steps * self.restarts

    def propose(self, batch: Batch, epsilons: Sequence[float]) -> list[torch.Tensor]:
        log_q = typical_log_q(batch.target, batch.x) if self.log_q is None else self.log_q
        bound = self._largest_eigenvalue(batch)
        return [self._best(batch, epsilon, log_q, bound) for epsilon in epsilons]

    def _largest_eigenvalue(self, batch: Batch) -> float | None:
        """Logarithm of the eigenvalue above which a step goes on; None for any."""
        return None

    def _best(
        self, batch: Batch, epsilon: float, log_q: float, log_lambda: float | None
    ) -> torch.Tensor:
        x, labels = batch.x, batch.classes
        generator = torch.Generator().manual_seed(batch.seed)
        best = x.clone()
        rank = torch.zeros(len(x), dtype=torch.int64)
        for start in range(self.restarts):
            left = rank < 2
            if not left.any():
                break
            noise = torch.randn(x.shape, generator=generator)
            size = epsilon * torch.rand(len(x), generator=generator) * (start > 0)
            away = size.view(-1, *[1] * (x.ndim - 1)) * sized(noise, "l2")
            begun = batch.box.clip(x + away)[left]
            part = batch._replace(x=x[left], classes=labels[left])
            moved, stopped = self._walk(part, begun, epsilon, log_q, log_lambda)
            with torch.no_grad():
                wrong = batch.target.log_probs(moved).argmax(1) != labels[left]
            reached = wrong.long() + (wrong & stopped).long()
            better = reached > rank[left]
            at = left.nonzero()[:, 0][better]
            best[at], rank[at] = moved[better], reached[better]
        return best

    def _walk(
        self,
        batch: Batch,
        begun: torch.Tensor,
        epsilon: float,
        log_q: float,
        log_lambda: float | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the steps end, and whether they stopped of themselves."""
        target, x, labels = batch.target, batch.x, batch.classes
        stopped = torch.zeros(len(x), dtype=torch.bool)
        moved = begun.clone()
        size = STEP_SHARE * epsilon / self.steps
        for step in range(self.steps + 1):
            at = (~stopped).nonzero()[:, 0]
            if not len(at):
                break
            here, own = moved[at], labels[at]
            with torch.no_grad():
                tail = tail_of(target.log_probs(here))
            wrong, sure = tail.top != own, tail.log_q <= log_q
            done = wrong & sure
            way = loss_direction(target, here, own)
            if wrong.any():
                way[wrong] = -loss_direction(target, here[wrong], tail.top[wrong])
            if log_lambda is not None and done.any():
                low = eigenpairs(target, here[done]).log_values[:, 0] <= log_lambda
                if (~low).any():
                    flat = done.nonzero()[:, 0][~low]
                    way[flat] = -_eigenvalue_gradient(target, here[flat])
                    done[flat] = False
            stopped[at[done]] = True
            if step == self.steps:
                break
            go = at[~done]
            ahead = moved[go] + size * sized(way[~done], "l2")
            moved[go] = batch.box.clip(x[go] + projected(ahead - x[go], epsilon, "l2"))
        return moved, stopped


class AdaptiveEigenvalue(AdaptiveConfidence):
    """The same, which also goes on until the largest eigenvalue is that of a clean input."""

    log_lambda: float | None = None
    """Logarithm of the largest eigenvalue at which to stop; None for the median of the inputs."""

    def _largest_eigenvalue(self, batch: Batch) -> float:
        if self.log_lambda is not None:
            return self.log_lambda
        return typical_log_lambda(batch.target, batch.x)


def typical_log_q(target: Target, x: torch.Tensor) -> float:
    """The median of log(1 - p_max) over inputs."""
    with torch.no_grad():
        return float(tail_of(target.log_probs(x)).log_q.median())


def typical_log_lambda(target: Target, x: torch.Tensor) -> float:
    """The median of the logarithm of the largest eigenvalue over inputs."""
    values = [eigenpairs(target, part).log_values[:, 0] for part in torch.split(x, CHUNK)]
    return float(torch.cat(values).median())


def _eigenvalue_gradient(target: Target, x: torch.Tensor) -> torch.Tensor:
    """(N, *shape): the gradient of log v^T G(x) v, v the unit gradient of the loss, held fixed.

    v is the top eigenvector but for a few degrees where one class competes, and where it is exact
    the gradient is that of log lambda_1.
    """
    product = Product(target, x)
    v = normalize(product.gradient(), dim=1).view_as(x)
    top, others = product.tail.top[:, None], product.tail.others
    with torch.enable_grad(), quiet():
        point = x.detach().requires_grad_()
        log_probs, pushed = jvp(target.log_probs, (point,), (v,))[:2]
        rest = log_probs.gather(1, others)
        log_rest = rest.logsumexp(1, keepdim=True)
        log_q = log_rest - torch.logaddexp(log_rest, log_probs.gather(1, top))
        weights = (rest - log_rest).exp()
        along = pushed.gather(1, others) - pushed.gather(1, top)
        mean = (weights * along).sum(1, keepdim=True)
        spread = (weights * along.square()).sum(1, keepdim=True) - log_q.exp() * mean.square()
        value = log_q + spread.clamp_min(1e-30).log()
        (gradient,) = torch.autograd.grad(value.sum(), point)
    return gradient
