"""The legibility probe: can the asked digit be read at all, in the view and in a crop?

A small convolutional network is shown each object at its true place, trained on the training digits
and asked about held-out ones. It is not the agent, and stronger than it: what the probe cannot read
in the view, no agent can be expected to.
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

from saccade.measures import wilson
from saccade.nano.deepeyes.pool import Pool, draw_pool
from saccade.nano.model import MEAN, STD
from saccade.types import Record

Sight = Literal["read_view", "read_crop", "easy_view"]
SIGHTS: tuple[Sight, ...] = ("read_view", "read_crop", "easy_view")

LIMITS = {"read_view": (0.0, 0.20), "read_crop": (0.95, 1.0), "easy_view": (0.95, 1.0)}
"""Between which accuracies each must lie for the world to be worth a second look."""

BATCH = 128
RATE = 2e-3
PATCH = {"read_view": 8, "easy_view": 16}
"""Side of what is cut from the view about the centre of an object, in pixels; an easy digit is at
most 11 wide."""


class Legibility(Record):
    """How often the probe reads a held-out digit."""

    accuracy: float
    low: float
    high: float
    """95 %, Wilson."""
    n: int


def probe(
    *,
    seed: int,
    n: int,
    steps: int = 1000,
    scenes: int = 6000,
    on_step: Callable[[Sight, int, int], None] = lambda sight, step, last: None,
) -> dict[Sight, Legibility]:
    """Train one probe for each sight and examine it.

    Args:
        seed: Of scenes and weights.
        n: Held-out digits in each examination.
        steps: Of training, 128 digits each.
        scenes: Drawn to train on.
        on_step: Told of each step.
    """
    known = draw_pool(scenes, seed=seed, split="train", sloppiness=0)
    asked = draw_pool(2 * n, seed=seed, split="test", sloppiness=0)
    found: dict[Sight, Legibility] = {}
    for sight in SIGHTS:
        images, digits = _cut(known, sight)
        network = _train(images, digits, steps, seed, partial(on_step, sight))
        images, digits = _cut(asked, sight)
        with torch.no_grad():
            right = int((network(images[:n]).argmax(-1) == digits[:n]).sum())
        count = min(n, len(digits))
        found[sight] = Legibility(accuracy=right / count, **wilson(right, count)._asdict(), n=count)
    return found


def _cut(pool: Pool, sight: Sight) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3, S, S) normalised pixels and (N,) digits."""
    objects = pool.objects
    chosen = np.flatnonzero(objects.large == (sight == "easy_view"))
    crop = sight == "read_crop"
    pixels = pool.crops[chosen] if crop else _patches(pool, chosen, PATCH[sight])
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
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.05)
    for step in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = RATE * max(1 - step / steps, 0.02)
        rows = torch.randint(len(digits), (BATCH,))
        loss = F.cross_entropy(network(images[rows]), digits[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        on_step(step, steps)
    return network.eval()


def _network(side: int) -> nn.Module:
    """Two convolutions, then two layers; of the smallest cuts nothing is thrown away."""
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
