"""Attacks of one step: a direction, and as far along it as the budget allows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch

from saccade.fisher.products import Product
from saccade.fisher.spectrum import eigenpairs
from saccade.fisher.target import Target
from saccade.robust.attacks.base import Attack, Batch
from saccade.robust.attacks.directions import loss_direction, sized


class OneStep(Attack):
    """A single step of the size of the budget."""

    @abstractmethod
    def towards(self, batch: Batch) -> torch.Tensor:
        """(N, *shape): where the step goes, of any size."""

    def direction(self, batch: Batch) -> torch.Tensor:
        """(N, *shape): the change of size one by which the loss rises (falls if targeted)."""
        return sized(self.towards(batch), batch.norm)

    def passes(self, budgets: int) -> int:
        return 1

    def propose(self, batch: Batch, epsilons: Sequence[float]) -> list[torch.Tensor]:
        direction = self.direction(batch)
        return [batch.x + epsilon * direction for epsilon in epsilons]


class Ossa(OneStep):
    """Along the largest eigenvector of the Fisher matrix.

    Source: Zhao et al., arXiv 1810.03806, algorithm 1. Where we deviate: the sign is that by which
    the loss rises to first order (published: tried by a forward pass).
    """

    def passes(self, budgets: int) -> int:
        return 12

    def towards(self, batch: Batch) -> torch.Tensor:
        """The top eigenvector; its sign costs nothing where the class to leave is the likeliest."""
        target, x, classes = batch.target, batch.x, batch.classes
        pairs = eigenpairs(target, x)
        gradient = pairs.gradients.clone()
        other = pairs.top != classes
        if other.any():
            gradient[other] = loss_direction(target, x[other], classes[other])
        along = (pairs.vectors[:, 0] * gradient).flatten(1).sum(1)
        sign = torch.where((along < 0) != batch.targeted, -1.0, 1.0).to(x.dtype)
        return pairs.vectors[:, 0] * sign.view(-1, *[1] * (x.ndim - 1))


class Fgm(OneStep):
    """Along the gradient of the loss; with `linf` the FGSM of Goodfellow et al. (1412.6572)."""

    def towards(self, batch: Batch) -> torch.Tensor:
        way = loss_direction(batch.target, batch.x, batch.classes)
        return way * (-1 if batch.targeted else 1)


class Otcm(OneStep):
    """Towards the least likely class (Kurakin et al., arXiv 1607.02533), or the target class."""

    def towards(self, batch: Batch) -> torch.Tensor:
        least = batch.classes if batch.targeted else _least_likely(batch.target, batch.x)
        return -loss_direction(batch.target, batch.x, least)


class DeepFool(OneStep):
    """To the nearest boundary of the linearised target: the first step of arXiv 1511.04599."""

    def passes(self, budgets: int) -> int:
        return 12

    def towards(self, batch: Batch) -> torch.Tensor:
        """Across the nearest boundary; across that of the target class if there is one."""
        target, x, classes = batch.target, batch.x, batch.classes
        product = Product(target, x)
        log_probs = product.log_probs.double()
        leave = log_probs.argmax(1) if batch.targeted else classes
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
            if batch.targeted:
                better &= classes == k
            nearest = torch.where(better, distance, nearest)
            way[better] = gradient.view_as(x)[better]
        product.look(way)
        return way


class Random(OneStep):
    """A direction at random: what an attack must beat."""

    def towards(self, batch: Batch) -> torch.Tensor:
        generator = torch.Generator().manual_seed(batch.seed)
        return torch.randn(batch.x.shape, generator=generator).to(batch.x)


def _least_likely(target: Target, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return target.log_probs(x).argmin(1)
