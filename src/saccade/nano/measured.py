"""How well what a vision tower says agrees with the truth."""

from __future__ import annotations

import torch


def share(right: torch.Tensor) -> float:
    """The share of a tensor of truth values that is true."""
    return float(right.float().mean())


def iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(N,) intersection over union of (N, 4) boxes."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    inside = (high - low).clamp(min=0).prod(-1)
    areas = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(-1) for box in (a, b)]
    return inside / (areas[0] + areas[1] - inside).clamp(min=1e-9)
