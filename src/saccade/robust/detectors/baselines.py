"""The signals of others that the eigenvalues must beat.

Kernel density (Feinman et al., arXiv 1703.00410), local intrinsic dimensionality (Ma et al., arXiv
1801.02613), Mahalanobis distance (Lee et al., arXiv 1807.03888, without its input noise) and
feature squeezing (Xu et al., arXiv 1704.01155).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import nn

from saccade.errors import ConfigError
from saccade.fisher.checks import some_of
from saccade.fisher.target import CHUNK, Classifier, Target
from saccade.robust.attacks.arguments import predictions
from saccade.robust.detectors.base import ByRegression, Extractor, Reference, Signal, in_chunks


class KernelDensity(Signal):
    """Density of the last hidden layer among the training images of the predicted class."""

    bandwidth: float = Field(default=0.26, gt=0)
    """Width of the kernel, as a part of the median distance between reference images."""

    def grid(self, classes: int) -> Mapping[str, Sequence[float]]:
        return {"bandwidth": (0.05, 0.1, 0.15, 0.26, 0.4, 0.6, 0.8, 1.2)}

    def fit(self, target: Target, reference: Reference) -> Extractor:
        classifier = _classifier(target)
        known = hidden(classifier, reference.x)[-1]
        width = self.bandwidth * float(torch.pdist(known[:500]).median())

        @torch.no_grad()
        def rows(part: torch.Tensor) -> torch.Tensor:
            predicted = classifier.log_probs(part).argmax(1)
            distance = torch.cdist(hidden(classifier, part)[-1], known) / width
            other = predicted[:, None] != reference.labels[None]
            log_kernels = (-(distance.double() ** 2) / 2).masked_fill(other, -torch.inf)
            return -log_kernels.logsumexp(1, keepdim=True)

        return lambda x: in_chunks(rows, x)


class Dimensionality(ByRegression):
    """Local intrinsic dimensionality in every layer, from the nearest of a random sample."""

    neighbours: int = Field(default=20, ge=2)
    """Number of nearest images; the sample has five times as many."""

    def grid(self, classes: int) -> Mapping[str, Sequence[float]]:
        return {"neighbours": (10, 20, 50, 100), **super().grid(classes)}

    def fit(self, target: Target, reference: Reference) -> Extractor:
        classifier = _classifier(target)
        sample = hidden(classifier, reference.x[: 5 * self.neighbours])

        @torch.no_grad()
        def rows(part: torch.Tensor) -> torch.Tensor:
            columns = []
            for layer, known in zip(hidden(classifier, part), sample, strict=True):
                near = torch.cdist(layer, known).double().clamp_min(1e-9)
                near = near.topk(self.neighbours, largest=False, sorted=True).values
                columns.append(-1 / (near / near[:, -1:]).log().mean(1).clamp_max(-1e-9))
            return torch.stack(columns, 1)

        return lambda x: in_chunks(rows, x)


class Mahalanobis(ByRegression):
    """Distance to the nearest class mean in every layer, with one covariance a layer."""

    ridge: float = Field(default=0.01, gt=0)
    """What is added to the covariance, as a part of the mean variance."""

    def grid(self, classes: int) -> Mapping[str, Sequence[float]]:
        return {"ridge": (1e-4, 1e-2, 0.1, 1.0), **super().grid(classes)}

    def fit(self, target: Target, reference: Reference) -> Extractor:
        classifier = _classifier(target)
        fitted = [self._fitted(layer, reference) for layer in hidden(classifier, reference.x)]

        @torch.no_grad()
        def rows(part: torch.Tensor) -> torch.Tensor:
            columns = []
            for layer, (means, precision) in zip(hidden(classifier, part), fitted, strict=True):
                off = layer.double()[:, None] - means[None]
                columns.append(torch.einsum("nkd,de,nke->nk", off, precision, off).amin(1))
            return torch.stack(columns, 1)

        return lambda x: in_chunks(rows, x)

    def _fitted(
        self, layer: torch.Tensor, reference: Reference
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(K, F) means of the classes in a layer, and the (F, F) inverse of their covariance."""
        classes = torch.unique(reference.labels)
        wide = layer.double()
        means = torch.stack([wide[reference.labels == c].mean(0) for c in classes])
        position = torch.searchsorted(classes, reference.labels)
        covariance = torch.cov((wide - means[position]).T)
        mean_variance = covariance.diagonal().mean().clamp_min(1e-12)
        eye = torch.eye(len(covariance), dtype=torch.float64)
        return means, torch.linalg.inv(covariance + self.ridge * mean_variance * eye)


class Squeezing(Signal):
    """How far the prediction moves, in L1, when the image is squeezed: the largest of two ways."""

    bits: int = Field(default=3, ge=1)
    """Number of bits that a value is rounded to."""
    median: int = Field(default=2, ge=1)
    """Side of the median filter."""

    def grid(self, classes: int) -> Mapping[str, Sequence[float]]:
        return {"bits": (1, 2, 3, 5), "median": (2, 3)}

    def fit(self, target: Target, reference: Reference) -> Extractor:
        predictions(target, some_of(reference.x))
        levels = 2**self.bits - 1

        @torch.no_grad()
        def rows(part: torch.Tensor) -> torch.Tensor:
            before = target.log_probs(part).exp()
            squeezed = ((part * levels).round() / levels, _median(part, self.median))
            moved = [(target.log_probs(s).exp() - before).abs().sum(1) for s in squeezed]
            return torch.stack(moved, 1).amax(1, keepdim=True)

        return lambda x: in_chunks(rows, x)


@torch.no_grad()
def hidden(target: Classifier, x: torch.Tensor) -> list[torch.Tensor]:
    """The logits, and what each linear or convolutional layer but the first takes in.

    (N, F) each, the last hidden layer last. Maps are averaged over places, as Lee et al. do.
    """
    layers = [m for m in target.module.modules() if isinstance(m, nn.Linear | nn.Conv2d)][1:]
    taken: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        taken.append(inputs[0].flatten(2).mean(2) if inputs[0].ndim == 4 else inputs[0])

    hooks = [layer.register_forward_pre_hook(keep) for layer in layers]
    parts = []
    try:
        for part in torch.split(x, CHUNK):
            taken.clear()
            logits = target.module(part)
            parts.append([logits, *taken])
    finally:
        for hook in hooks:
            hook.remove()
    return [torch.cat(layer) for layer in zip(*parts, strict=True)]


def _classifier(target: Target) -> Classifier:
    if not isinstance(target, Classifier):
        raise ConfigError(
            f"signal: needs the hidden layers of a Classifier, got {type(target).__name__}"
        )
    return target


def _median(x: torch.Tensor, side: int) -> torch.Tensor:
    before = (side - 1) // 2
    around = (before, side - 1 - before) * 2
    padded = nn.functional.pad(x, around, mode="replicate")
    windows = padded.unfold(2, side, 1).unfold(3, side, 1).flatten(4)
    return windows.median(4).values
