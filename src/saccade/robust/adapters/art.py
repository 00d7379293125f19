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
from saccade.fisher.checks import check_ending
from saccade.fisher.target import Logits
from saccade.robust.adapters.modes import evaluating
from saccade.robust.attacks import AnyNorm, make_attack
from saccade.robust.attacks.base import Attack
from saccade.robust.detectors.detector import Detector

Array = NDArray[np.generic]


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
        norm: AnyNorm = "l2",
        targeted: bool = False,
        batch_size: int = 256,
    ) -> None:
        """Choose an attack, or its name; sizes are in the units of `x`.

        Its bounds are the classifier's `clip_values`, of several the widest; what is returned lies
        within each of them.

        Raises:
            ConfigError: there is no such attack, it takes no budget in this norm or cannot aim at a
                class, a size that is none, or a classifier that ends in softmax or is behind a
                defence without gradient.
        """
        super().__init__(estimator=estimator)
        _check_estimator(estimator)
        self.attack, self.eps, self.norm, self.batch_size = attack, eps, norm, batch_size
        self._targeted = targeted
        self._check_params()

    def generate(self, x: Array, y: Array | None = None) -> Array:
        """Changed inputs, of the type of `x`; float32 for whole numbers, as ART returns them.

        Args:
            x: (N, ...) inputs.
            y: (N,) or (N, 1) classes, or (N, C) one-hot; the predicted ones if left out (not if
                targeted).

        Raises:
            ConfigError: targeted, and no classes given; inputs or classes that cannot be used.
        """
        if self.targeted and y is None:
            raise ConfigError("y: a targeted attack needs the classes that are to come out")
        x = np.asarray(x)
        classes = None if y is None else _classes(np.asarray(y), len(x))
        limits = self.estimator.clip_values
        made = [np.asarray(x[:0], x.dtype if x.dtype.kind == "f" else np.float32)]
        with evaluating(self.estimator.model):
            for at in range(0, len(x), self.batch_size):
                rows = slice(at, at + self.batch_size)
                found = self._changed(x[rows], None if classes is None else classes[rows])
                made.append(found if limits is None else np.clip(found, *limits))
        return np.concatenate(made, dtype=made[0].dtype)

    def _changed(self, x: Array, classes: torch.Tensor | None) -> Array:
        """Of a batch; what is not changed stays exact, whatever the type of `x`."""
        target, limits = _Art(self.estimator), self.estimator.clip_values
        shown = target.tensor(x)
        found = self._attack(
            target, shown, None if self.targeted else classes,
            target_classes=classes if self.targeted else None,
            norm=self.norm, epsilons=[self.eps],
            bounds=None if limits is None else (float(limits[0].min()), float(limits[1].max())),
        ).inputs[0]  # fmt: skip
        same = (found == shown).cpu().numpy()
        return np.where(same, x, found.cpu().numpy())

    def set_params(self, **changed: object) -> None:
        """As ART sets them; after a mistake everything is as before.

        Raises:
            ConfigError: a parameter cannot be used.
        """
        before = {name: getattr(self, name) for name in self.attack_params}
        try:
            super().set_params(**changed)
        except ConfigError:
            super().set_params(**before)
            raise

    def _check_params(self) -> None:
        """Every parameter, when it is made and when `set_params` changes some."""
        super()._check_params()
        self._attack = make_attack(self.attack)
        self.norm = self._attack.check_norm(self.norm)
        size = np.asarray(self.eps)
        if size.size != 1 or size.dtype.kind not in "iuf":
            raise ConfigError(f"eps: expected one size for all inputs, got {self.eps!r:.60}")
        self.eps = size.item()
        if not self.eps >= 0:
            raise ConfigError(f"eps: expected a size of at least 0, got {self.eps}")
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ConfigError(f"batch_size: expected at least 1, got {self.batch_size!r:.60}")
        if self.targeted and not self._attack.can_target:
            name = type(self._attack).__name__
            raise ConfigError(f"targeted: {name} cannot be sent to a class")


class ArtDetector(EvasionDetector):
    """The detector by Fisher eigenvalues as an ART evasion detector."""

    defence_params: ClassVar[list[str]] = ["false_positive_rate"]

    def __init__(
        self, estimator: PyTorchClassifier, *, false_positive_rate: float = 0.05, seed: int = 0
    ) -> None:
        """The threshold is calibrated to this share of the clean inputs of `fit`.

        Raises:
            ConfigError: no PyTorchClassifier, or one that ends in softmax or is behind a defence
                without gradient.
        """
        super().__init__()
        if not isinstance(estimator, PyTorchClassifier):
            raise ConfigError(
                "estimator: expected an art.estimators.classification.PyTorchClassifier, got a "
                f"{type(estimator).__name__}"
            )
        _check_estimator(estimator)
        self.false_positive_rate = false_positive_rate
        self._target = _Art(estimator)
        self._module = estimator.model
        self._seed = seed
        self._detector: Detector | None = None

    def fit(self, x: Array, y: Array, batch_size: int = 128, nb_epochs: int = 0) -> None:
        """Fit to inputs with y 0 (clean or noisy) or 1 (adversarial); a forest knows no epochs.

        Raises:
            ConfigError: other classes than 0 and 1, or too few inputs.
        """
        x, classes = np.asarray(x), _classes(np.asarray(y), len(x))
        if bool((classes > 1).any()):
            raise ConfigError("y: expected 0 for clean and 1 for adversarial inputs, got others")
        adversarial = classes.bool().numpy()
        with evaluating(self._module):
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
        with evaluating(self._module):
            scores = self._detector.score(self._target, self._target.tensor(x))
        return {"predictions": scores}, scores > self._detector.threshold


class _Art(Logits):
    """An ART classifier with its preprocessing."""

    def __init__(self, estimator: PyTorchClassifier) -> None:
        super().__init__(self._logits)
        self._estimator = estimator

    def tensor(self, x: Array) -> torch.Tensor:
        return torch.as_tensor(np.asarray(x, np.float32), device=self._estimator.device)

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        shown, _ = self._estimator._apply_preprocessing(x, y=None, fit=False, no_grad=False)
        logits: torch.Tensor = self._estimator.model(shown)
        return logits


def _check_estimator(estimator: PyTorchClassifier) -> None:
    """What a classifier of ART is, as far as it can be told before inputs come."""
    check_ending(estimator.model)
    if estimator.preprocessing_operations and not estimator.all_framework_preprocessing:
        raise ConfigError(
            "estimator: expected preprocessing in PyTorch, got a defence that computes in numpy "
            "and has no gradient; many have a PyTorch form (JpegCompressionPyTorch)"
        )


def _classes(y: Array, n: int) -> torch.Tensor:
    """(n,) class indices, of (N,) or (N, 1) indices or (N, C) one-hot, as ART takes them.

    Raises:
        ConfigError: another shape or number, or indices that are no whole numbers from 0.
    """
    if y.ndim == 2:
        y = y[:, 0] if y.shape[1] == 1 else y.argmax(1)
    if y.shape != (n,) or y.dtype.kind not in "biuf":
        raise ConfigError(
            f"y: expected a class for each of {n} inputs, (N,) or one-hot (N, C), got {y.shape} "
            f"{y.dtype}"
        )
    indices = y.astype(np.int64)
    if not (indices == y).all() or (indices < 0).any():
        raise ConfigError("y: expected classes as whole numbers from 0, got others")
    return torch.as_tensor(indices)
