"""The vision stage: the vision tower learns where things are, which colour, which digit.

Small linear heads on the image tokens name the objects; they are thrown away afterwards. At the
token that an object's centre falls on: its colour and box, and the digit if the object is large
enough to read. On a crop: its digit.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from saccade.nano.deepeyes.pool import Pool
from saccade.nano.measured import share
from saccade.nano.placed import PlaceHeads, PlaceTargets, find, place_loss
from saccade.nano.stage import Skills
from saccade.nano.tower import Tower, encode

VIEWS, CROPS = 40, 100
"""Number of views and of crops in a batch."""

LARGE_SHARE = 0.75
"""Share of the views that must have a large object: its digit is the hardest thing to learn in a
view."""

Indices = NDArray[np.int64]


class VisionHeads(PlaceHeads):
    """Linear heads on image tokens, used in training alone."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.digit = nn.Linear(width, 10)


class Targets(PlaceTargets):
    """The truth about the objects of a pool as tensors, one row for each object."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.objects)
        self.digit = torch.from_numpy(pool.objects.digit)


class VisionStage:
    """Trains the vision tower and its heads on a pool, and measures them on another."""

    def __init__(self, visual: Tower, pool: Pool, dev: Pool) -> None:
        width = visual.config.out_hidden_size
        self._visual, self._heads = visual, VisionHeads(width)
        self._pool, self._targets = pool, Targets(pool)
        self._dev, self._dev_targets = dev, Targets(dev)
        first = [int(members[0]) for members in pool.members]
        self._with_large = np.flatnonzero(pool.objects.large[first])

    @property
    def modules(self) -> nn.ModuleDict:
        return nn.ModuleDict({"visual": self._visual, "vision_heads": self._heads})

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Loss of fresh views and crops."""
        views = rng.integers(len(self._pool), size=VIEWS)
        chosen = rng.random(VIEWS) < LARGE_SHARE
        views[chosen] = rng.choice(self._with_large, size=int(chosen.sum()))
        crops = rng.integers(len(self._pool.crops), size=CROPS)
        loss = self.view_loss(views, self._encode(self._pool.views[views])) + self.crop_loss(
            crops, self._encode(self._pool.crops[crops])
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def view_loss(self, views: Indices, features: torch.Tensor) -> torch.Tensor:
        """Mean loss of colour, place and (of large objects) digit at the token of each object.

        Args:
            views: Indices of scenes of the pool, (N,).
            features: Features of their views, (N, 16, width).
        """
        members = [self._pool.members[i] for i in views]
        shown = place_loss(self._heads, self._targets, members, features)
        large = self._targets.large[shown.objects]
        if not bool(large.any()):
            return shown.loss
        digits = self._heads.digit(features[shown.row[large], shown.token[large]])
        return shown.loss + F.cross_entropy(digits, self._targets.digit[shown.objects][large])

    def crop_loss(self, crops: Indices, features: torch.Tensor) -> torch.Tensor:
        """Mean loss of the digits of crops, read from the mean of the (M, 4, width) features."""
        return F.cross_entropy(self._heads.digit(features).mean(1), self._targets.digit[crops])

    @torch.no_grad()
    def measure(self) -> Skills:
        """Measure colours found, IoU of small boxes, digits read on large objects and in crops."""
        pool, targets, heads = self._dev, self._dev_targets, self._heads
        found = find(heads, targets, self._encode(pool.views))
        read = heads.digit(self._encode(pool.crops)).mean(1).argmax(-1)
        large = targets.large
        read_large = heads.digit(found.here[large]).argmax(-1)
        return {
            "colour": found.colour,
            "iou": float(found.iou[~large].mean()),
            "large": share(read_large == targets.digit[large]),
            "crop": share(read == targets.digit),
        }

    def _encode(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        return encode(self._visual, torch.from_numpy(pixels))
