"""Images as a page carries them: small, each once, and sharp where it matters."""

from __future__ import annotations

import base64
import hashlib
import io

from PIL import Image as PILImage

from saccade.geometry import Box, PixelBudget, Size
from saccade.image import Image

VIEW_SIDE, CROP_SIDE = 960, 448
"""Longest side of a question's image and of a crop, in pixels."""

VIEW_QUALITY, CROP_QUALITY = 55, 75
TINY = 128
"""Images up to this size are kept as they are: each of their pixels is looked at."""

CONTEXT = 2.5
"""A close-up of the asked object shows so many times its size."""

CLOSE_UP_SIDE = 224


class Pictures:
    """The encoded images of a page, by name."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        """Name -> WebP."""

    def add(self, image: Image, *, question: bool) -> str:
        """Encode what is shown; the same view twice is kept once.

        Raises:
            ImageError: the source is broken or not at hand.
        """
        side = VIEW_SIDE if question else CROP_SIDE
        name = _name(image, side)
        if name not in self.files:
            quality = VIEW_QUALITY if question else CROP_QUALITY
            self.files[name] = _webp(_fitted(image, side).pixels(), quality)
        return name

    def close_up(self, image: Image, box: Box) -> tuple[str, Box]:
        """The surroundings of a box, cut from the source, and which part of it they are.

        Args:
            image: As shown; the box is in pixels of its source.
            box: What to show.
        """
        side = CONTEXT * max(box.width, box.height, 8.0)
        native = image.native()
        region = box.shift(-image.region.x1, -image.region.y1)
        region = region.resize_about_centre(side, side, native.size)
        cut = image.cut(region.shift(image.region.x1, image.region.y1))
        name = _name(cut, CLOSE_UP_SIDE)
        if name not in self.files:
            self.files[name] = _webp(_fitted(cut, CLOSE_UP_SIDE).pixels(), CROP_QUALITY)
        return name, cut.region

    def data_uri(self, name: str) -> str:
        """An image that needs no file beside the page."""
        return "data:image/webp;base64," + base64.b64encode(self.files[name]).decode()


def _name(image: Image, side: int) -> str:
    key = f"{image.source.digest} {list(image.region)} {image.size} {side}"
    return hashlib.sha256(key.encode()).hexdigest()[:24] + ".webp"


def _fitted(image: Image, side: int) -> Image:
    """The same region with its longest side at most `side`."""
    longest = max(image.size)
    if longest <= side:
        return image
    scale = side / longest
    width, height = (max(1, round(v * scale)) for v in image.size)
    budget = PixelBudget(factor=1, min_pixels=1, max_pixels=width * height)
    return Image(image.source, image.region, budget.fit(Size(width, height)))


def _webp(pixels: PILImage.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    lossless = max(pixels.size) <= TINY
    pixels.save(buffer, "WEBP", quality=quality, method=4, lossless=lossless)
    return buffer.getvalue()
