"""For foolbox users.

import foolbox
from saccade.robust.adapters.foolbox import FoolboxAttack

model = foolbox.PyTorchModel(net.eval(), bounds=(0, 1))
raw, clipped, success = FoolboxAttack("ossa")(model, images, labels, epsilons=[0.5, 1.0])
"""

from __future__ import annotations

from typing import TypeVar

import eagerpy
from foolbox.attacks.base import FixedEpsilonAttack, get_criterion
from foolbox.criteria import Misclassification, TargetedMisclassification
from foolbox.distances import Distance, l0, l2, linf
from foolbox.models import Model

from saccade.errors import ConfigError
from saccade.fisher.target import Logits
from saccade.robust.attacks import AnyNorm, Norm, make_attack
from saccade.robust.attacks.arguments import Box, inputs_within
from saccade.robust.attacks.base import Attack

T = TypeVar("T")


class FoolboxAttack(FixedEpsilonAttack):
    """Any attack of `saccade.robust.attacks` as a foolbox attack."""

    distance: Distance | None = None

    def __init__(
        self, attack: Attack | str = "ossa", *, norm: AnyNorm = "l2", seed: int = 0
    ) -> None:
        """Choose an attack, or its name.

        Raises:
            ConfigError: there is no such attack, or it takes no budget in this norm.
        """
        self.attack = make_attack(attack)
        self.norm: Norm = self.attack.check_norm(norm)
        self.seed = seed
        self.distance = {"l2": l2, "linf": linf, "l0": l0}[self.norm]

    def __call__(
        self, model: Model, inputs: T, criterion: object, *, epsilons: object, **options: object
    ) -> object:
        """As foolbox calls its attacks: (raw, clipped, success), lists where `epsilons` is one.

        foolbox refuses inputs outside of the bounds, however little; here they are clipped if it is
        less than half a level of 8 bits.

        Raises:
            ConfigError: inputs farther outside, or what the attack cannot work with.
        """
        x, restore = eagerpy.astensor_(inputs)
        held = restore(eagerpy.astensor(inputs_within(x.raw, Box(tuple(model.bounds)))))
        return super().__call__(model, held, criterion, epsilons=epsilons, **options)

    def run(self, model: Model, inputs: T, criterion: object, *, epsilon: float) -> T:
        """Changed inputs of one size; foolbox clips them and judges success.

        The preprocessing of the model is inside it, so sizes are those of pixels.

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
            Logits(model), x.raw, labels, target_classes=target_classes, norm=self.norm,
            epsilons=[epsilon], bounds=tuple(model.bounds), seed=self.seed,
        )  # fmt: skip
        changed: T = restore(eagerpy.astensor(found.inputs[0]))
        return changed
