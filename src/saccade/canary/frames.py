"""The frame in which a model writes boxes, told from boxes that it wrote about known targets.

Pixels of the image as it was sent, 0 to 1000 and 0 to 1 are told apart by images of several sizes,
none of them square; each as [x1, y1, x2, y2], as [y1, x1, y2, x2], which Gemini writes, and as a
corner or the centre with width and height. Pixels of an image that the server has resized fit none
of them: they are off by one factor for both axes, which is 1 for sizes that it leaves alone.

Source of the order of Gemini: https://ai.google.dev/gemini-api/docs/image-understanding, object
detection: `[ymin, xmin, ymax, xmax]` normalized to 0-1000.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import combinations
from statistics import median
from typing import NamedTuple

from saccade.images.geometry import Box, CoordSpace, Size

FIT = 0.5
"""Least IoU of a box with its target for the two to be the same."""
SHARE = 0.6
"""Least share of boxes that fit for a frame to be told."""
APART = 0.4
"""Greatest IoU with the target that a box may have when it is read in a wrong frame."""
LEAST = 3
"""Number of boxes that nothing is told from fewer than."""
RESIZED = 0.15
"""An image counts as resized if boxes are off by more than this share."""


class Form(StrEnum):
    """What the four numbers of a box are. No setting reads any but the first."""

    CORNERS = "[x1, y1, x2, y2]"
    SWAPPED = "[y1, x1, y2, x2]"
    SIZED = "[x, y, width, height]"
    CENTRED = "[centre x, centre y, width, height]"


class Frame(NamedTuple):
    """A way of writing boxes."""

    space: CoordSpace
    form: Form = Form.CORNERS

    def to_pixels(self, written: Sequence[float], size: Size) -> Box:
        """A box that was written in this frame, in pixels of the image."""
        a, b, c, d = written
        if self.form is Form.CORNERS:
            corners = Box(a, b, c, d)
        elif self.form is Form.SWAPPED:
            corners = Box(b, a, d, c)
        elif self.form is Form.SIZED:
            corners = Box(a, b, a + c, b + d)
        else:
            corners = Box(a - c / 2, b - d / 2, a + c / 2, b + d / 2)
        return self.space.to_pixels(corners, size)

    def from_pixels(self, box: Box, size: Size) -> tuple[float, float, float, float]:
        """The inverse of `to_pixels`."""
        x1, y1, x2, y2 = self.space.from_pixels(box, size)
        return {
            Form.CORNERS: (x1, y1, x2, y2),
            Form.SWAPPED: (y1, x1, y2, x2),
            Form.SIZED: (x1, y1, x2 - x1, y2 - y1),
            Form.CENTRED: ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1),
        }[self.form]

    def __str__(self) -> str:
        return self.space.value + ("" if self.form is Form.CORNERS else f" as {self.form}")


FRAMES = tuple(Frame(space, form) for form in Form for space in CoordSpace)


class Located(NamedTuple):
    """A target and where a model says that it is."""

    target: Box
    """In pixels of the image as it was sent."""
    size: Size
    written: tuple[float, float, float, float] | None
    """None where no box can be read."""
    shown: str = ""
    """The reply as evidence."""


class Scale(NamedTuple):
    """By what factor the boxes on images of a size are off."""

    size: Size
    factor: float


class Told(NamedTuple):
    """What a model's boxes say of its frame."""

    frame: Frame | None
    """None if no frame fits."""
    fits: int
    """Number of boxes that fit the frame, or the best one if there is none."""
    asked: int
    iou: float
    """Mean IoU in that frame."""
    boxes: int = 0
    """Number of replies in which a box can be read."""
    sizes: int = 0
    """Number of sizes of images."""
    resized: tuple[Scale, ...] = ()
    """Sizes that the server does not leave alone."""

    @property
    def everywhere(self) -> bool:
        """Whether boxes are off by one factor, whatever the size of the image."""
        factors = [scale.factor for scale in self.resized]
        several = len(factors) == self.sizes > 1
        return several and max(factors) <= (1 + RESIZED) * min(factors)


