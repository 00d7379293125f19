"""Procedural scenes: coloured objects on a gradient, on each a small handwritten digit.

All lengths are fractions of the *view*, a square of 56x56 pixels in which a small model sees the
scene. So what is legible in the view does not depend on the native size: a digit on a small object
is 1.25 view pixels wide, too small for any reader, while a crop of the object shows it at 9 of 28.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from saccade.images.geometry import Box
from saccade.world.digits import Split, glyph, load, members

VIEW = 56
"""Side of the view in view pixels, the unit of all lengths below."""

CELL = 14
"""Objects lie on a 4x4 grid of cells, one in a cell (a large one in 2x2)."""

MIN_NATIVE = 672
"""Least side of a scene in native pixels: twelve for each view pixel."""

COLOURS = {
    "red": (255, 120, 120),
    "green": (120, 225, 130),
    "blue": (135, 155, 255),
    "yellow": (245, 235, 120),
    "purple": (215, 130, 240),
    "cyan": (125, 235, 240),
}
"""Pastel, every channel at least 120, so that dark ink stands out on each of them."""

SHAPES = ("square", "disc")

LARGE_DIGIT = 0.5
"""Side of a digit on a large object, as a share of the object's side."""


class Grain(NamedTuple):
    """How small the small objects of a scene are."""

    side: tuple[float, float]
    """Least and greatest side of an object in view pixels."""
    digit: float
    """Side of the digit in view pixels, the same on all of them."""


SMALL = Grain((40 / 12, 50 / 12), 1.25)
TINY = Grain((26 / 12, 31 / 12), 0.9)
LARGE = (16.0, 22.0)
"""Least and greatest side of a large object in view pixels."""

OFF_CENTRE = 0.35
"""Greatest distance, in view pixels and in either direction, between the centres of a small digit
and of its object. If digits always lay in the middle, a third of them could be recognised in the
view: by how their ink is spread over two pixels."""

INK_LEVEL = 5.0
"""Value of the darkest ink, of 255."""

_GRADIENT = np.array([[-30, 0, 20], [0, 30, -20]], np.float32)


class SceneObject(NamedTuple):
    """The truth about an object of a scene."""

    colour: str
    shape: str
    digit: int
    sample: int
    """Index of the handwritten sample."""
    large: bool
    box: Box
    """Native pixels, whole numbers."""
    digit_box: Box
    """The box of its digit, in native pixels."""


class Scene(NamedTuple):
    """A drawn scene and the truth about it."""

    objects: tuple[SceneObject, ...]
    """All objects, the large one first, if there is one. No two have the same colour."""
    pixels: PILImage.Image


def draw_scene(
    rng: np.random.Generator,
    *,
    native: int,
    split: Split,
    large: bool,
    least: int = 2,
    grain: Grain = SMALL,
) -> Scene:
    """Draw a random scene.

    Args:
        rng: Source of all randomness.
        native: Side of the scene in pixels, at least 672.
        split: Which handwritten samples may appear.
        large: Whether one object is large enough to be read in the view.
        least: Lowest number of objects, 2 to 6; the highest is 6.
        grain: Sizes of the small objects and of their digits.

    Raises:
        ValueError: `native` is too small for digits of any shape.
    """
    if native < MIN_NATIVE:
        raise ValueError(f"native={native}: a scene needs at least {MIN_NATIVE} pixels a side")
    scale = native / VIEW
    canvas = background(rng, native)
    count = int(rng.integers(least, len(COLOURS) + 1))
    colours = [list(COLOURS)[i] for i in rng.permutation(len(COLOURS))]
    objects: list[SceneObject] = []
    for colour, (column, row, span) in zip(colours, _places(rng, count, large), strict=False):
        side = round(rng.uniform(*(LARGE if span == 2 else grain.side)) * scale)
        digit_side = round(side * LARGE_DIGIT if span == 2 else grain.digit * scale)
        # A third of a view pixel stays free on each side of a cell.
        edge, room = round(scale / 3), round(span * CELL * scale)
        x = round(column * CELL * scale) + int(rng.integers(edge, room - side - edge))
        y = round(row * CELL * scale) + int(rng.integers(edge, room - side - edge))
        sample = int(rng.choice(members(split)))
        shape = SHAPES[int(rng.integers(len(SHAPES)))]
        patch = canvas[y : y + side, x : x + side]
        paint(rng, patch, COLOURS[colour], shape)
        inset = (side - digit_side) // 2
        slack = 0 if span == 2 else round(OFF_CENTRE * scale)
        left, top = (inset + int(rng.integers(-slack, slack + 1)) for _ in range(2))
        alpha = glyph(rng, sample, digit_side, split)[..., None]
        under = patch[top : top + digit_side, left : left + digit_side]
        under[:] = (INK_LEVEL * alpha + (1 - alpha) * under).astype(np.uint8)
        box = Box(x, y, x + side, y + side)
        digit = int(load().labels[sample])
        digit_box = Box(0, 0, digit_side, digit_side).shift(x + left, y + top)
        objects.append(SceneObject(colour, shape, digit, sample, span == 2, box, digit_box))
    return Scene(tuple(objects), PILImage.fromarray(canvas))


def _places(rng: np.random.Generator, count: int, large: bool) -> list[tuple[int, int, int]]:
    """Draw column, row and span of each object; no two share a cell."""
    free = [(column, row) for column in range(4) for row in range(4)]
    places: list[tuple[int, int, int]] = []
    if large:
        column, row = int(rng.integers(3)), int(rng.integers(3))
        taken = {(column + i, row + j) for i in range(2) for j in range(2)}
        free = [cell for cell in free if cell not in taken]
        places.append((column, row, 2))
    order = rng.permutation(len(free))[: count - len(places)]
    return places + [(*free[i], 1) for i in order]


def background(rng: np.random.Generator, native: int) -> NDArray[np.uint8]:
    """Draw a dark gradient, (native, native, 3)."""
    base = (rng.uniform(50, 85) + rng.uniform(-6, 6, 3)).astype(np.float32)
    ramp = (np.arange(native, dtype=np.float32) + 0.5) / native * 2 - 1
    across = base[:, None] + ramp * _GRADIENT[0][:, None]
    down = ramp * _GRADIENT[1][:, None]
    canvas = np.empty((native, native, 3), np.uint8)
    for channel in range(3):  # numpy is slow where the last axis is as short as three
        plane = across[channel] + down[channel][:, None]
        canvas[..., channel] = plane.clip(0, 255, out=plane)
    return canvas


def paint(
    rng: np.random.Generator, patch: NDArray[np.uint8], colour: tuple[int, int, int], shape: str
) -> None:
    """Draw a square or a disc that fills `patch`, in a shade of the colour."""
    shade = np.clip(np.array(colour) + rng.normal(0, 8, 3), 0, 255).astype(np.uint8)
    if shape == "square":
        patch[:] = shade
        return
    radius = patch.shape[0] / 2
    offset = (np.arange(patch.shape[0]) + 0.5 - radius) ** 2
    patch[offset[:, None] + offset[None] <= radius**2] = shade
