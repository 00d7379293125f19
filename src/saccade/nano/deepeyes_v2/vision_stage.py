"""The vision stage of the second base: places, colours, digits, and numbers of two digits.

Small linear heads on the image tokens, which are thrown away afterwards. At the token that an
object's centre falls on: its colour and box, and what is written on it if that can be read there.
On a crop: what is written.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from saccade.nano.deepeyes_v2.pool import Pool
from saccade.nano.measured import share
from saccade.nano.placed import PlaceHeads, PlaceTargets, find, place_loss
from saccade.nano.stage import Skills
from saccade.nano.tower import Tower, encode

VIEWS, CROPS = 48, 72
"""Number of views and of crops in a batch."""
PLATES, LARGE = 0.5, 0.3
"""Share of the views that must have legible plates, and a large object."""
SMALL_CROPS = 0.75
"""Share of the crops that must be of what cannot be read in the view."""

Indices = NDArray[np.int64]


class VisionHeads(PlaceHeads):
    """Linear heads on image tokens, used in training alone."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.digit = nn.Linear(width, 10)
        self.tens = nn.Linear(width, 10)
        self.units = nn.Linear(width, 10)


class Targets(PlaceTargets):
    """The truth about the objects of a pool as tensors, one row for each."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.objects)
        self.tens = torch.from_numpy(pool.objects.number // 10)
        self.units = torch.from_numpy(pool.objects.number % 10)
        self.plate = torch.from_numpy(pool.objects.plate)


class VisionStage:
    """Trains the vision tower and its heads on a pool, and measures them on another."""

    def __init__(self, visual: Tower, pool: Pool, dev: Pool) -> None:
        self._visual, self._heads = visual, VisionHeads(visual.config.out_hidden_size)
        self._pool, self._targets = pool, Targets(pool)
        self._dev, self._dev_targets = dev, Targets(dev)
        first = np.array([int(members[0]) for members in pool.members])
        objects = pool.objects
        self._plates = np.flatnonzero(objects.large[first] & objects.plate[first])
        self._large = np.flatnonzero(objects.large[first] & ~objects.plate[first])
        self._small = np.flatnonzero(~objects.large)

    @property
    def modules(self) -> nn.ModuleDict:
        return nn.ModuleDict({"visual": self._visual, "vision_heads": self._heads})

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Loss of fresh views and crops."""
        views = rng.integers(len(self._pool), size=VIEWS)
        kind = rng.random(VIEWS)
        for these, chosen in (
            (self._plates, kind < PLATES),
            (self._large, (kind >= PLATES) & (kind < PLATES + LARGE)),
        ):
            views[chosen] = rng.choice(these, size=int(chosen.sum()))
        crops = rng.integers(len(self._pool.crops), size=CROPS)
        small = rng.random(CROPS) < SMALL_CROPS
        crops[small] = rng.choice(self._small, size=int(small.sum()))
        loss = self._view_loss(views, self._encode(self._pool.views[views]))
        loss = loss + self._written_loss(
            torch.from_numpy(crops), self._encode(self._pool.crops[crops])
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _view_loss(self, views: Indices, features: torch.Tensor) -> torch.Tensor:
        """Mean loss of colour, place and (where legible) what is written, at each object's token.

        Args:
            views: Indices of scenes of the pool, (N,).
            features: Features of their views, (N, 16, width).
        """
        members = [self._pool.members[i] for i in views]
        shown = place_loss(self._heads, self._targets, members, features)
        large = self._targets.large[shown.objects]
        here = features[shown.row, shown.token]
        return shown.loss + self._written_loss(shown.objects[large], here[large][:, None])

    def _written_loss(self, shown: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Mean loss of what is written, from the mean of (M, T, width) features of objects."""
        targets, heads = self._targets, self._heads
        plate = targets.plate[shown]
        total = torch.zeros(())
        for chosen, parts in (
            (~plate, ((heads.digit, targets.units),)),
            (plate, ((heads.tens, targets.tens), (heads.units, targets.units))),
        ):
            if bool(chosen.any()):
                for head, truth in parts:
                    read = head(features[chosen]).mean(1)
                    total = total + F.cross_entropy(read, truth[shown][chosen])
        return total

    @torch.no_grad()
    def measure(self) -> Skills:
        """Measure colours found, IoU of small boxes, and what is read in views and in crops."""
        pool, targets = self._dev, self._dev_targets
        found = find(self._heads, targets, self._encode(pool.views))
        here = found.here
        crops = self._encode(pool.crops)
        large, plate = targets.large, targets.plate
        return {
            "colour": found.colour,
            "iou": float(found.iou[~large & ~plate].mean()),
            "iou_plate": float(found.iou[~large & plate].mean()),
            "large": share(self._right(here[:, None])[large & ~plate]),
            "plate": share(self._right(here[:, None])[large & plate]),
            "crop": share(self._right(crops)[~large & ~plate]),
            "crop_plate": share(self._right(crops)[~large & plate]),
        }

    def _right(self, features: torch.Tensor) -> torch.Tensor:
        """Whether all that is written on each object of the development pool is read, (M,)."""
        targets, heads = self._dev_targets, self._heads
        digit, tens, units = (
            head(features).mean(1).argmax(-1) for head in (heads.digit, heads.tens, heads.units)
        )
        number = (tens == targets.tens) & (units == targets.units)
        return torch.where(targets.plate, number, digit == targets.units)

    def _encode(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        return encode(self._visual, torch.from_numpy(pixels))
