"""What every signal shares: features of an input, and what makes a score of them.

A signal may be fitted to clean training images, and then gives (N, F) numbers. Of the options in
its `grid`, those that a run file names are fixed; all settings of the others are tried on the
development part, eight at most, so that no signal has more to choose from than another.

    class Contrast(Signal):
        '''Standard deviation of the pixels.'''

        def fit(self, target: Target, reference: Reference) -> Extractor:
            return lambda x: x.flatten(1).std(1, keepdim=True).double().numpy()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import ClassVar, NamedTuple, Self, final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from saccade.errors import ConfigError
from saccade.fisher.target import CHUNK, Target
from saccade.robust.detectors.forest import Forest
from saccade.types import Record

MOST_SETTINGS = 8
Features = NDArray[np.float64]
"""(N, F)."""
Extractor = Callable[[torch.Tensor], Features]
"""(N, ...) inputs -> (N, F), finite."""
Scorer = Callable[[Features], NDArray[np.float64]]
"""(N, F) -> (N,), higher for what is more likely adversarial."""


class Reference(NamedTuple):
    """Clean training images that a signal is fitted to."""

    x: torch.Tensor
    labels: torch.Tensor


class Signal(Record, ABC):
    """What a detector looks at. Its fields are options; its first number is its score."""

    of_score: ClassVar[tuple[str, ...]] = ()
    """Options that change the score and not the features."""

    def grid(self, classes: int) -> Mapping[str, Sequence[float]]:
        """Option -> the values that are tried, for a target of so many classes."""
        return {}

    @abstractmethod
    def fit(self, target: Target, reference: Reference) -> Extractor:
        """What makes features of inputs.

        Args:
            target: Gives (N, classes) log-probabilities of inputs, differentiable in them.
            reference: Clean training images (N, C, H, W) in [0, 1], and their classes (N,) int64.

        Returns:
            A function of inputs (N, C, H, W), floats in [0, 1], for any N: a numpy array (N, F) of
            finite numbers, each row of its own input. The first number is the score, unless
            `scorer` is another: higher for what is more likely adversarial.

        Raises:
            ConfigError: the signal needs more of the target than log-probabilities.
        """

    def scorer(self, rows: Features, truth: NDArray[np.bool_], *, seed: int, trees: int) -> Scorer:
        """A score, fitted to features (N, F) of inputs and to which of them are adversarial."""
        return lambda features: features[:, 0]

    @final
    def settings(self, classes: int) -> list[Self]:
        """This signal with every choice of the options of its grid that were left open.

        Raises:
            ConfigError: more than eight.
        """
        left = {k: v for k, v in self.grid(classes).items() if k not in self.model_fields_set}
        found = [
            self.model_copy(update=dict(zip(left, values, strict=True)))
            for values in product(*left.values())
        ]
        if len(found) > MOST_SETTINGS:
            raise ConfigError(
                f"{type(self).__name__}: a grid of {len(found)} settings, at most {MOST_SETTINGS}: "
                "a signal with more to choose from would be ahead by that alone"
            )
        return found


class ByForest(Signal):
    """A signal whose score is a random forest on its features."""

    of_score: ClassVar[tuple[str, ...]] = ("min_leaf",)
    min_leaf: int = Field(default=3, ge=1)
    """Smallest number of samples in a leaf of a tree."""

    def grid(self, classes: int) -> Mapping[str, Sequence[float]]:
        return {"min_leaf": (1, 3, 10, 30)}

    def scorer(self, rows: Features, truth: NDArray[np.bool_], *, seed: int, trees: int) -> Scorer:
        return Forest.fit(rows, truth, min_leaf=self.min_leaf, seed=seed, trees=trees).score


class ByRegression(Signal):
    """A signal whose score is a logistic regression on its features."""

    of_score: ClassVar[tuple[str, ...]] = ("C",)
    C: float = Field(default=1.0, gt=0)
    """Inverse strength of the regularisation, as scikit-learn has it."""

    def grid(self, classes: int) -> Mapping[str, Sequence[float]]:
        return {"C": (0.01, 1.0)}

    def scorer(self, rows: Features, truth: NDArray[np.bool_], *, seed: int, trees: int) -> Scorer:
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(rows)
        model = LogisticRegression(C=self.C, max_iter=2000, class_weight="balanced")
        model.fit(scaler.transform(rows), truth)
        return lambda features: model.decision_function(scaler.transform(features))


def checked_features(name: str, features: object, n: int) -> Features:
    """Features of n inputs, as what a user wrote may give them.

    Raises:
        ConfigError: they are not (n, F) finite numbers.
    """
    if not isinstance(features, np.ndarray):
        got = f"a {type(features).__name__}"
    elif features.ndim != 2 or len(features) != n or not features.shape[1]:
        got = str(features.shape)
    elif features.dtype.kind not in "fiub" or not np.isfinite(features).all():
        got = f"{features.dtype} {features.shape}, not all of it finite"
    else:
        return features.astype(np.float64, copy=False)
    raise ConfigError(
        f"signal {name}: expected an array ({n}, F) of finite numbers for {n} inputs, got {got}"
    )


def in_chunks(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> Features:
    """(N, F) of a function (n, ...) -> (n, F), made finite."""
    rows = torch.cat([function(part) for part in torch.split(x, CHUNK)])
    finite: Features = rows.double().nan_to_num(posinf=1e6, neginf=-1e6).cpu().numpy()
    return finite
