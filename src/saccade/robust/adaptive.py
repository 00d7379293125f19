"""Attacks that know of the detector: what a detector is worth is what it says of these.

Both go on until the input is read wrong, then until it looks like a clean one: as confident as the
typical clean image, and, for the second, with as small a top eigenvalue. Then they stop. The first
needs no gradient of the detector at all.
"""

from __future__ import annotations

import torch
from torch.func import jvp
from torch.nn.functional import normalize

from saccade.robust.attacks import STEP_SHARE, Attacked, Box, check_labels, measured, projected
from saccade.robust.directions import loss_direction, sized
from saccade.robust.fisher import eigenpairs
from saccade.robust.products import Product, quiet
from saccade.robust.target import Target, checked, tail_of

STEPS, RESTARTS = 100, 5


def adaptive(
    target: Target,
    x: torch.Tensor,
    labels: torch.Tensor,
    *,
    epsilon: float,
    log_q: float,
    log_lambda: float | None = None,
    steps: int = STEPS,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> Attacked:
    """Projected steps in L2 that stop where the input looks like a clean one.

    Args:
        target: Gives log-probabilities.
        x: (N, ...) inputs in [0, 1].
        labels: (N,) int64, what must not come out.
        epsilon: L2 size of the change.
        log_q: Stop at this logarithm of 1 - p_max, the median of clean inputs say.
        log_lambda: Also stop only below this logarithm of the largest eigenvalue.
        steps: Of each start.
        restarts: Starts, the first at the input, the others at random in the ball. Of each input
            the first that stopped is kept, else one that is read wrong.
        seed: Of the starts.

    Returns:
        `inputs` (1, N, *shape).
    """
    x = checked(x)
    check_labels(x, labels=labels)
    generator = torch.Generator().manual_seed(seed)
    best = x.clone()
    rank = torch.zeros(len(x), dtype=torch.int64)
    for start in range(restarts):
        left = rank < 2
        if not left.any():
            break
        noise = torch.randn(x.shape, generator=generator)
        size = epsilon * torch.rand(len(x), generator=generator) * (start > 0)
        away = size.view(-1, *[1] * (x.ndim - 1)) * sized(noise, "l2")
        begun = Box().hold(x + away)[left]
        moved, stopped = _walk(
            target, x[left], begun, labels[left], epsilon, steps, log_q, log_lambda
        )
        with torch.no_grad():
            wrong = target.log_probs(moved).argmax(1) != labels[left]
        reached = wrong.long() + (wrong & stopped).long()
        better = reached > rank[left]
        at = left.nonzero()[:, 0][better]
        best[at], rank[at] = moved[better], reached[better]
    return measured(target, x, best[None], labels)


def _walk(
    target: Target,
    x: torch.Tensor,
    moved: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
    steps: int,
    log_q: float,
    log_lambda: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the steps end, and whether they stopped of themselves."""
    stopped = torch.zeros(len(x), dtype=torch.bool)
    moved = moved.clone()
    size = STEP_SHARE * epsilon / steps
    for step in range(steps + 1):
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
        if step == steps:
            break
        go = at[~done]
        ahead = moved[go] + size * sized(way[~done], "l2")
        moved[go] = Box().hold(x[go] + projected(ahead - x[go], epsilon, "l2"))
    return moved, stopped


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
