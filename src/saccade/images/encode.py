"""Pixels as a file that every server reads: PNG, or JPEG where a PNG would be several times larger.

A photograph of 11 megapixels is a PNG of 5 to 21 MB and a JPEG of 1.6 to 6 MB. At the quality that
is used here the JPEG differs by 0.3 to 1.2 levels of 255 on average in views of 11 megapixels, and
by 0.6 to 2.2 in views of 1 megapixel; 99.9 % of the values differ by no more than 13 levels. (The
photographs of the tests.) Colour is not subsampled. Text and drawings are smaller as PNG, and stay
exact, as does anything small: what is cropped to be read.
"""

from __future__ import annotations

import io
from typing import Literal, NamedTuple

from PIL import Image as PILImage

WireFormat = Literal["auto", "png", "jpeg"]

JPEG_QUALITY = 95
EXACT_PIXELS = 512 * 512
"""Images with no more pixels are never compressed with loss by `auto`."""
WORTH_IT = 2.0
"""How many times as large a PNG must be for `auto` to take the JPEG."""
CLEARLY = 1.25
"""By how much more than that the PNG of some rows must be larger, for the whole not to be made: it
takes ten times as long as the JPEG."""
BAND, BANDS = 16, 8
"""Every eighth band of 16 rows is looked at."""


class EncodedImage(NamedTuple):
    """An image as a wire or a file carries it."""

    data: bytes
    media_type: str


def encode(pixels: PILImage.Image, wire: WireFormat) -> EncodedImage:
    """RGB pixels as a file.

    Args:
        pixels: In mode RGB.
        wire: "png" is exact. "jpeg" is not: see the module. "auto" chooses.
    """
    if wire == "jpeg":
        return _jpeg(pixels)
    if wire == "png" or pixels.width * pixels.height <= EXACT_PIXELS:
        return _png(pixels)
    near = _jpeg(pixels)
    if CLEARLY * WORTH_IT * len(near.data) < _size_as_png(pixels):
        return near
    exact = _png(pixels)
    return near if WORTH_IT * len(near.data) < len(exact.data) else exact


def _size_as_png(pixels: PILImage.Image) -> float:
    """About how many bytes its PNG would have, from bands of rows all over it; 0 if it has few."""
    tops = range(0, pixels.height - BAND + 1, BAND * BANDS)
    rows = PILImage.new("RGB", (pixels.width, BAND * len(tops)))
    for place, top in enumerate(tops):
        rows.paste(pixels.crop((0, top, pixels.width, top + BAND)), (0, place * BAND))
    if not rows.height:
        return 0.0
    return len(_png(rows).data) * pixels.height / rows.height


def _png(pixels: PILImage.Image) -> EncodedImage:
    buffer = io.BytesIO()
    pixels.save(buffer, "PNG", compress_level=1)
    return EncodedImage(buffer.getvalue(), "image/png")


def _jpeg(pixels: PILImage.Image) -> EncodedImage:
    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4")
    return EncodedImage(buffer.getvalue(), "image/jpeg")
