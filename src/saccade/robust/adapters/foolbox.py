"""For foolbox users.

import foolbox
from saccade.robust.adapters.foolbox import FoolboxAttack

model = foolbox.PyTorchModel(net.eval(), bounds=(0, 1))
raw, clipped, success = FoolboxAttack("ossa")(model, images, labels, epsilons=[0.5, 1.0])
"""

from __future__ import annotations

from typing import TypeVar

import eagerpy
import torch
from foolbox.attacks.base import FixedEpsilonAttack, get_criterion
from foolbox.criteria import Misclassification, TargetedMisclassification
from foolbox.distances import Distance, l0, l2, linf
from foolbox.models import Model

from saccade.errors import ConfigError
from saccade.robust.attacks import Norm, make_attack
from saccade.robust.attacks.base import Attack

T = TypeVar("T")


class FoolboxAttack(FixedEpsilonAttack):
    """Any attack of `saccade.robust.attacks` as a foolbox attack."""

    distance: Distance | None = None

    def __init__(self, attack: Attack | str = "ossa", *, norm: Norm = "l2", seed: int = 0) -> None:
        """Choose an attack, or its name.

        Raises:
            ConfigError: there is no such attack, or it takes no budget in this norm.
        """
        self.attack = make_attack(attack)
        self.attack.check_norm(norm)
        self.norm: Norm = norm
        self.seed = seed
        self.distance = {"l2": l2, "linf": linf, "l0": l0}[norm]

    def run(self, model: Model, inputs: T, criterion: object, *, epsilon: float) -> T:
        """Changed inputs of one size; foolbox clips them and judges success.

        Raises:
            ConfigError: a criterion other than (targeted) misclassification.
        """
        criterion = get_criterion(criterion)
        x, restore = eagerpy.astensor_(inputs)
        labels = target_classes = None
        if isinstance(criterion, Misclassification):
            labels = criterion.labels.raw
        elif isinstance(criterion, TargetedMisclassification):
            target_classes = criterion.target_classes.raw
        else:
            raise ConfigError(
                f"criterion: Misclassification or TargetedMisclassification, got {criterion}"
            )
        found = self.attack(
            _Foolbox(model), x.raw, labels, target_classes=target_classes, norm=self.norm,
            epsilons=[epsilon], bounds=tuple(model.bounds), seed=self.seed,
        )  # fmt: skip
        changed: T = restore(eagerpy.astensor(found.inputs[0]))
        return changed


class _Foolbox:
    """A model of foolbox; its preprocessing is inside, so sizes are those of pixels."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._model(x)
        return logits.log_softmax(-1)
