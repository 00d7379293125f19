"""The paper's signal, the log-eigenvalues of the Fisher matrix, and the confidence beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import Field

from saccade.fisher.spectrum import eigenpairs
from saccade.fisher.target import Target, checked, tail_of
from saccade.robust.detectors.base import (
    ByForest,
    Extractor,
    Features,
    Reference,
    Signal,
    in_chunks,
)

FLOOR = -46.05
"""Where the paper's figures end: log(1e-20)."""


class Fisher(ByForest):
    """The k largest log-eigenvalues of the Fisher matrix."""

    k: int = Field(default=4, ge=1)
    """Number of eigenvalues."""

    def grid(self, classes: int) -> Mapping[str, Sequence[float]]:
        return {"k": (classes - 1, 4), **super().grid(classes)}

    def fit(self, target: Target, reference: Reference) -> Extractor:
        return lambda x: log_spectrum(target, x, self.k)


class LogLambda1(Signal):
    """The largest log-eigenvalue alone."""

    def fit(self, target: Target, reference: Reference) -> Extractor:
        return lambda x: log_spectrum(target, x, 1)


class LogQ(Signal):
    """The confidence, a single number: log(1 - p_max)."""

    def fit(self, target: Target, reference: Reference) -> Extractor:
        return lambda x: confidence(target, x)[:, :1]


class LogProbs(ByForest):
    """All of the confidence: log(1 - p_max), and the other log-probabilities, largest first."""

    def fit(self, target: Target, reference: Reference) -> Extractor:
        return lambda x: confidence(target, x)


class FisherAndLogProbs(ByForest):
    """The log-eigenvalues and the log-probabilities together."""

    k: int = Field(default=4, ge=1)
    """Number of eigenvalues."""

    def grid(self, classes: int) -> Mapping[str, Sequence[float]]:
        return {"k": (classes - 1,), **super().grid(classes)}

    def fit(self, target: Target, reference: Reference) -> Extractor:
        return lambda x: np.concatenate([log_spectrum(target, x, self.k), confidence(target, x)], 1)


def log_spectrum(target: Target, x: torch.Tensor, k: int) -> Features:
    """(N, k): the largest log-eigenvalues; what lies beyond the rank is taken as the floor."""
    return in_chunks(
        lambda part: eigenpairs(target, part, k).log_values.clamp_min(FLOOR), checked(x)
    )


@torch.no_grad()
def confidence(target: Target, x: torch.Tensor) -> Features:
    """(N, C): log(1 - p_max), then the log-probabilities of the other classes, largest first."""

    def rows(part: torch.Tensor) -> torch.Tensor:
        tail = tail_of(target.log_probs(part))
        one = tail.log_q[:, None]
        return torch.cat([one, one + tail.weights.clamp_min(1e-300).log()], 1)

    return in_chunks(rows, x)
