"""For torchattacks users.

from saccade.robust.adapters.torchattacks import TorchattacksAttack

attack = TorchattacksAttack(net, "ossa", eps=1.0)
changed = attack(images, labels)
"""

from __future__ import annotations

import torch
from torch import nn
from torchattacks.attack import Attack

from saccade.fisher.checks import check_ending
from saccade.fisher.target import Logits
from saccade.robust.adapters.modes import as_found
from saccade.robust.attacks import AnyNorm, Norm, base, make_attack


class TorchattacksAttack(Attack):
    """Any attack of `saccade.robust.attacks` as a torchattacks attack."""

    def __init__(
        self,
        model: nn.Module,
        attack: base.Attack | str = "ossa",
        *,
        eps: float = 1.0,
        norm: AnyNorm = "l2",
    ) -> None:
        """Choose an attack, or its name; images lie in [0, 1], and `eps` is in that range.

        Raises:
            ConfigError: there is no such attack, it takes no budget in this norm, or the model ends
                in softmax.
        """
        self.chosen = make_attack(attack)
        self.norm: Norm = self.chosen.check_norm(norm)
        check_ending(model)
        super().__init__(f"saccade-{type(self.chosen).__name__}", model)
        self.eps = eps
        self.supported_mode = ["default", "targeted"] if self.chosen.can_target else ["default"]

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, *args: object, **options: object
    ) -> torch.Tensor:
        """As torchattacks calls its attacks, which leaves model and normalisation as they were.

        torchattacks itself puts every layer into training mode again where the model was, and
        nothing back where an attack raises.
        """
        applied = self._normalization_applied  # type: ignore[has-type]
        try:
            with as_found(self.model):
                changed: torch.Tensor = super().__call__(images, labels, *args, **options)
        finally:
            self._normalization_applied = applied
        return changed

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in [0, 1] and (N,) int64 -> changed images."""
        images = images.detach().to(self.device)
        labels = labels.detach().to(self.device)
        target_classes = self.get_target_label(images, labels) if self.targeted else None
        found = self.chosen(
            Logits(self.get_logits),
            images,
            labels,
            target_classes=target_classes,
            norm=self.norm,
            epsilons=[self.eps],
        )
        return found.inputs[0]
