"""Reading handwritten digits in what was shown: the nearest of the samples to train on.

It is told where a plate or an object is, and nothing of what is written there. It knows the
handwriting of the training split alone, so it misreads some digits of the others, and in a view
that is too coarse nearly all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.world.digits import load, members
from saccade.world.scene import LARGE_DIGIT, OFF_CENTRE, SMALL, TINY, VIEW

SIDE = 16
"""Digits are compared at this size."""
LEGIBLE_PX = 5.0
"""Least side of a digit in shown pixels from which it is not worth another look."""
SHIFTS = (-0.06, 0.0, 0.06)
"""Displacements at which a digit is compared, as shares of its side."""
PLACES = 5
"""Number of places, in either direction, at which the digit of a small object is looked for."""
SEVERAL = 5
"""Number of the most similar samples that decide, each by its similarity."""

Window = tuple[float, float, float, float]


def shown_best(images: Sequence[Image], box: Box) -> Image:
    """The image of an episode that shows a box of the question's image in the most pixels."""
    source = images[0].source.digest

    def scale(image: Image) -> float:
        (x1, y1, x2, y2), seen = box, image.region
        whole = seen.x1 <= x1 and seen.y1 <= y1 and x2 <= seen.x2 and y2 <= seen.y2
        return image.size.width / seen.width if whole else 0.0

    return max((i for i in images if i.source.digest == source), key=scale)


def is_plate(box: Box) -> bool:
    """Whether it is the box of a plate, which has two digits side by side."""
    return box.width > 1.2 * box.height


def digit_px(image: Image, box: Box) -> float:
    """Side of a digit of the plate or object in a box, in pixels of what was shown."""
    return _digit_side(image, box) * image.size.width / image.region.width


def read_number(image: Image, box: Box) -> int:
    """The number of two digits on a plate, or the digit on an object.

    Args:
        image: As it was shown; nothing finer is looked at.
        box: Of the plate or object, in pixels of the source.
    """
    side = _digit_side(image, box)
    pixels = image.pixels().convert("L")
    if is_plate(box):
        margin = (box.height - side) / 2
        first = box.x1 + margin
        digits = [
            _digit(pixels, image, [(left, box.y1 + margin)], side) for left in (first, first + side)
        ]
        return 10 * digits[0] + digits[1]
    inset = (box.width - side) / 2
    free = 0.0 if _is_large(image, box) else OFF_CENTRE * image.source.size.width / VIEW
    steps = np.linspace(-free, free, PLACES if free else 1)
    corners = [(box.x1 + inset + dx, box.y1 + inset + dy) for dy in steps for dx in steps]
    return _digit(pixels, image, corners, side)


def _is_large(image: Image, box: Box) -> bool:
    return box.width > 2 * SMALL.side[1] * image.source.size.width / VIEW


def _digit_side(image: Image, box: Box) -> float:
    """In pixels of the source."""
    if is_plate(box):
        return box.width - box.height
    if _is_large(image, box):
        return box.width * LARGE_DIGIT
    unit = image.source.size.width / VIEW
    return (TINY if box.width < SMALL.side[0] * unit - 1 else SMALL).digit * unit


def _digit(
    pixels: PILImage.Image, image: Image, corners: Sequence[tuple[float, float]], side: float
) -> int:
    """The class of the samples that look most like a window at one of these corners."""
    shown = image.size.width / image.region.width
    windows = []
    for x, y in corners:
        for dy in SHIFTS:
            for dx in SHIFTS:
                left, top = image.from_source(Box(x, y, x + 1, y + 1))[:2]
                left, top = left + dx * side * shown, top + dy * side * shown
                windows.append(_ink(pixels, (left, top, left + side * shown, top + side * shown)))
    alike = (np.stack(windows) @ _known().T).max(0)
    best = np.argsort(-alike)[:SEVERAL]
    votes = np.zeros(10)
    np.add.at(votes, load().labels[list(members("train"))][best], alike[best] ** 16)
    return int(votes.argmax())


def _ink(pixels: PILImage.Image, window: Window) -> NDArray[np.float32]:
    """Darkness in a window, brightness and contrast removed."""
    left, top, right, bottom = window
    inside = (max(left, 0.0), max(top, 0.0), min(right, pixels.width), min(bottom, pixels.height))
    grey = pixels.resize((SIDE, SIDE), PILImage.Resampling.BICUBIC, box=inside)
    darkness: NDArray[np.float32] = _normalised(-np.asarray(grey, np.float32).reshape(1, -1))[0]
    return darkness


@cache
def _known() -> NDArray[np.float32]:
    """The samples to train on, one a row."""
    images = load().images[list(members("train"))]
    # The world scales a sample until its mean is about .3, and full ink stays full.
    inked = (images * (0.3 / images.mean((1, 2), keepdims=True))).clip(0, 1)
    drawn = [
        np.asarray(PILImage.fromarray(i).resize((SIDE, SIDE), PILImage.Resampling.BICUBIC))
        for i in inked
    ]
    return _normalised(np.stack(drawn).reshape(len(drawn), -1))


def _normalised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = rows - rows.mean(1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    normalised: NDArray[np.float32] = (rows / np.maximum(norms, 1e-6)).astype(np.float32)
    return normalised
