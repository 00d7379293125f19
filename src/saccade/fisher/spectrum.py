"""The spectrum of the input-space Fisher matrix of a classifier.

    pairs = eigenpairs(Classifier(model), images, k=3)
    pairs.log_values, pairs.vectors          # (N, 3), (N, 3, *shape)

G(x) = sum_k p_k (grad log p_k) (grad log p_k)^T = J^T (diag p - p p^T) J, with J the Jacobian of
the log-probabilities. Its largest eigenvector is the direction in which the prediction changes
fastest in the sense of KL divergence: KL(p(x) || p(x + d)) is about d^T G d / 2. Source: Zhao et
al., "The Adversarial Attack and Detection under the Fisher Information Metric" (AAAI 2019, arXiv
1810.03806), section 2. The matrix is never formed. Where we deviate: eigenvalues are computed in a
form without cancellation (`target.Tail`), so that they are right where 1 - p_max is below the
precision of float32; no labels are sampled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch

from saccade.config import check_choice
from saccade.errors import ConfigError
from saccade.fisher.checks import (
    check_same,
    check_target,
    check_whole,
    differentiable,
    some_of,
)
from saccade.fisher.products import Backend, Passes, Product
from saccade.fisher.target import Tail, Target, checked

Method = Literal["auto", "gram", "lanczos"]
GRAM_CLASSES = 16
"""With at most so many classes, or four times the pairs, all gradients cost less than Lanczos."""
TOLERANCE = 1e-4
"""Largest residual of the largest pair, relative to its eigenvalue."""
MAX_STEPS = 32
CHUNK_BYTES = 256 << 20


class Eigenpairs(NamedTuple):
    """The largest eigenvalues of each input, with their vectors."""

    log_values: torch.Tensor
    """(N, k) float64, natural logarithms, largest first; -inf beyond the rank."""
    vectors: torch.Tensor
    """(N, k, *shape of an input), of length one; 0 beyond the rank. Their sign is open."""
    residuals: torch.Tensor
    """(N, k) float64: |G v - lambda v| / lambda_1."""
    gradients: torch.Tensor
    """(N, *shape): the loss gradient over Q, which does not vanish; it gives vectors a sign."""
    top: torch.Tensor
    """(N,) or (N, T) int64: the most likely class."""
    gap: torch.Tensor
    """(N,) float64: 1 - lambda_2 / lambda_1; near 0 the first vector is not determined. With
    `lanczos` of few products it is an estimate, 1 where one product was enough."""
    passes: Passes
    """Passes through the target, as if for one batch."""


@differentiable()
def eigenpairs(
    target: Target,
    x: torch.Tensor,
    k: int = 1,
    method: Method = "auto",
    *,
    coverage: float = 1.0,
    backend: Backend = "auto",
    tolerance: float = TOLERANCE,
    max_steps: int | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Eigenpairs:
    """The k largest eigenpairs of the Fisher matrix at each input.

    Args:
        target: Gives log-probabilities.
        x: (N, ...) inputs.
        k: Number of pairs.
        method: `gram` takes the gradient of every class (exact; one backward pass a class);
            `lanczos` starts at the loss gradient and stops at the residual (passes do not depend on
            the number of classes); `auto` takes the first for few classes.
        coverage: With `gram`: leave out the least likely classes, keeping this share of what is not
            the most likely one. The error of lambda_1 is of the order of the share left out.
        backend: How `lanczos` differentiates forwards.
        tolerance: With `lanczos`: residual of the largest pair, relative to its eigenvalue.
        max_steps: With `lanczos`: products at most; 32 or four for each pair if left out. Where
            they were too few, the residuals say so.
        chunk_bytes: Bound on the memory of gradients; inputs are taken in chunks that fit.

    Raises:
        ConfigError: inputs or log-probabilities that cannot be used, a target that does not give
            the same twice or has no gradient; k or coverage out of range.
    """
    x = checked(x)
    check_choice("method", method, get_args(Method))
    check_choice("backend", backend, get_args(Backend))
    check_target(target)
    check_whole("k", k)
    if max_steps is not None:
        check_whole("max_steps", max_steps)
    if not 0 < coverage <= 1:
        raise ConfigError(f"coverage: more than 0 and at most 1, got {coverage}")
    with torch.no_grad():
        alone = target.log_probs(some_of(x))
    classes, sequence = alone.shape[-1], alone.ndim == 3
    if coverage < 1:
        if method == "lanczos":
            raise ConfigError("coverage: lanczos needs no class left out; method is to be gram")
        method = "gram"
    if method == "gram" and sequence:
        raise ConfigError("method: gram is for one distribution an input; use lanczos")
    if method == "auto":
        few = classes <= max(GRAM_CLASSES, 4 * k) and not sequence
        method = "gram" if few else "lanczos"
    max_steps = max(MAX_STEPS, 4 * k) if max_steps is None else max_steps
    held = (classes if method == "gram" else max_steps + 2) * x[0].numel() * x.element_size()
    size = max(1, chunk_bytes // held)

    def pairs(product: Product) -> Eigenpairs:
        if method == "gram":
            return _by_gram(product, k, coverage)
        return _by_lanczos(product, k, tolerance, max_steps)

    first, *rest = torch.split(x, size)
    parts = [pairs(_same(Product(target, first, backend), alone))]
    parts += [pairs(Product(target, part, backend)) for part in rest]
    if len(parts) == 1:
        return parts[0]
    tensors = [torch.cat(field) for field in list(zip(*parts, strict=True))[:-1]]
    most = max((part.passes for part in parts), key=lambda passes: passes.equivalents)
    return Eigenpairs._make([*tensors, most])


def _same(product: Product, alone: torch.Tensor) -> Product:
    """The same product, if its target says of the first inputs what it said of them before."""
    check_same(alone[: len(product.x)], product.log_probs[: len(alone)])
    return product


def _by_gram(product: Product, k: int, coverage: float) -> Eigenpairs:
    """All eigenvalues through the Gram matrix of the classes, which has the same ones."""
    tail = product.tail
    weights = tail.weights
    if coverage < 1:
        before = weights.cumsum(1) - weights
        weights = torch.where(before < coverage, weights, 0.0)
    kept = int((weights > 0).sum(1).max())
    gradients = torch.stack([_class_gradient(product, n) for n in range(kept)], 1)  # (N, K, D)
    product.look(gradients)
    weights = weights[:, :kept]
    root = _root(tail, weights)
    wide = gradients.double()
    gram = root @ (wide @ wide.transpose(1, 2)) @ root.transpose(1, 2)
    values, rotation = torch.linalg.eigh(gram)
    gap = _gap(values)
    values, rotation = values.flip(1)[:, :k], rotation.flip(2)[:, :, :k]
    vectors = rotation.transpose(1, 2) @ (root @ wide)
    return _finished(
        product, values, vectors, (weights[..., None] * wide).sum(1), k, gap,
        apply=lambda v: _times(tail, weights, wide, v),
    )  # fmt: skip


def _by_lanczos(whole: Product, k: int, tolerance: float, max_steps: int) -> Eigenpairs:
    """Lanczos with full reorthogonalisation from the loss gradient, all inputs in step.

    Each input is done when its own residuals are small enough, whatever the others need; when half
    of those under way are done, only the others go on.
    """
    product, x = whole, whole.x
    start = product.gradient().double()
    rank = (
        product.log_probs[0].numel() - product.log_probs[0].numel() // product.log_probs.shape[-1]
    )
    limit = min(max_steps, x[0].numel(), rank)
    kept, (n, size) = min(k, limit), start.shape
    values, residuals = start.new_zeros(n, kept), start.new_zeros(n, kept)
    vectors, gap = start.new_zeros(n, kept, size), start.new_ones(n)
    basis = torch.nn.functional.normalize(start, dim=1)[:, None]  # (rows, steps, D)
    diagonal, beside = start.new_zeros(n, 0), start.new_zeros(n, 0)
    rows = torch.arange(n, device=x.device)
    waits = torch.ones(n, dtype=torch.bool, device=x.device)
    while True:
        w = product(basis[:, -1]).double()
        diagonal = torch.cat([diagonal, (w * basis[:, -1]).sum(1, keepdim=True)], 1)
        for _ in range(2):
            w = w - torch.einsum("bid,bi->bd", basis, torch.einsum("bid,bd->bi", basis, w))
        length = w.norm(dim=1, keepdim=True)
        found, rotation = torch.linalg.eigh(_tridiagonal(diagonal, beside))
        apart = _gap(found)
        found, rotation = found.flip(1)[:, :k], rotation.flip(2)[:, :, :k]
        off = length * rotation[:, -1].abs() / found[:, :1].clamp_min(1e-300)
        steps = diagonal.shape[1]
        if steps == limit:
            done = waits
        elif steps >= k:
            done = waits & (off <= tolerance).all(1)
        else:
            done = torch.zeros_like(waits)
        if done.any():
            at = rows[done]
            values[at], residuals[at], gap[at] = found[done], off[done], apart[done]
            vectors[at] = torch.einsum("nid,nik->nkd", basis[done], rotation[done])
            waits = waits & ~done
            if not waits.any():
                break
        ahead = torch.where(length > 1e-12, w / length.clamp_min(1e-12), 0.0)
        basis = torch.cat([basis, ahead[:, None]], 1)
        beside = torch.cat([beside, length], 1)
        if 2 * int(waits.sum()) <= len(waits):
            product = product.part(waits.nonzero()[:, 0])
            basis, diagonal, beside = basis[waits], diagonal[waits], beside[waits]
            rows, waits = rows[waits], waits[waits]
    return _finished(whole, values, vectors, start, k, gap, residuals=residuals)


def _class_gradient(product: Product, n: int) -> torch.Tensor:
    """(N, D): the gradient of log p_k - log p_m, k the n-th of the other classes."""
    tail = product.tail
    cotangent = torch.zeros_like(product.log_probs)
    cotangent.scatter_(1, tail.others[:, n : n + 1], 1.0)
    cotangent.scatter_(1, tail.top[:, None], -1.0)
    return product.pull(cotangent)


def _root(tail: Tail, weights: torch.Tensor) -> torch.Tensor:
    """(N, K + 1, K): a square root of the metric over q; the last row is the top class."""
    root = weights.sqrt()
    others = torch.diag_embed(root) - (tail.q * root)[..., None] * weights[:, None]
    top = -((1 - tail.q) * tail.q).sqrt()[..., None] * weights[:, None]
    return torch.cat([others, top], 1)


def _times(
    tail: Tail, weights: torch.Tensor, gradients: torch.Tensor, v: torch.Tensor
) -> torch.Tensor:
    """G v / q from the gradients of the classes; v (N, k, D)."""
    t = torch.einsum("ncd,nkd->nkc", gradients, v)
    mean = (weights[:, None] * t).sum(-1, keepdim=True)
    y = weights[:, None] * (t - tail.q[:, None] * mean)
    return torch.einsum("ncd,nkc->nkd", gradients, y)


def _finished(
    product: Product,
    values: torch.Tensor,
    vectors: torch.Tensor,
    gradient: torch.Tensor,
    k: int,
    gap: torch.Tensor,
    *,
    apply: Callable[[torch.Tensor], torch.Tensor] | None = None,
    residuals: torch.Tensor | None = None,
) -> Eigenpairs:
    """Eigenvalues of G from those of G / q; what lies beyond the rank is -inf and 0."""
    x = product.x
    floor = 1e-15 * values[:, :1].clamp_min(0)
    real = values > floor
    vectors = torch.nn.functional.normalize(vectors, dim=-1) * real[..., None]
    if residuals is None:
        assert apply is not None
        off = apply(vectors) - values[..., None] * vectors
        residuals = off.norm(dim=-1) / values[:, :1].clamp_min(1e-300)
    logs = torch.where(real, product.log_q[:, None] + values.clamp_min(1e-300).log(), -torch.inf)
    missing = k - values.shape[1]
    if missing > 0:
        logs = torch.nn.functional.pad(logs, (0, missing), value=-torch.inf)
        residuals = torch.nn.functional.pad(residuals, (0, missing))
        vectors = torch.nn.functional.pad(vectors, (0, 0, 0, missing))
    return Eigenpairs(
        logs,
        vectors.to(x.dtype).view(len(x), k, *x.shape[1:]),
        torch.where(torch.isfinite(logs), residuals, 0.0),
        gradient.to(x.dtype).view_as(x),
        product.tail.top.view(product.log_probs.shape[:-1]),
        gap,
        product.passes,
    )


def _gap(values: torch.Tensor) -> torch.Tensor:
    """(N,) from eigenvalues (N, k), smallest first."""
    if values.shape[1] == 1:
        return torch.ones_like(values[:, 0])
    return 1 - values[:, -2].clamp_min(0) / values[:, -1].clamp_min(1e-300)


def _tridiagonal(diagonal: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
    """(N, n, n) from (N, n) and (N, n - 1)."""
    matrix = torch.diag_embed(diagonal)
    if beside.shape[1]:
        matrix = matrix + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
    return matrix