def tell_frame(located: Sequence[Located]) -> Told:
    """The frame that explains the most boxes."""
    ious = {frame: [_iou(frame, one) for one in located] for frame in FRAMES}
    best = max(FRAMES, key=lambda frame: (_count(ious[frame]), sum(ious[frame])))
    fits, asked = _count(ious[best]), len(located)
    boxes = sum(one.written is not None for one in located)
    sizes = len({one.size for one in located})
    told = Told(best, fits, asked, sum(ious[best]) / max(1, asked), boxes, sizes)
    if fits == asked and _is_enough(fits, asked):
        return told
    resized = _resized(located)
    if resized is not None and resized.fits > fits:
        return resized._replace(boxes=boxes, sizes=sizes)
    return told if _is_enough(fits, asked) else told._replace(frame=None)


def targets(rng: random.Random, size: Size) -> Iterator[Box]:
    """Boxes on an image of this size that no two frames could mean alike, if there are any."""
    while True:
        box = _random_box(rng, size)
        for _ in range(200):
            if _are_told_apart(box, size):
                break
            box = _random_box(rng, size)
        yield box


def _resized(located: Sequence[Located]) -> Told | None:
    """Pixels of resized images: one factor for each size, and 1 for some or none of them."""
    scales: list[Scale] = []
    ious: list[float] = []
    for size in dict.fromkeys(one.size for one in located):
        here = [one for one in located if one.size == size and one.written is not None]
        plain = [_iou(Frame(CoordSpace.ABSOLUTE), one) for one in here]
        factor, even = _factor(here)
        scaled = [_iou_of(one.target, _scaled(one, factor)) for one in here]
        off = even and abs(factor - 1) > RESIZED and _count(plain) < _count(scaled) == len(here)
        if off:
            scales.append(Scale(size, factor))
        ious += scaled if off else plain
    fits, asked = _count(ious), len(located)
    if not scales or not _is_enough(fits, asked):
        return None
    return Told(Frame(CoordSpace.ABSOLUTE), fits, asked, sum(ious) / asked, resized=tuple(scales))


def _factor(here: Sequence[Located]) -> tuple[float, bool]:
    """By what factor boxes are off, and whether it is that of both axes."""
    x, y = (median([1.0, *_ratios(here, axis)][bool(here) :]) for axis in (0, 1))
    return (x + y) / 2, abs(x - y) <= RESIZED * max(x, y)


def _ratios(here: Sequence[Located], axis: int) -> list[float]:
    """What was written over what is true on an axis; edges at 0 say nothing."""
    pairs = (
        (one.written[place], one.target[place])
        for one in here
        if one.written is not None
        for place in (axis, axis + 2)
    )
    return [written / true for written, true in pairs if true > 0]


def _scaled(one: Located, factor: float) -> Box:
    assert one.written is not None
    return Box(*one.written).scale(1 / factor, 1 / factor) if factor > 0 else Box(0, 0, 0, 0)


def _iou(frame: Frame, one: Located) -> float:
    if one.written is None:
        return 0.0
    return _iou_of(one.target, frame.to_pixels(one.written, one.size))


def _iou_of(target: Box, box: Box) -> float:
    return target.iou(box) if box.area > 0 else 0.0


def _count(ious: Sequence[float]) -> int:
    return sum(iou >= FIT for iou in ious)


def _is_enough(fits: int, asked: int) -> bool:
    return fits >= max(LEAST, SHARE * asked)


def _random_box(rng: random.Random, size: Size) -> Box:
    width, height = (round(side * rng.uniform(0.25, 0.45)) for side in size)
    x, y = rng.randint(0, size.width - width), rng.randint(0, size.height - height)
    return Box(x, y, x + width, y + height)


def _are_told_apart(box: Box, size: Size) -> bool:
    written = {frame: frame.from_pixels(box, size) for frame in FRAMES}
    pairs = ((one, other) for one, other in combinations(FRAMES, 2))
    return all(
        max(
            _iou_of(box, one.to_pixels(written[other], size)),
            _iou_of(box, other.to_pixels(written[one], size)),
        ) <= APART
        for one, other in pairs
    )  # fmt: skip
