"""For torchattacks users.

from saccade.robust.adapters.torchattacks import TorchattacksAttack

attack = TorchattacksAttack(net, "ossa", eps=1.0)
changed = attack(images, labels)
"""

from __future__ import annotations

import torch
from torch import nn
from torchattacks.attack import Attack

from saccade.robust.attacks import Method, attack
from saccade.robust.directions import Norm


class TorchattacksAttack(Attack):
    """Any method of `saccade.robust.attacks.attack` as a torchattacks attack."""

    def __init__(
        self,
        model: nn.Module,
        method: Method = "ossa",
        *,
        eps: float = 1.0,
        norm: Norm = "l2",
        steps: int = 10,
    ) -> None:
        """Images lie in [0, 1]; `eps` is in pixels of that range."""
        super().__init__(f"saccade-{method}", model)
        self.method: Method = method
        self.eps = eps
        self.norm: Norm = norm
        self.steps = steps
        self.supported_mode = ["default", "targeted"]

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in [0, 1] and (N,) int64 -> changed images."""
        images = images.detach().to(self.device)
        labels = labels.detach().to(self.device)
        wanted = self.get_target_label(images, labels) if self.targeted else None
        found = attack(
            _Torchattacks(self), images, labels, wanted=wanted, method=self.method,
            norm=self.norm, epsilons=[self.eps], steps=self.steps,
        )  # fmt: skip
        return found.inputs[0]


class _Torchattacks:
    """The model as torchattacks calls it, with its normalisation."""

    def __init__(self, owner: Attack) -> None:
        self._owner = owner

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._owner.get_logits(x)
        return logits.log_softmax(-1)
