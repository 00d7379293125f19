"""For users of the Adversarial Robustness Toolbox (ART).

    from saccade.robust.adapters.art import ArtAttack, ArtDetector

    changed = ArtAttack(classifier, "ossa", eps=1.0).generate(x)       # x, changed: numpy
    detector = ArtDetector(classifier)
    detector.fit(np.concatenate([x, changed]), is_adversarial)
    report, flagged = detector.detect(x)

The classifier is an `art.estimators.classification.PyTorchClassifier` whose model returns logits.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from art.attacks.attack import EvasionAttack
from art.defences.detector.evasion import EvasionDetector
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray

from saccade.errors import ConfigError
from saccade.robust.attacks import Norm, make_attack
from saccade.robust.attacks.base import Attack
from saccade.robust.detectors.detector import Detector

Array = NDArray[np.floating]


class ArtAttack(EvasionAttack):
    """Any attack of `saccade.robust.attacks` as an ART evasion attack."""

    attack_params: ClassVar[list[str]] = [
        *EvasionAttack.attack_params, "attack", "eps", "norm", "targeted", "batch_size",
    ]  # fmt: skip
    _estimator_requirements = (PyTorchClassifier,)

    def __init__(
        self,
        estimator: PyTorchClassifier,
        attack: Attack | str = "ossa",
        *,
        eps: float = 0.3,
        norm: Norm = "l2",
        targeted: bool = False,
        batch_size: int = 256,
    ) -> None:
        """Choose an attack, or its name; sizes are in the units of `x`.

        Its bounds are the classifier's `clip_values`, of several the widest.

        Raises:
            ConfigError: there is no such attack, or it takes no budget in this norm.
        """
        super().__init__(estimator=estimator)
        self.attack = make_attack(attack)
        self.attack.check_norm(norm)
        self.eps = eps
        self.norm: Norm = norm
        self._targeted = targeted
        self.batch_size = batch_size

    def generate(self, x: Array, y: NDArray[np.integer] | Array | None = None) -> Array:
        """Changed inputs, of the type of `x`.

        Args:
            x: (N, ...) inputs.
            y: (N,) classes or (N, C) one-hot; the predicted ones if left out (not if targeted).

        Raises:
            ConfigError: targeted, and no classes given.
        """
        if self.targeted and y is None:
            raise ConfigError("y: a targeted attack needs the classes that are to come out")
        target, bounds = _Art(self.estimator), self.estimator.clip_values
        made = []
        for at in range(0, len(x), self.batch_size):
            part = target.tensor(x[at : at + self.batch_size])
            classes = None if y is None else _classes(y[at : at + self.batch_size]).to(part.device)
            found = self.attack(
                target, part, None if self.targeted else classes,
                target_classes=classes if self.targeted else None,
                norm=self.norm, epsilons=[self.eps],
                bounds=None if bounds is None else (float(bounds[0].min()), float(bounds[1].max())),
            )  # fmt: skip
            made.append(found.inputs[0].cpu().numpy().astype(x.dtype))
        return np.concatenate(made)


class ArtDetector(EvasionDetector):
    """The detector by Fisher eigenvalues as an ART evasion detector."""

    defence_params: ClassVar[list[str]] = ["false_positive_rate"]

    def __init__(
        self, estimator: PyTorchClassifier, *, false_positive_rate: float = 0.05, seed: int = 0
    ) -> None:
        """The threshold is calibrated to this share of the clean inputs of `fit`."""
        super().__init__()
        self.false_positive_rate = false_positive_rate
        self._target = _Art(estimator)
        self._seed = seed
        self._detector: Detector | None = None

    def fit(
        self, x: Array, y: NDArray[np.integer] | Array, batch_size: int = 128, nb_epochs: int = 0
    ) -> None:
        """Fit to inputs with y 0 (clean or noisy) or 1 (adversarial); a forest knows no epochs."""
        adversarial = _classes(y).bool().numpy()
        self._detector = Detector.fit(
            self._target,
            self._target.tensor(x[~adversarial]),
            self._target.tensor(x[adversarial]),
            false_positive_rate=self.false_positive_rate,
            seed=self._seed,
        )

    def detect(
        self, x: Array, batch_size: int = 128
    ) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.bool_]]:
        """The scores in a report, and whether each input is adversarial.

        Raises:
            ConfigError: not fitted yet.
        """
        if self._detector is None:
            raise ConfigError("detector: call fit first")
        scores = self._detector.score(self._target, self._target.tensor(x))
        return {"predictions": scores}, scores > self._detector.threshold


class _Art:
    """An ART classifier with its preprocessing."""

    def __init__(self, estimator: PyTorchClassifier) -> None:
        self._estimator = estimator
        estimator.model.eval()

    def tensor(self, x: Array) -> torch.Tensor:
        return torch.as_tensor(np.asarray(x, np.float32), device=self._estimator.device)

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        shown, _ = self._estimator._apply_preprocessing(x, y=None, fit=False, no_grad=False)
        logits: torch.Tensor = self._estimator.model(shown)
        return logits.log_softmax(-1)


def _classes(y: NDArray[np.integer] | Array) -> torch.Tensor:
    """Class indices, of (N,) indices or (N, C) one-hot."""
    return torch.as_tensor(np.asarray(y.argmax(1) if y.ndim == 2 else y, np.int64))
