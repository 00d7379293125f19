"""Netpbm files of bytes whose highest level is not that of a byte, such as 16-bit colour.

Pillow reads these value by value in Python, a microsecond each. The levels here are the same.
"""

from __future__ import annotations

import numpy as np
from PIL import Image as PILImage
from PIL import ImageFile, PpmImagePlugin

from saccade.errors import ImageError
from saccade.images.color import STRIP_PIXELS


def scaled(opened: ImageFile.ImageFile, data: bytes) -> PILImage.Image | None:
    """The pixels of such a file, 8 bits or 16 of 32 as Pillow has them; None for another one.

    Raises:
        ImageError: the file ends early.
    """
    tile = opened.tile[0] if opened.tile else None
    if opened.format != PpmImagePlugin.PpmImageFile.format or tile is None:
        return None
    if tile.codec_name != "ppm" or not isinstance(tile.args, tuple):
        return None
    highest = int(tile.args[-1])
    width, height = opened.size
    bands = len(opened.getbands())
    deep = opened.mode == "I"
    top = 65535 if deep else 255
    kind = np.dtype(">u2" if highest > 255 else "u1")
    if len(data) - tile.offset < width * height * bands * kind.itemsize:
        raise ImageError("the file ends before its pixels do")
    # As Pillow rounds: half to even, and levels above the highest are the highest.
    table = np.minimum(top, np.rint(np.arange(256**kind.itemsize) / highest * top))
    levels = table.astype(np.int32 if deep else np.uint8)
    made = PILImage.new(opened.mode, opened.size)
    rows = max(1, STRIP_PIXELS // width)
    for y in range(0, height, rows):
        count = min(rows, height - y)
        place = tile.offset + y * width * bands * kind.itemsize
        held = np.frombuffer(data, kind, count * width * bands, place)
        shape = (count, width, bands) if bands > 1 else (count, width)
        made.paste(PILImage.fromarray(levels[held].reshape(shape)), (0, y))
    return made
