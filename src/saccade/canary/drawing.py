"""Pictures with one right answer: a digit, a disc, a number, a rectangle on a plain ground."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from saccade.images.geometry import Box, PixelBudget, Size
from saccade.images.image import Image

if TYPE_CHECKING:
    import random

GROUND = (236, 236, 232)
INK = (16, 16, 16)
COLOURS = {
    "red": (214, 30, 34),
    "green": (28, 150, 60),
    "blue": (36, 70, 214),
    "yellow": (246, 214, 40),
    "purple": (136, 44, 168),
    "black": (12, 12, 12),
}
"""Far apart, so that no model that sees takes one for another."""
REFERENCE = 200
"""Font size at which the height of digits is measured."""


def size_of(budget: PixelBudget, area: int, ratio: float) -> Size:
    """A size that the budget leaves alone: about `area` pixels, `ratio` of width to height."""
    area = max(min(area, budget.max_pixels), budget.min_pixels)
    width = max(1, round((area * ratio) ** 0.5))
    return budget.fit(Size(width, max(1, round(width / ratio))))


def digit_image(rng: random.Random, digit: str, size: Size) -> Image:
    """One digit, large, somewhere."""
    return number_image(rng, digit, size, height=round(min(size) * 0.55))


def number_image(rng: random.Random, text: str, size: Size, *, height: int) -> Image:
    """Digits in a row of a given height in pixels, somewhere.

    Raises:
        ValueError: they do not fit; see `fits`.
    """
    left, top, right, bottom = _font(height).getbbox(text)
    width, tall = round(right - left), round(bottom - top)
    if width > size.width or tall > size.height:
        raise ValueError(f"{text!r} at {height} pixels does not fit into {size}")
    canvas = PILImage.new("RGB", size, GROUND)
    x, y = rng.randint(0, size.width - width), rng.randint(0, size.height - tall)
    ImageDraw.Draw(canvas).text((x - left, y - top), text, fill=INK, font=_font(height))
    return Image.from_pixels(canvas)


def fits(text: str, size: Size, *, height: int) -> bool:
    """Whether a number of this height leaves room around it."""
    left, top, right, bottom = _font(height).getbbox(text)
    return right - left <= 0.9 * size.width and bottom - top <= 0.6 * size.height


def disc_image(rng: random.Random, colour: str, size: Size) -> Image:
    """One coloured disc, large, somewhere."""
    side = round(min(size) * 0.5)
    x, y = rng.randint(0, size.width - side), rng.randint(0, size.height - side)
    canvas = PILImage.new("RGB", size, GROUND)
    ImageDraw.Draw(canvas).ellipse((x, y, x + side - 1, y + side - 1), fill=COLOURS[colour])
    return Image.from_pixels(canvas)


def rectangle_image(box: Box, colour: str, size: Size) -> Image:
    """One coloured rectangle; `box` has whole numbers."""
    canvas = PILImage.new("RGB", size, GROUND)
    x1, y1, x2, y2 = map(int, box)
    ImageDraw.Draw(canvas).rectangle((x1, y1, x2 - 1, y2 - 1), fill=COLOURS[colour])
    return Image.from_pixels(canvas)


@cache
def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font whose digits are `height` pixels tall."""
    _, top, _, bottom = ImageFont.load_default(REFERENCE).getbbox("0123456789")
    return ImageFont.load_default(height * REFERENCE / (bottom - top))
