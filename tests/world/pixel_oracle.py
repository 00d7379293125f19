"""Reads the facts of a scene back from its pixels, without the code that drew them.

It knows what the world promises: six pastel colours, at most one object of each, brighter than any
background; a digit in the middle of a large object, half as wide; on a small one 1.25 view pixels
wide and at most .35 off the middle; samples of the published file, not turned in the test split.
"""

from functools import cache
from importlib.resources import files
from math import hypot
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

PASTELS = {
    "red": (255, 120, 120),
    "green": (120, 225, 130),
    "blue": (135, 155, 255),
    "yellow": (245, 235, 120),
    "purple": (215, 130, 240),
    "cyan": (125, 235, 240),
}
SIDE = 16


class Seen(NamedTuple):
    """An object as the pixels show it."""

    colour: str
    shape: str
    digit: int
    large: bool
    box: tuple[int, int, int, int]
    sample: int
    """The handwritten sample that it resembles most."""


def look(picture: PILImage.Image) -> dict[str, Seen]:
    """Colour -> object."""
    pixels = np.asarray(picture).astype(np.float32)
    return {
        colour: _describe(pixels, colour, box) for colour, box in look_for_colours(pixels).items()
    }


def look_for_colours(pixels: NDArray[np.float32]) -> dict[str, tuple[int, int, int, int]]:
    """Colour -> where it is."""
    rows, columns = np.nonzero(pixels.max(2) > 180)
    found = pixels[rows, columns]
    pastels = np.array(list(PASTELS.values()), np.float32)
    tints = pastels / pastels.max(1, keepdims=True)
    nearest = ((found / found.max(1, keepdims=True))[:, None] - tints[None]) ** 2
    which = nearest.sum(2).argmin(1)
    boxes = {}
    for i, colour in enumerate(PASTELS):
        own = which == i
        if own.any():
            x, y = columns[own], rows[own]
            boxes[colour] = (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
    return boxes


def _describe(pixels: NDArray[np.float32], colour: str, box: tuple[int, int, int, int]) -> Seen:
    x1, y1, x2, y2 = box
    unit = pixels.shape[1] / 56
    side = x2 - x1
    large = side / unit > 10
    patch = pixels[y1:y2, x1:x2].max(2)
    shape = "square" if patch[0, 0] > 180 else "disc"
    tiny = side / unit < 3
    width = round(side / 2 if large else (0.9 if tiny else 1.25) * unit)
    inset = (side - width) // 2
    body = patch[side // 2, 1]  # left of the digit on both shapes
    slack = 0 if large else round(0.35 * unit)
    sample = _sample(1 - patch / body, inset, width, slack)
    return Seen(colour, shape, int(_archive()[1][sample]), large, box, sample)


def _sample(ink: NDArray[np.float32], inset: int, width: int, slack: int) -> int:
    """The sample that looks most like any window near the middle: coarse places, then all about
    the best one."""

    def best(places: list[tuple[int, int]]) -> tuple[tuple[int, int], int]:
        windows = [
            ink[inset + y : inset + y + width, inset + x : inset + x + width] for y, x in places
        ]
        shown = [np.asarray(PILImage.fromarray(w).resize((SIDE, SIDE))) for w in windows]
        alike = _normalised(np.stack(shown)) @ _templates().T
        place, sample = np.unravel_index(int(alike.argmax()), alike.shape)
        return places[int(place)], int(sample)

    step = max(1, slack // 3)
    coarse = range(-slack, slack + 1, step)
    (y, x), sample = best([(y, x) for y in coarse for x in coarse])
    if step == 1:
        return sample
    near = range(-step, step + 1, max(1, step // 3))
    places = [(y + dy, x + dx) for dy in near for dx in near]
    return best([(v, u) for v, u in places if max(abs(v), abs(u)) <= slack])[1]


def read_plates(picture: PILImage.Image, margin: float, digit: float) -> dict[str, int]:
    """Colour -> the two-digit number on the plate of that colour; lengths in view pixels."""
    pixels = np.asarray(picture).astype(np.float32)
    unit = pixels.shape[1] / 56
    inset, width = round(margin * unit), round(digit * unit)
    found = {}
    for colour, seen in look_for_colours(pixels).items():
        x1, y1, x2, y2 = seen
        patch = pixels[y1:y2, x1:x2].max(2)
        ink = 1 - patch / patch[0, 0]
        samples = [
            _sample(ink[:, start : start + width + 2 * inset], inset, width, 0)
            for start in (0, width)
        ]
        tens, units = (int(_archive()[1][sample]) for sample in samples)
        found[colour] = 10 * tens + units
    return found


@cache
def _archive() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    with files("saccade.world").joinpath("digits.npz").open("rb") as file:
        archive = np.load(file)
        return archive["images"], archive["labels"]


@cache
def _templates() -> NDArray[np.float32]:
    images = _archive()[0].astype(np.float32) / 16
    # The world scales a sample until its mean is about 0.3 and clips at full ink.
    scaled = (images * (0.3 / images.mean((1, 2), keepdims=True))).clip(0, 1)
    large = [np.asarray(PILImage.fromarray(s).resize((SIDE, SIDE))) for s in scaled]
    return _normalised(np.stack(large))


def _normalised(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = maps.reshape(len(maps), -1)
    flat = flat - flat.mean(1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def centre_distance(a: Seen, b: Seen) -> float:
    (ax, ay), (bx, by) = (((s.box[0] + s.box[2]) / 2, (s.box[1] + s.box[3]) / 2) for s in (a, b))
    return hypot(ax - bx, ay - by)


def edge_distance(a: Seen, b: Seen) -> float:
    x = max(a.box[0] - b.box[2], b.box[0] - a.box[2], 0)
    y = max(a.box[1] - b.box[3], b.box[1] - a.box[3], 0)
    return hypot(x, y)
