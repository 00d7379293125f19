"""Two plates, on each a two-digit number: reading them is not enough.

They must be multiplied: a small model learns sums of two-digit numbers by heart, products it does
not, so code is what is needed. Or a plate is the name of a thing that must be searched for. With
small plates a look is needed before either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from saccade.images.geometry import Box
from saccade.world.digits import Alpha, Split, glyph, load, members
from saccade.world.scene import COLOURS, INK_LEVEL, VIEW, background, paint


class Format(NamedTuple):
    """Lengths of a plate in view pixels."""

    digit: float
    """Side of a digit."""
    margin: float
    """Width of the border around the digits."""


LEGIBLE = Format(digit=10.0, margin=1.5)
TINY = Format(digit=0.9, margin=0.4)
"""Plates whose digits are as small as those of `far`."""


class Plate(NamedTuple):
    """A number on a coloured plate."""

    colour: str
    number: int
    box: Box
    """Native pixels, whole numbers."""


Mark = Callable[[str, int, int, int], Alpha]
"""Maps colour, number, width and height in native pixels to coverage with ink."""


class Plates(NamedTuple):
    """A drawn pair."""

    plates: tuple[Plate, Plate]
    pixels: PILImage.Image


def draw_plates(
    rng: np.random.Generator,
    *,
    native: int,
    split: Split,
    form: Format,
    numbers: Mapping[str, Sequence[int]] | None = None,
    mark: Mark | None = None,
) -> Plates:
    """Draw one plate in the upper half, one in the lower.

    Args:
        rng: Source of all randomness.
        native: Side of the scene in pixels.
        split: Which handwritten samples may appear.
        form: Sizes of the digits and of the plates.
        numbers: Colour -> the numbers of which one may stand on a plate of it; None: any that two
            handwritten digits are, where the first is not 0.
        mark: What is drawn instead of the digits of one of these numbers.
    """
    scale = native / VIEW
    canvas = background(rng, native)
    colours = [list(COLOURS)[i] for i in rng.permutation(len(COLOURS))[:2]]
    digit, margin = round(form.digit * scale), round(form.margin * scale)
    width, height = 2 * digit + 2 * margin, digit + 2 * margin
    plates = []
    for half, colour in enumerate(colours):
        x = int(rng.integers(margin, native - width - margin))
        y = half * (native // 2) + int(rng.integers(margin, native // 2 - height - margin))
        patch = canvas[y : y + height, x : x + width]
        paint(rng, patch, COLOURS[colour], "square")
        inner = patch[margin : margin + digit, margin : margin + 2 * digit]
        if numbers is not None and mark is not None:
            number = int(rng.choice(numbers[colour]))
            _ink(inner, mark(colour, number, 2 * digit, digit))
        else:
            samples = _samples(rng, split, None if numbers is None else numbers[colour])
            for place, sample in enumerate(samples):
                left = place * digit
                _ink(inner[:, left : left + digit], glyph(rng, sample, digit, split))
            tens, units = (int(load().labels[sample]) for sample in samples)
            number = 10 * tens + units
        plates.append(Plate(colour, number, Box(x, y, x + width, y + height)))
    return Plates((plates[0], plates[1]), PILImage.fromarray(canvas))


def _ink(under: NDArray[np.uint8], coverage: Alpha) -> None:
    alpha = coverage[..., None]
    under[:] = (INK_LEVEL * alpha + (1 - alpha) * under).astype(np.uint8)


def _samples(rng: np.random.Generator, split: Split, numbers: Sequence[int] | None) -> list[int]:
    """Draw the indices of the two handwritten digits of a number."""
    if numbers is None:
        return [_sample(rng, split, first=True), _sample(rng, split, first=False)]
    number = int(rng.choice(numbers))
    return [int(rng.choice(_written(split, digit))) for digit in divmod(number, 10)]


@cache
def _written(split: Split, digit: int) -> tuple[int, ...]:
    """The samples of a split that are this digit."""
    return tuple(sample for sample in members(split) if load().labels[sample] == digit)


def _sample(rng: np.random.Generator, split: Split, *, first: bool) -> int:
    """Draw the index of a handwritten digit; the first of a number is not 0."""
    while True:
        sample = int(rng.choice(members(split)))
        if not first or load().labels[sample] > 0:
            return sample
