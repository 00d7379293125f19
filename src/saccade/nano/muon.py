"""Muon in single precision.

`torch.optim.Muon` orthogonalises in bfloat16, which a CPU without instructions for it emulates: a
step of the embedded models then spends three quarters of its time there. This one makes the same
updates in float32, and matrices of one shape together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import sqrt

import torch
from torch import nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration."""
ITERATIONS = 5
MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """Momentum whose singular values are set to about one; for matrices alone.

    Source: K. Jordan et al., Muon (2024), with Nesterov momentum; the learning rate is matched to
    that of AdamW by 0.2 * sqrt(max(rows, columns)) (Moonshot AI, arXiv 2502.16982).
    """

    def __init__(self, matrices: Iterable[nn.Parameter], *, lr: float, weight_decay: float) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Make an update from the gradients."""
        for group in self.param_groups:
            same: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    same[matrix.shape].append(matrix)
            for shape, matrices in same.items():
                updates = orthogonalised(torch.stack([self._momentum(m) for m in matrices]))
                rate = group["lr"] * 0.2 * sqrt(max(shape))
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.sub_(rate * update)

    def _momentum(self, matrix: nn.Parameter) -> torch.Tensor:
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        mean = state["momentum"].lerp_(matrix.grad, 1 - MOMENTUM)
        return matrix.grad.lerp(mean, MOMENTUM)


def orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    """The (N, R, C) matrices with every singular value between about 0.7 and 1.2."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    found: torch.Tensor = x.mT if tall else x
    return found
