"""Picture files that tests are about, made with Pillow."""

import io
import struct
import zlib

import numpy as np
from PIL import Image as PILImage

ORIENTATION = 0x0112


def scene(width: int = 48, height: int = 32) -> PILImage.Image:
    """No two quarters are alike, and the sides differ: each turn shows."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return PILImage.fromarray(np.dstack([x, y, 255 - x]).astype(np.uint8))


def encoded(pixels: PILImage.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    pixels.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int) -> PILImage.Exif:
    exif = PILImage.Exif()
    exif[ORIENTATION] = orientation
    return exif


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG (PNG specification, third edition, 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
