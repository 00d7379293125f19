"""From pixels to the patches that a Qwen-VL vision tower takes, differentiably.

Inference, training and attacks use the same function, so that all of them see the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from saccade.errors import RenderError
from saccade.images.image import Image


class PatchRule(NamedTuple):
    """How a checkpoint cuts and normalises images, read from its configuration."""

    patch: int
    """Side of a patch in pixels."""
    merge: int
    """Side of the square of patches that become one token."""
    temporal: int
    """Number of frames that a patch spans; a still image is repeated."""
    mean: tuple[float, float, float]
    """Mean of each channel, for images in [0, 1]."""
    std: tuple[float, float, float]
    """Standard deviation of each channel, likewise."""

    @property
    def factor(self) -> int:
        """The number of which both sides of an image are multiples."""
        return self.patch * self.merge


class Grid(NamedTuple):
    """The size of an image in patches, as in `image_grid_thw` of the Hugging Face models."""

    t: int
    h: int
    w: int

    def tokens(self, merge: int) -> int:
        """Number of image tokens in the prompt, and of features of the vision tower."""
        return self.t * self.h * self.w // merge**2


class Pixels(NamedTuple):
    """The inputs of the vision tower for a sequence of images."""

    pixel_values: torch.Tensor
    """(sum of t*h*w, 3 * temporal * patch * patch) float32, normalised."""
    image_grid_thw: torch.Tensor
    """(N, 3) int64, in patches."""


def grid_of(image: Image, rule: PatchRule) -> Grid:
    """The grid of an image as it is shown.

    Raises:
        RenderError: a side is no multiple of the factor, so the image was not fitted for the model.
    """
    width, height = image.size
    if width % rule.factor or height % rule.factor:
        raise RenderError(
            f"an image of {image.size} pixels for a model that takes multiples of {rule.factor}; "
            f"set the pixel budgets of the environment to factor = {rule.factor}"
        )
    return Grid(1, height // rule.patch, width // rule.patch)


def as_tensor(image: Image) -> torch.Tensor:
    """The pixels of an image: (3, H, W) float32 in [0, 1]."""
    pixels = np.array(image.pixels(), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1).to(torch.float32) / 255


def patchify(images: Sequence[torch.Tensor], rule: PatchRule) -> Pixels:
    """Cut images into patches, in the order of the merged tokens. Gradients flow through.

    Args:
        images: Each is (3, H, W) in [0, 1], with sides that are multiples of `rule.factor`.
        rule: The patch rule of the checkpoint.

    Source: `Qwen2VLImageProcessor` of transformers, equal up to float rounding.
    """
    grids = [Grid(1, x.shape[1] // rule.patch, x.shape[2] // rule.patch) for x in images]
    each = [
        Pixels(_patches(x, grid, rule), torch.tensor([grid], dtype=torch.long))
        for x, grid in zip(images, grids, strict=True)
    ]
    return join(each, rule)


def join(pixels: Sequence[Pixels], rule: PatchRule) -> Pixels:
    """The inputs of several sequences of images, one after the other; possibly of none."""
    width = 3 * rule.temporal * rule.patch**2
    values = [torch.empty(0, width), *(p.pixel_values for p in pixels)]
    grids = [torch.empty(0, 3, dtype=torch.long), *(p.image_grid_thw for p in pixels)]
    return Pixels(torch.cat(values), torch.cat(grids))


def _patches(image: torch.Tensor, grid: Grid, rule: PatchRule) -> torch.Tensor:
    mean = image.new_tensor(rule.mean)[:, None, None]
    std = image.new_tensor(rule.std)[:, None, None]
    m, p = rule.merge, rule.patch
    x = ((image - mean) / std).reshape(3, grid.h // m, m, p, grid.w // m, m, p)
    x = x.permute(1, 4, 2, 5, 0, 3, 6)  # (h/m, w/m, m, m, 3, p, p): the patches of a token together
    x = x.unsqueeze(5).expand(*x.shape[:5], rule.temporal, p, p)
    return x.reshape(grid.h * grid.w, -1)
