"""Labelled images: a part to learn from and a part to be tried on."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import torch

MOST_BYTES = 4 << 30
"""Largest size of the images of a part, and of one file, unpacked."""
TEST_SHARE = 0.3
"""Share of the images that are the test part, where the data have no split of their own."""
MOST_DIGESTED = 1024
"""Number of images by which a part is told from another one."""


class Split(NamedTuple):
    """Images and their classes."""

    x: torch.Tensor
    """(N, channels, height, width) float32 in [0, 1]."""
    y: torch.Tensor
    """(N,) int64, from 0."""

    def part(self, which: torch.Tensor | slice) -> Split:
        return Split(self.x[which], self.y[which])


class Dataset(NamedTuple):
    """What a net learns from, and what it is tried on."""

    name: str
    train: Split
    test: Split

    @property
    def classes(self) -> int:
        return 1 + int(max(self.train.y.max(), self.test.y.max()))


def split_at_random(name: str, whole: Split) -> Dataset:
    """70 % to learn from, 30 % to be tried on: a split at random that is always the same."""
    order = torch.from_numpy(np.random.RandomState(0).permutation(len(whole.y)))
    held = int(len(order) * TEST_SHARE)
    return Dataset(name, whole.part(order[held:]), whole.part(order[:held]))


def digest_of(*parts: Split) -> str:
    """Of images and their classes, as a hexadecimal number; of many images of at most 1,024."""
    digest = hashlib.sha256()
    for x, y in parts:
        every = -(-len(y) // MOST_DIGESTED) or 1
        digest.update(f"{tuple(x.shape)}".encode())
        digest.update(x[::every].contiguous().numpy().tobytes())
        digest.update(y.contiguous().numpy().tobytes())
    return digest.hexdigest()
