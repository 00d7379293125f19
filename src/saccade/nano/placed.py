"""What both vision stages learn of where things are: at the token of an object its colour and box.

Small linear heads on the image tokens, which are thrown away after training. The token of an object
is the one that its centre falls on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from saccade.nano.measured import iou, share
from saccade.nano.pool import Placed
from saccade.world.scene import CELL, COLOURS, VIEW


class PlaceHeads(nn.Module):
    """Linear heads for colour and box; subclasses add those for what is written."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.colour = nn.Linear(width, len(COLOURS))
        """For each colour: whether an object of it has its centre here."""
        self.place = nn.Linear(width, 4 * (VIEW + 1))
        """For each side of that object's box: its whole pixel, as the model will write it."""


class PlaceTargets:
    """The truth about the places of the objects of a pool, one row for each."""

    def __init__(self, objects: Placed) -> None:
        centre = (objects.box[:, :2] + objects.box[:, 2:]) / 2
        column, row = (centre // CELL).astype(np.int64).T
        self.scene = torch.from_numpy(objects.scene).long()
        self.token = torch.from_numpy(row * (VIEW // CELL) + column)
        """Index of the image token that the centre falls on."""
        self.colour = torch.from_numpy(objects.colour)
        self.large = torch.from_numpy(objects.large)
        self.exact = torch.from_numpy(objects.box)
        self.box = self.exact.round().long()


class Shown(NamedTuple):
    """The objects that views show, and the loss of their places."""

    objects: torch.Tensor
    """Their indices in the pool, (M,)."""
    row: torch.Tensor
    """Index of the view that shows each."""
    token: torch.Tensor
    """Index of its token in the view."""
    loss: torch.Tensor
    """Mean loss of colour and box."""


def place_loss(
    heads: PlaceHeads,
    targets: PlaceTargets,
    members: Sequence[NDArray[np.int64]],
    features: torch.Tensor,
) -> Shown:
    """Find the objects of views, and the loss of where they are.

    Args:
        heads: What says where they are.
        targets: The truth about them.
        members: Indices of the objects of each view.
        features: Features of the views, (N, 16, width).
    """
    objects = torch.from_numpy(np.concatenate(members))
    row = torch.from_numpy(np.repeat(np.arange(len(members)), [len(m) for m in members]))
    token = targets.token[objects]
    present = torch.zeros(*features.shape[:2], len(COLOURS))
    present[row, token, targets.colour[objects]] = 1
    logits = heads.colour(features)
    colour = F.binary_cross_entropy_with_logits(logits, present, reduction="sum") / len(objects)
    sides = heads.place(features[row, token]).view(-1, VIEW + 1)
    place = F.cross_entropy(sides, targets.box[objects].flatten())
    return Shown(objects, row, token, colour + place)


class Found(NamedTuple):
    """What heads say of every object of a pool."""

    here: torch.Tensor
    """The features at its token, (M, width)."""
    colour: float
    """The share whose colour is right."""
    iou: torch.Tensor
    """Of the box that is said with the true one, (M,)."""


def find(heads: PlaceHeads, targets: PlaceTargets, features: torch.Tensor) -> Found:
    """Ask the heads about every object, given the (N, 16, width) features of all views."""
    here = features[targets.scene, targets.token]
    sides = heads.place(here).unflatten(-1, (4, VIEW + 1)).argmax(-1)
    colour = share(heads.colour(here).argmax(-1) == targets.colour)
    return Found(here, colour, iou(sides.float(), targets.exact))
