"""Legibility: can the asked digit be read at all, in the view and in a crop?

A probe, a small convolutional network, is shown each object at its true place, trained on the
training digits and measured on held-out ones. It is not the agent, and stronger than it: what the
probe cannot read in the view, no agent can be expected to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from saccade.measures.intervals import wilson
from saccade.nano.deepeyes.pool import Pool, draw_pool
from saccade.nano.model import MEAN, STD
from saccade.types import Record

Condition = Literal["read_view", "read_crop", "easy_view"]
"""What the probe is shown: a small digit in the view, the same in a crop, a large one in the
view."""
CONDITIONS: tuple[Condition, ...] = ("read_view", "read_crop", "easy_view")

LIMITS = {"read_view": (0.0, 0.20), "read_crop": (0.95, 1.0), "easy_view": (0.95, 1.0)}
"""Lowest and highest accuracy in each condition with which looking again is needed and helps."""

BATCH = 128
LEARNING_RATE = 2e-3
PATCH = {"read_view": 8, "easy_view": 16}
"""Side in pixels of the square that is cut from the view about the centre of an object; a large
digit is at most 11 wide."""


class Legibility(Record):
    """How often the probe reads a held-out digit."""

    accuracy: float
    low: float
    """Lower end of the 95 % CI (Wilson)."""
    high: float
    """Upper end of the 95 % CI (Wilson)."""
    n: int


def measure_legibility(
    *,
    seed: int,
    n: int,
    steps: int = 1000,
    scenes: int = 6000,
    on_step: Callable[[Condition, int, int], None] = lambda condition, step, last_step: None,
) -> dict[Condition, Legibility]:
    """Train one probe for each condition and measure its accuracy on held-out digits.

    Args:
        seed: Seed of the scenes and of the first weights.
        n: Number of held-out digits in each condition.
        steps: Number of optimiser steps of a probe, with 128 digits each.
        scenes: Number of scenes that are drawn to train on.
        on_step: Called with condition, step and last step after every optimiser step.
    """
    train_pool = draw_pool(scenes, seed=seed, split="train", sloppiness=0)
    test_pool = draw_pool(2 * n, seed=seed, split="test", sloppiness=0)
    found: dict[Condition, Legibility] = {}
    for condition in CONDITIONS:
        images, digits = _cut(train_pool, condition)
        network = _train(images, digits, steps, seed, partial(on_step, condition))
        images, digits = _cut(test_pool, condition)
        with torch.no_grad():
            right = int((network(images[:n]).argmax(-1) == digits[:n]).sum())
        count = min(n, len(digits))
        interval = wilson(right, count)._asdict()
        found[condition] = Legibility(accuracy=right / count, **interval, n=count)
    return found


def _cut(pool: Pool, condition: Condition) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3, S, S) normalised pixels and (N,) digits."""
    objects = pool.objects
    chosen = np.flatnonzero(objects.large == (condition == "easy_view"))
    crop = condition == "read_crop"
    pixels = pool.crops[chosen] if crop else _patches(pool, chosen, PATCH[condition])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return (images - MEAN) / STD, torch.from_numpy(objects.digit[chosen])


def _patches(pool: Pool, chosen: NDArray[np.int64], side: int) -> NDArray[np.uint8]:
    half = side // 2
    views = np.pad(pool.views, ((0, 0), (half, half), (half, half), (0, 0)), mode="edge")
    boxes = pool.objects.box[chosen]
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2).round().astype(int)
    scenes = pool.objects.scene[chosen]
    return np.stack(
        [views[s, y : y + side, x : x + side] for s, (x, y) in zip(scenes, centres, strict=True)]
    )


def _train(
    images: torch.Tensor,
    digits: torch.Tensor,
    steps: int,
    seed: int,
    on_step: Callable[[int, int], None],
) -> nn.Module:
    torch.manual_seed(seed)
    network = _network(images.shape[-1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    for step in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * max(1 - step / steps, 0.02)
        rows = torch.randint(len(digits), (BATCH,))
        loss = F.cross_entropy(network(images[rows]), digits[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        on_step(step, steps)
    return network.eval()


def _network(side: int) -> nn.Module:
    """Two convolutions, then two layers; the smallest cuts are not subsampled."""
    first = 2 if side > 16 else 1
    second = 2 if side > 8 else 1
    left = side // (first * second)
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2, stride=first),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, stride=second),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64 * left**2, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
