"""From the bytes of an image file to RGB pixels, without trusting the file.

The header is read first, and a file that claims too many pixels is not decoded.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL import Image as PILImage

from saccade.errors import ImageError
from saccade.images.geometry import Size

MAX_SOURCE_PIXELS = 180_000_000
"""Larger files are refused before a pixel of them is decoded (180 megapixels)."""

_EXTENSIONS = {
    JpegImagePlugin.JpegImageFile.format: "jpg",
    PngImagePlugin.PngImageFile.format: "png",
    WebPImagePlugin.WebPImageFile.format: "webp",
    GifImagePlugin.GifImageFile.format: "gif",
    BmpImagePlugin.BmpImageFile.format: "bmp",
    TiffImagePlugin.TiffImageFile.format: "tif",
    PpmImagePlugin.PpmImageFile.format: "ppm",
}
_MULTI_PICTURE = "MPO"


class Header(NamedTuple):
    """What is known of an image file before its pixels are decoded."""

    extension: str
    size: Size
    """Native size after the EXIF orientation is applied."""
    verbatim: bool
    """Whether a plain decoder sees the same pixels: RGB or grey, no EXIF rotation."""


_ORIENTATION_TAG = 0x0112
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error)


def read_header(data: bytes, name: str, max_pixels: int) -> Header:
    """Read format, size and orientation of an encoded image.

    Raises:
        ImageError: not a known image format, zero-sized, or over `max_pixels`.
    """
    with _opened(data, name) as opened:
        width, height = opened.size
        kind, mode = opened.format or "", opened.mode
        if width < 1 or height < 1:
            raise ImageError(f"{name}: an image needs at least one pixel, got {width}x{height}")
        if width * height > max_pixels:
            raise ImageError(
                f"{name}: {width}x{height} is {width * height / 1e6:.0f} megapixels, the limit "
                f"is {max_pixels / 1e6:.0f}; raise max_image_pixels if you trust the file"
            )
        try:
            orientation = opened.getexif().get(_ORIENTATION_TAG, 1)
        except _BROKEN:
            orientation = 1
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    plain = orientation not in range(2, 9) and mode in ("RGB", "L") and kind != _MULTI_PICTURE
    return Header(_EXTENSIONS.get(kind, "jpg"), Size(width, height), plain)


def decode(data: bytes, name: str) -> PILImage.Image:
    """Decode an image to RGB pixels, upright.

    Raises:
        ImageError: the data ends early or is broken.
    """
    with _opened(data, name) as opened:
        try:
            opened.load()
            return to_rgb(ImageOps.exif_transpose(opened))
        except _BROKEN as error:
            raise ImageError(f"{name}: the image is truncated or broken ({error})") from error


def _opened(data: bytes, name: str) -> PILImage.Image:
    """Open an image like `PIL.Image.open`, without its bomb check, a setting of the process.

    The caller compares the size with its own limit before it decodes.
    """
    for kind in _EXTENSIONS:
        factory, accept = PILImage.OPEN.get(kind, (None, None))
        if factory is None or (accept is not None and accept(data[:16]) is not True):
            continue
        try:
            return factory(io.BytesIO(data), "")
        except (PILImage.DecompressionBombError, PILImage.DecompressionBombWarning) as error:
            # The plug-ins of GIF and WebP look at the process-wide limit themselves, and their
            # warning below it is an error where the user made warnings errors.
            raise ImageError(f"{name}: {error}") from error
        except _BROKEN as error:
            raise ImageError(f"{name}: a broken {kind} file ({error})") from error
    known = ", ".join(sorted(set(_EXTENSIONS.values())))
    raise ImageError(f"{name}: not an image that can be read (one of {known})")


def to_rgb(pixels: PILImage.Image) -> PILImage.Image:
    """The pixels as RGB: transparency on white, 16 bits scaled to 8, CMYK converted."""
    if pixels.mode == "RGB":
        return pixels
    if pixels.mode.startswith("I") or pixels.mode == "F":
        levels = np.asarray(pixels, dtype=np.float64)
        top = 65535.0 if pixels.mode != "F" else 255.0 if levels.max(initial=0) > 1 else 1.0
        levels = np.clip(levels / top * 255.0 + 0.5, 0, 255)
        return PILImage.fromarray(levels.astype(np.uint8)).convert("RGB")
    if pixels.has_transparency_data:
        rgba = pixels.convert("RGBA")
        ground = PILImage.new("RGBA", rgba.size, (255, 255, 255, 255))
        return PILImage.alpha_composite(ground, rgba).convert("RGB")
    return pixels.convert("RGB")
