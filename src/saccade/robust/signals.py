"""What a detector may look at: numbers of one input that an attack might change.

The paper's are the log-eigenvalues of the Fisher matrix. Beside them stand what they must beat:
`log_q`, a single number, the confidence; `log_probs`, all of it; `kd` (kernel density, Feinman et
al., arXiv 1703.00410), `lid` (local intrinsic dimensionality, Ma et al., arXiv 1801.02613),
`mahalanobis` (Lee et al., arXiv 1807.03888, without its input noise) and `squeezing` (Xu et al.,
arXiv 1704.01155). A signal is fitted to clean training images, if it needs any, and then gives
(N, F) numbers. Each has its grid of settings, of about the same size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from saccade.errors import ConfigError
from saccade.robust.fisher import eigenpairs
from saccade.robust.target import CHUNK, Classifier, Target, tail_of

Features = NDArray[np.float64]
"""(N, F)."""


class Reference(NamedTuple):
    """Clean images that a signal is fitted to."""

    x: torch.Tensor
    labels: torch.Tensor


class Signal(Protocol):
    """Numbers of inputs."""

    def __call__(self, target: Target, x: torch.Tensor) -> Features:
        """(N, ...) -> (N, F), finite."""
        ...


@dataclass(frozen=True)
class Spectrum:
    """The k largest log-eigenvalues; what lies beyond the rank is taken as `floor`.

    `floor` is the value at which the paper's figures end, log(1e-20).
    """

    k: int
    floor: float = -46.05

    def __call__(self, target: Target, x: torch.Tensor) -> Features:
        values = [eigenpairs(target, part, self.k).log_values for part in torch.split(x, CHUNK)]
        return _finite(torch.cat(values).clamp_min(self.floor))


@dataclass(frozen=True)
class Confidence:
    """log(1 - p_max); with `whole` also the log-probabilities of the other classes, sorted."""

    whole: bool = False

    @torch.no_grad()
    def __call__(self, target: Target, x: torch.Tensor) -> Features:
        rows = []
        for part in torch.split(x, CHUNK):
            tail = tail_of(target.log_probs(part))
            one = tail.log_q[:, None]
            others = one + tail.weights.clamp_min(1e-300).log()
            rows.append(torch.cat([one, others], 1) if self.whole else one)
        return _finite(torch.cat(rows))


class KernelDensity:
    """Density of the last hidden layer among the training images of the predicted class."""

    def __init__(self, target: Classifier, reference: Reference, bandwidth: float) -> None:
        """`bandwidth` is a part of the median distance between reference images."""
        self._hidden = hidden(target, reference.x)[-1]
        self._labels = reference.labels
        sample = self._hidden[:500]
        self._width = bandwidth * float(torch.pdist(sample).median())

    @torch.no_grad()
    def __call__(self, target: Target, x: torch.Tensor) -> Features:
        rows = []
        for part in torch.split(x, CHUNK):
            predicted = target.log_probs(part).argmax(1)
            layers = hidden(_classifier(target), part)
            distance = torch.cdist(layers[-1], self._hidden) / self._width
            other = predicted[:, None] != self._labels[None]
            log_kernels = (-(distance.double() ** 2) / 2).masked_fill(other, -torch.inf)
            rows.append(-log_kernels.logsumexp(1, keepdim=True))
        return _finite(torch.cat(rows))


class Dimensionality:
    """Local intrinsic dimensionality in every layer, from the k nearest of a random sample."""

    def __init__(self, target: Classifier, reference: Reference, neighbours: int) -> None:
        """The sample has 5 x `neighbours` images."""
        self._neighbours = neighbours
        sample = reference.x[: 5 * neighbours]
        self._layers = hidden(target, sample)

    @torch.no_grad()
    def __call__(self, target: Target, x: torch.Tensor) -> Features:
        rows = []
        for part in torch.split(x, CHUNK):
            columns = []
            for layer, known in zip(hidden(_classifier(target), part), self._layers, strict=True):
                near = torch.cdist(layer, known).double().clamp_min(1e-9)
                near = near.topk(self._neighbours, largest=False, sorted=True).values
                columns.append(-1 / (near / near[:, -1:]).log().mean(1).clamp_max(-1e-9))
            rows.append(torch.stack(columns, 1))
        return _finite(torch.cat(rows))


class Mahalanobis:
    """Distance to the nearest class mean in every layer, with one covariance a layer."""

    def __init__(self, target: Classifier, reference: Reference, ridge: float) -> None:
        """`ridge` times the mean variance is added to the covariance."""
        classes = torch.unique(reference.labels)
        self._means, self._precision = [], []
        for layer in hidden(target, reference.x):
            wide = layer.double()
            means = torch.stack([wide[reference.labels == c].mean(0) for c in classes])
            position = torch.searchsorted(classes, reference.labels)
            covariance = torch.cov((wide - means[position]).T)
            mean_variance = covariance.diagonal().mean().clamp_min(1e-12)
            eye = torch.eye(len(covariance), dtype=torch.float64)
            self._means.append(means)
            self._precision.append(torch.linalg.inv(covariance + ridge * mean_variance * eye))

    @torch.no_grad()
    def __call__(self, target: Target, x: torch.Tensor) -> Features:
        rows = []
        for part in torch.split(x, CHUNK):
            columns = []
            layers = hidden(_classifier(target), part)
            for layer, means, precision in zip(layers, self._means, self._precision, strict=True):
                off = layer.double()[:, None] - means[None]
                columns.append(torch.einsum("nkd,de,nke->nk", off, precision, off).amin(1))
            rows.append(torch.stack(columns, 1))
        return _finite(torch.cat(rows))


@dataclass(frozen=True)
class Squeezing:
    """How far the prediction moves, in L1, when the image is squeezed: the largest of two ways."""

    bits: int
    median: int
    """Side of the median filter."""

    @torch.no_grad()
    def __call__(self, target: Target, x: torch.Tensor) -> Features:
        levels = 2**self.bits - 1
        rows = []
        for part in torch.split(x, CHUNK):
            before = target.log_probs(part).exp()
            squeezed = ((part * levels).round() / levels, _median(part, self.median))
            moved = [(target.log_probs(s).exp() - before).abs().sum(1) for s in squeezed]
            rows.append(torch.stack(moved, 1).amax(1, keepdim=True))
        return _finite(torch.cat(rows))


Head = Literal["forest", "logistic", "number"]


class Setting(NamedTuple):
    """A point of a grid."""

    values: dict[str, float]
    fit: Callable[[Classifier, Reference], Signal]
    head: Head
    min_leaf: int = 3
    strength: float = 1.0

    @property
    def key(self) -> str:
        """Settings of one key give the same features."""
        own = {k: v for k, v in self.values.items() if k not in ("min_leaf", "C")}
        return repr(sorted(own.items()))


def grid(name: str, classes: int) -> Iterator[Setting]:
    """The settings of a signal that are tried on the development split, eight each at most."""
    if name in ("fisher", "log_probs", "fisher_and_log_probs"):
        for k in (classes - 1, 4) if name == "fisher" else (classes - 1,):
            for leaf in (1, 3, 10, 30):
                values: dict[str, float] = {"k": k, "min_leaf": leaf}
                yield Setting(values, _forest_signal(name, k), "forest", min_leaf=leaf)
    elif name == "log_lambda1":
        yield Setting({}, lambda target, reference: Spectrum(1), "number")
    elif name == "log_q":
        yield Setting({}, lambda target, reference: Confidence(), "number")
    elif name == "kd":
        for width in (0.05, 0.1, 0.15, 0.26, 0.4, 0.6, 0.8, 1.2):
            yield Setting({"bandwidth": width}, _kernel(width), "number")
    elif name == "lid":
        for neighbours in (10, 20, 50, 100):
            for strength in (0.01, 1.0):
                values = {"neighbours": neighbours, "C": strength}
                yield Setting(values, _dimensionality(neighbours), "logistic", strength=strength)
    elif name == "mahalanobis":
        for ridge in (1e-4, 1e-2, 0.1, 1.0):
            for strength in (0.01, 1.0):
                values = {"ridge": ridge, "C": strength}
                yield Setting(values, _mahalanobis(ridge), "logistic", strength=strength)
    elif name == "squeezing":
        for bits in (1, 2, 3, 5):
            for side in (2, 3):
                yield Setting({"bits": bits, "median": side}, _squeezing(bits, side), "number")


SIGNALS = (
    "fisher", "log_lambda1", "log_q", "log_probs", "fisher_and_log_probs", "kd", "lid",
    "mahalanobis", "squeezing",
)  # fmt: skip


def _forest_signal(name: str, k: int) -> Callable[[Classifier, Reference], Signal]:
    spectrum, confidence = Spectrum(k), Confidence(whole=True)

    def both(target: Target, x: torch.Tensor) -> Features:
        return np.concatenate([spectrum(target, x), confidence(target, x)], 1)

    signals: dict[str, Signal] = {
        "fisher": spectrum, "log_probs": confidence, "fisher_and_log_probs": both,
    }  # fmt: skip
    return lambda target, reference: signals[name]


def _kernel(width: float) -> Callable[[Classifier, Reference], Signal]:
    return lambda target, reference: KernelDensity(target, reference, width)


def _dimensionality(neighbours: int) -> Callable[[Classifier, Reference], Signal]:
    return lambda target, reference: Dimensionality(target, reference, neighbours)


def _mahalanobis(ridge: float) -> Callable[[Classifier, Reference], Signal]:
    return lambda target, reference: Mahalanobis(target, reference, ridge)


def _squeezing(bits: int, side: int) -> Callable[[Classifier, Reference], Signal]:
    return lambda target, reference: Squeezing(bits, side)


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


def _finite(values: torch.Tensor) -> Features:
    clean: Features = values.double().nan_to_num(posinf=1e6, neginf=-1e6).cpu().numpy()
    return clean
