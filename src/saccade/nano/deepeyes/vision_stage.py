"""The first stage: the vision tower learns where things are, which colour, which digit.

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
from saccade.nano.stage import Measured
from saccade.nano.tower import Tower, encode
from saccade.world.scene import CELL, COLOURS
from saccade.world.scene import VIEW as VIEW_SIDE

VIEWS, CROPS = 40, 100
"""In a step."""

LARGE_SHARE = 0.75
"""Of the views: scenes with a large object, whose digit is the hardest thing to learn in a view."""

Indices = NDArray[np.int64]


class Heads(nn.Module):
    """Linear read-outs of image tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.colour = nn.Linear(width, len(COLOURS))
        """Of each colour: whether it is here."""
        self.place = nn.Linear(width, 4 * (VIEW_SIDE + 1))
        """Of each side of the box of what is here: its whole pixel, as the model will write it."""
        self.digit = nn.Linear(width, 10)


class Truth:
    """The targets of a pool as tensors."""

    def __init__(self, pool: Pool) -> None:
        objects = pool.objects
        centre = (objects.box[:, :2] + objects.box[:, 2:]) / 2
        column, row = (centre // CELL).astype(np.int64).T
        self.token = torch.from_numpy(row * (VIEW_SIDE // CELL) + column)
        self.colour = torch.from_numpy(objects.colour)
        self.digit = torch.from_numpy(objects.digit)
        self.large = torch.from_numpy(objects.large)
        self.box = torch.from_numpy(objects.box).round().long()


class Sight:
    """Trains the vision tower and the heads on a pool, and is measured on another."""

    def __init__(self, visual: Tower, pool: Pool, dev: Pool) -> None:
        width = visual.config.out_hidden_size
        self._visual, self._heads = visual, Heads(width)
        self._pool, self._truth = pool, Truth(pool)
        self._dev, self._dev_truth = dev, Truth(dev)
        first = [int(members[0]) for members in pool.members]
        self._with_large = np.flatnonzero(pool.objects.large[first])

    @property
    def modules(self) -> nn.ModuleDict:
        return nn.ModuleDict({"visual": self._visual, "sight_heads": self._heads})

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Of fresh views and crops."""
        views = rng.integers(len(self._pool), size=VIEWS)
        chosen = rng.random(VIEWS) < LARGE_SHARE
        views[chosen] = rng.choice(self._with_large, size=int(chosen.sum()))
        crops = rng.integers(len(self._pool.crops), size=CROPS)
        loss = self.loss_of(views, self._encode(self._pool.views[views])) + self.crop_loss_of(
            crops, self._encode(self._pool.crops[crops])
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def loss_of(self, views: Indices, features: torch.Tensor) -> torch.Tensor:
        """Colour, place and (of large objects) digit at the token of each object: means.

        Args:
            views: Scenes of the pool, (N,).
            features: (N, 16, width).
        """
        members = [self._pool.members[i] for i in views]
        shown = torch.from_numpy(np.concatenate(members))
        row = torch.from_numpy(np.repeat(np.arange(len(views)), [len(m) for m in members]))
        truth, heads = self._truth, self._heads
        token, large = truth.token[shown], truth.large[shown]
        present = torch.zeros(*features.shape[:2], len(COLOURS))
        present[row, token, truth.colour[shown]] = 1
        said = heads.colour(features)
        which = F.binary_cross_entropy_with_logits(said, present, reduction="sum") / len(shown)
        sides = heads.place(features[row, token]).view(-1, VIEW_SIDE + 1)
        total = which + F.cross_entropy(sides, truth.box[shown].flatten())
        if bool(large.any()):
            read = heads.digit(features[row[large], token[large]])
            total = total + F.cross_entropy(read, truth.digit[shown][large])
        return total

    def crop_loss_of(self, crops: Indices, features: torch.Tensor) -> torch.Tensor:
        """Digits of crops, read from the mean of the (M, 4, width) features."""
        return F.cross_entropy(self._heads.digit(features).mean(1), self._truth.digit[crops])

    @torch.no_grad()
    def measure(self) -> Measured:
        """Colours found, overlap of small boxes, digits read on large objects and in crops."""
        pool, truth, heads = self._dev, self._dev_truth, self._heads
        features = self._encode(pool.views)
        row, token = torch.from_numpy(pool.objects.scene).long(), truth.token
        here = features[row, token]
        sides = heads.place(here).unflatten(-1, (4, VIEW_SIDE + 1)).argmax(-1)
        overlap = _iou(sides.float(), torch.from_numpy(pool.objects.box))
        read = heads.digit(self._encode(pool.crops)).mean(1).argmax(-1)
        large = truth.large
        easy = heads.digit(here[large]).argmax(-1) == truth.digit[large]
        return {
            "colour": _share(heads.colour(here).argmax(-1) == truth.colour),
            "iou": float(overlap[~large].mean()),
            "large": _share(easy),
            "crop": _share(read == truth.digit),
        }

    def _encode(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        return encode(self._visual, torch.from_numpy(pixels))


def _share(right: torch.Tensor) -> float:
    return float(right.float().mean())


def _iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(N,) intersection over union of (N, 4) boxes."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    inside = (high - low).clamp(min=0).prod(-1)
    areas = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(-1) for box in (a, b)]
    return inside / (areas[0] + areas[1] - inside).clamp(min=1e-9)
