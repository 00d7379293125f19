"""Sizes, boxes, coordinate frames, and how many pixels a model may see.

Every size that a model is shown comes from `PixelBudget.fit`; every box that a model writes
passes through `CoordSpace.to_pixels`.
"""

from __future__ import annotations

from enum import StrEnum
from math import isfinite, isqrt
from typing import NamedTuple, Self, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, model_validator

from saccade.errors import ImageError

MAX_RATIO = 200
"""Longest side over shortest of what is shown; the limit of the Qwen-VL processors."""


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def area(self) -> int:
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


class Box(NamedTuple):
    """A rectangle `x1, y1, x2, y2` in pixels, right and bottom edge excluded."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        """Zero for a box whose corners are out of order."""
        return max(self.width, 0.0) * max(self.height, 0.0)

    def scale(self, x: float, y: float) -> Box:
        """Every x coordinate times `x`, every y coordinate times `y`."""
        return Box(self.x1 * x, self.y1 * y, self.x2 * x, self.y2 * y)

    def shift(self, dx: float, dy: float) -> Box:
        return Box(self.x1 + dx, self.y1 + dy, self.x2 + dx, self.y2 + dy)

    def clamp(self, size: Size) -> Box:
        """The part inside an image of this size; may be empty."""
        return self.intersect(Box(0, 0, *size))

    def intersect(self, other: Box) -> Box:
        return Box(
            max(self.x1, other.x1),
            max(self.y1, other.y1),
            min(self.x2, other.x2),
            min(self.y2, other.y2),
        )

    def iou(self, other: Box) -> float:
        """Intersection over union, in [0, 1]; 0 when both are empty."""
        shared = self.intersect(other).area
        union = self.area + other.area - shared
        return shared / union if union > 0 else 0.0

    def coverage(self, target: Box) -> float:
        """The share of `target` that lies inside this box, in [0, 1]."""
        return self.intersect(target).area / target.area if target.area > 0 else 0.0

    def resize_about_centre(self, width: float, height: float, within: Size) -> Box:
        """A box of the given size with the same centre, moved (then cut) to lie in the image."""
        width, height = min(width, within.width), min(height, within.height)
        x = (self.x1 + self.x2 - width) / 2
        y = (self.y1 + self.y2 - height) / 2
        x = min(max(x, 0.0), within.width - width)
        y = min(max(y, 0.0), within.height - height)
        return Box(x, y, x + width, y + height)


def box_of(value: object) -> Box | None:
    """The box in a value that a model wrote; None unless that is a list of four finite numbers."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    numbers = [float(number) for number in value if is_number(number)]
    return Box(*numbers) if len(numbers) == 4 else None


def is_number(value: object) -> TypeGuard[float]:
    """A finite number; `True` is none, and neither is an integer beyond every float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 and isfinite(value)


class CoordSpace(StrEnum):
    """The frame in which a model writes boxes; explicit and recorded, never guessed."""

    ABSOLUTE = "absolute"
    """Pixels of the image as it was shown to the model (Qwen2.5-VL)."""
    RELATIVE_1000 = "relative_1000"
    """0 to 1000 on both axes (Qwen2-VL, Qwen3-VL)."""
    RELATIVE_1 = "relative_1"
    """0 to 1 on both axes."""

    def _unit(self, shown: Size) -> tuple[float, float]:
        if self is CoordSpace.ABSOLUTE:
            return 1.0, 1.0
        span = 1000.0 if self is CoordSpace.RELATIVE_1000 else 1.0
        return shown.width / span, shown.height / span

    def to_pixels(self, box: Box, shown: Size) -> Box:
        """From this frame to pixels of an image shown at size `shown`."""
        return box.scale(*self._unit(shown))

    def from_pixels(self, box: Box, shown: Size) -> Box:
        """The inverse of `to_pixels`."""
        x, y = self._unit(shown)
        return box.scale(1 / x, 1 / y)


class PixelBudget(BaseModel):
    """How many pixels of an image a model may see.

    Source: the `smart_resize` rule of the Qwen-VL processors. Where we deviate: the arithmetic
    is exact (their floating point sends a 48x48 cut at 784 pixels to 14x14, ours to 28x28), a
    shape that their rule would leave over the budget is brought under it, and a ratio over 200
    is squeezed to 200 rather than refused. On what `fit` returns, their rule changes nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    factor: int = Field(default=28, ge=1)
    """The number that both sides are multiples of: patch size times merge size."""
    min_pixels: int = Field(default=4 * 28**2, ge=1)
    """Number of pixels that an image is shown with at least; smaller ones are enlarged. The default
    is 4 cells of `factor`."""
    max_pixels: int = Field(default=16384 * 28**2, ge=1)
    """Number of pixels that an image is shown with at most; larger ones are shrunk. The default is
    16384 cells."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_follow_the_factor(cls, data: object) -> object:
        if not isinstance(data, dict) or not isinstance(factor := data.get("factor"), int):
            return data
        return {"min_pixels": 4 * factor**2, "max_pixels": 16384 * factor**2} | data

    @model_validator(mode="after")
    def _holds_a_square(self) -> Self:
        if self._largest_square().area < self.min_pixels:
            raise ValueError(
                f"no square of a multiple of {self.factor} px has between min_pixels="
                f"{self.min_pixels} and max_pixels={self.max_pixels} pixels; widen the budget"
            )
        return self

    def fit(self, size: Size) -> Size:
        """The size at which an image of this size is shown. Idempotent.

        Raises:
            ImageError: a side is not positive.
        """
        if min(size) < 1:
            raise ImageError(f"fit: both sides must be at least 1 pixel, got {size}")
        for _ in range(8):
            fitted = self._step(size)
            if fitted == size:
                return fitted
            size = fitted
        return self._largest_square()

    def _largest_square(self) -> Size:
        side = isqrt(max(self.max_pixels, 0)) // self.factor * self.factor
        return Size(side, side)

    def _step(self, size: Size) -> Size:
        """One application of the rule; what it leaves alone is a legal size."""
        f, landscape = self.factor, size.width >= size.height
        long, short = max(size), min(size)
        long = min(long, MAX_RATIO * short)
        b = max(f, _round_to(short, f))
        a = min(max(f, _round_to(long, f)), MAX_RATIO * b)
        if a * b > self.max_pixels:
            b = max(f, isqrt(self.max_pixels * short // long) // f * f)
            a = max(f, isqrt(self.max_pixels * long // short) // f * f)
        elif a * b < self.min_pixels:
            b = -(-_ceil_sqrt(self.min_pixels * short, long) // f) * f
            a = -(-_ceil_sqrt(self.min_pixels * long, short) // f) * f
        a = min(a, MAX_RATIO * b, self.max_pixels // b // f * f)
        return Size(a, b) if landscape else Size(b, a)


def _round_to(value: int, factor: int) -> int:
    """The nearest multiple; half goes to the even one, as Python's `round` does it."""
    return round(value / factor) * factor


def _ceil_sqrt(numerator: int, denominator: int) -> int:
    """The smallest integer whose square is at least the quotient."""
    quotient = -(-numerator // denominator)
    root = isqrt(quotient)
    return root if root * root == quotient else root + 1
