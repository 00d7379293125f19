"""The detector of Zhao et al. (arXiv 1810.03806, section 4): a random forest on log-eigenvalues.

    detector = Detector.fit(target, clean, adversarial)
    flagged = detector.flags(target, images)          # one by one: no batch is needed
    detector.save(Path("detector.npz"))

What it does not promise. To first order it reads the confidence of the net (`spectral.LogQ`
does about as well); an attack that stops at the confidence of a clean image passes it. It is a
measurement, not a defence. Where we deviate: the published number of eigenvalues, of trees and the
threshold are not known; here all eigenvalues of a small number of classes, 300 trees, and a
threshold calibrated on clean inputs that the forest did not see.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from saccade.errors import ConfigError, FormatError
from saccade.fisher.checks import check_seed, check_target
from saccade.fisher.target import Target, checked
from saccade.robust.detectors.base import Features
from saccade.robust.detectors.forest import CALIBRATION, TREES, Forest, clean_needed
from saccade.robust.detectors.spectral import log_spectrum

MOST_VALUES = 16
"""Largest number of eigenvalues, where there are many classes."""


@dataclass(frozen=True)
class Detector:
    """Tells adversarial inputs from clean and noisy ones, for one classifier."""

    forest: Forest
    k: int
    """Number of eigenvalues that it looks at."""
    threshold: float
    """Score above which an input is flagged."""
    false_positive_rate: float
    """Share of clean inputs to which the threshold was calibrated."""

    @classmethod
    def fit(
        cls,
        target: Target,
        clean: torch.Tensor,
        adversarial: torch.Tensor,
        *,
        noisy: torch.Tensor | None = None,
        k: int | None = None,
        min_leaf: int = 3,
        trees: int = TREES,
        false_positive_rate: float = 0.05,
        seed: int = 0,
    ) -> Detector:
        """Fit to inputs (N, ...) of each kind; a quarter of the clean ones sets the threshold.

        Args:
            target: The classifier that is protected.
            clean: Inputs as they are.
            adversarial: Inputs that fool it.
            noisy: Inputs with noise, which are not to be flagged (published: always with noise).
            k: Number of eigenvalues; all, up to 16, if left out.
            min_leaf: Smallest number of samples in a leaf of a tree.
            trees: Number of trees of the forest.
            false_positive_rate: Share of clean inputs that may be flagged, in (0, 1).
            seed: Seed of the forest.

        Raises:
            ConfigError: too few inputs, a rate that none can be calibrated to, or inputs or a
                target that cannot be used.
        """
        if not 0 < false_positive_rate < 1:
            raise ConfigError(f"false_positive_rate: between 0 and 1, got {false_positive_rate}")
        check_seed(seed, 0, 2**32 - 1)
        held = int(len(clean) * CALIBRATION)
        needed = clean_needed(false_positive_rate)
        if len(clean) < needed or not len(adversarial):
            raise ConfigError(
                f"detector: a false positive rate of {false_positive_rate} needs {needed} clean "
                f"inputs and some adversarial ones, got {len(clean)} and {len(adversarial)}"
            )
        if k is None:
            with torch.no_grad():
                check_target(target)
                k = min(target.log_probs(checked(clean[:1])).shape[1] - 1, MOST_VALUES)
        order = np.random.default_rng(seed).permutation(len(clean))
        rows = log_spectrum(target, clean, k)[order]
        calibration, rest = rows[:held], rows[held:]
        negatives = [rest] if noisy is None else [rest, log_spectrum(target, noisy, k)]
        rows, truth = stacked(negatives, [log_spectrum(target, adversarial, k)])
        forest = Forest.fit(rows, truth, min_leaf=min_leaf, seed=seed, trees=trees)
        scores = forest.score(calibration)
        threshold = float(np.quantile(scores, 1 - false_positive_rate, method="higher"))
        return cls(forest, k, threshold, false_positive_rate)

    def score(self, target: Target, x: torch.Tensor) -> NDArray[np.float64]:
        """(N,) in [0, 1]; higher is more likely adversarial. Of no inputs there are none.

        Raises:
            ConfigError: inputs or a target that cannot be used.
        """
        if not len(x):
            return np.zeros(0)
        return self.forest.score(log_spectrum(target, x, self.k))

    def flags(self, target: Target, x: torch.Tensor) -> NDArray[np.bool_]:
        """(N,): whether each input is taken for adversarial."""
        return self.score(target, x) > self.threshold

    def save(self, path: Path) -> None:
        """Write it as plain arrays (`.npz`): nothing in the file is executed when it is read."""
        self.forest.save(
            path, k=self.k, threshold=self.threshold, false_positive_rate=self.false_positive_rate
        )

    @classmethod
    def load(cls, path: Path) -> Detector:
        """Read what `save` wrote.

        Raises:
            FormatError: not such a file, or one that cannot work.
        """
        forest, numbers = Forest.load(path, "k", "threshold", "false_positive_rate")
        k, threshold, rate = numbers.values()
        if not 1 <= k <= 1 << 20 or k != int(k) or forest.feature.max() >= k:
            raise FormatError(f"{path}: the forest looks at other than k = {k:g} eigenvalues")
        if not (math.isfinite(threshold) and 0 < rate < 1):
            raise FormatError(f"{path}: the threshold or its rate is out of range")
        return cls(forest, int(k), threshold, rate)


def stacked(
    negatives: list[Features], positives: list[Features]
) -> tuple[Features, NDArray[np.bool_]]:
    """Rows of both kinds, and which are positive."""
    rows = np.concatenate([*negatives, *positives])
    count = sum(len(part) for part in positives)
    return rows, np.arange(len(rows)) >= len(rows) - count
