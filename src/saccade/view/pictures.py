"""The images of a page: small, each stored once, and sharp where it matters."""

from __future__ import annotations

import base64
import hashlib
import io

from PIL import Image as PILImage

from saccade.images.geometry import Box, PixelBudget, Size
from saccade.images.image import Image

VIEW_SIDE, CROP_SIDE = 960, 448
"""Longest side of a question's image and of a crop on the page, in pixels."""

VIEW_QUALITY, CROP_QUALITY = 55, 75
"""WebP quality of the two, in [0, 100]."""

LOSSLESS_SIDE = 128
"""Images with no longer side than this are compressed without loss: single pixels are visible."""

CONTEXT = 2.5
"""Side of a close-up over the longest side of the true box."""

CLOSE_UP_SIDE = 224
"""Longest side of a close-up on the page, in pixels."""


class Pictures:
    """The encoded images of a page, by name."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        """Name of an image -> its WebP file."""

    def add(self, image: Image, *, question: bool) -> str:
        """Encode an image as it is shown, and return its name; the same view is stored once.

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
        """Cut the surroundings of a box from the source; return their name and their region.

        Args:
            image: An image of the source, as it is shown.
            box: The box to show, in pixels of the source.
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
        """An image as a `data:` URI, which needs no file beside the page."""
        return "data:image/webp;base64," + base64.b64encode(self.files[name]).decode()


def _name(image: Image, side: int) -> str:
    key = f"{image.source.digest} {list(image.region)} {image.size} {side}"
    return hashlib.sha256(key.encode()).hexdigest()[:24] + ".webp"


def _fitted(image: Image, side: int) -> Image:
    """The same region, with its longest side no longer than `side`."""
    longest = max(image.size)
    if longest <= side:
        return image
    scale = side / longest
    width, height = (max(1, round(v * scale)) for v in image.size)
    budget = PixelBudget(factor=1, min_pixels=1, max_pixels=width * height)
    return Image(image.source, image.region, budget.fit(Size(width, height)))


def _webp(pixels: PILImage.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    lossless = max(pixels.size) <= LOSSLESS_SIDE
    pixels.save(buffer, "WEBP", quality=quality, method=4, lossless=lossless)
    return buffer.getvalue()
