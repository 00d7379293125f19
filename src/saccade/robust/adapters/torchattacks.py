"""For torchattacks users.

from saccade.robust.adapters.torchattacks import TorchattacksAttack

attack = TorchattacksAttack(net, "ossa", eps=1.0)
changed = attack(images, labels)
"""

from __future__ import annotations

import torch
from torch import nn
from torchattacks.attack import Attack

from saccade.robust.attacks import Norm, base, make_attack


class TorchattacksAttack(Attack):
    """Any attack of `saccade.robust.attacks` as a torchattacks attack."""

    def __init__(
        self,
        model: nn.Module,
        attack: base.Attack | str = "ossa",
        *,
        eps: float = 1.0,
        norm: Norm = "l2",
    ) -> None:
        """Choose an attack, or its name; images lie in [0, 1], and `eps` is in that range.

        Raises:
            ConfigError: there is no such attack, or it takes no budget in this norm.
        """
        self.chosen = make_attack(attack)
        self.chosen.check_norm(norm)
        super().__init__(f"saccade-{type(self.chosen).__name__}", model)
        self.eps = eps
        self.norm: Norm = norm
        self.supported_mode = ["default", "targeted"]

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in [0, 1] and (N,) int64 -> changed images."""
        images = images.detach().to(self.device)
        labels = labels.detach().to(self.device)
        target_classes = self.get_target_label(images, labels) if self.targeted else None
        found = self.chosen(
            _Torchattacks(self),
            images,
            labels,
            target_classes=target_classes,
            norm=self.norm,
            epsilons=[self.eps],
        )
        return found.inputs[0]


class _Torchattacks:
    """The model as torchattacks calls it, with its normalisation."""

    def __init__(self, owner: Attack) -> None:
        self._owner = owner

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._owner.get_logits(x)
        return logits.log_softmax(-1)
