"""Real handwriting: 1,797 digits of 8x8 pixels, split by sample, drawn with equal ink."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from saccade.config import check_choice

Split = Literal["train", "dev", "test"]
"""Samples to train on, to make choices on, and to measure on once."""
Alpha = NDArray[np.float32]
"""Coverage of each pixel with ink, (side, side), 0 to 1."""

TEST_SAMPLES = 400
DEV_SAMPLES = 200
SPLIT_SEED = 0

INK = (0.26, 0.34)
"""Mean darkness of a drawn digit, the same range for every class: how dark a blurred digit
is must not give away which it is."""

TURN_DEG = 10.0
"""Training digits are turned by up to this angle either way; the others stay as written."""

NEWTON_STEPS = 5


class Digits(NamedTuple):
    """The samples: ink in [0, 1] as float32 (N, 8, 8), and their classes as uint8 (N,)."""

    images: NDArray[np.float32]
    labels: NDArray[np.uint8]


@cache
def load() -> Digits:
    """Load all samples in their published order."""
    with files("saccade.world").joinpath("digits.npz").open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        images, labels = archive["images"], archive["labels"]
    return Digits(images.astype(np.float32) / 16, labels)


@cache
def members(split: Split) -> tuple[int, ...]:
    """List the indices of the samples of a split; no two splits share one."""
    check_choice("split", split, get_args(Split))
    # NumPy has frozen this generator's stream, not that of `default_rng`: a later release must
    # not move test samples into the training data of a model that exists.
    order = np.random.RandomState(SPLIT_SEED).permutation(len(load().labels)).tolist()
    start, end = TEST_SAMPLES, TEST_SAMPLES + DEV_SAMPLES
    parts = {"test": order[:start], "dev": order[start:end], "train": order[end:]}
    return tuple(parts[split])


def glyph(rng: np.random.Generator, index: int, side: int, split: Split) -> Alpha:
    """Draw a sample as an alpha map of `side` x `side` pixels, its mean drawn from `INK`."""
    margin = np.pad(load().images[index], 2)
    drawn = PILImage.fromarray(margin).resize((48, 48), PILImage.Resampling.BICUBIC)
    if split == "train":
        angle = float(rng.uniform(-TURN_DEG, TURN_DEG))
        drawn = drawn.rotate(angle, PILImage.Resampling.BILINEAR)
    drawn = drawn.crop((8, 8, 40, 40)).resize((side, side), PILImage.Resampling.BICUBIC)
    alpha = np.asarray(drawn, dtype=np.float32).clip(0, 1)
    return _with_ink(alpha, rng.uniform(*INK))


def _with_ink(alpha: Alpha, ink: float) -> Alpha:
    """Scale an alpha map until its mean is `ink`; full ink stays at 1."""
    # Sums are float64: in float32 the last bit depends on their order, so on the machine.
    alpha = (alpha * np.float32(ink / alpha.mean(dtype=np.float64))).clip(0, 1)
    # Newton's method on a concave, piecewise linear function: from below, and soon exact. Plain
    # rescaling is slow on thin strokes: after three rounds a 1 still had 2 % too little ink.
    for _ in range(NEWTON_STEPS):
        missing = ink * alpha.size - alpha.sum(dtype=np.float64)
        grey = alpha[alpha < 1].sum(dtype=np.float64)
        alpha = (alpha * np.float32(1 + missing / grey)).clip(0, 1)
    return alpha
