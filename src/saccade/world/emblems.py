"""Emblems: patterns on plates that no words name, so that only a search with the image does.

Each thing of a library has one of four by four fields, dark or bright, drawn at random for every
split and seed. It says nothing of the name; a picture of it is indexed under the name.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from saccade.world.digits import Alpha, Split
from saccade.world.facts import VERSION, Thing, facts_of
from saccade.world.scene import COLOURS, INK_LEVEL

FIELDS = 4
"""Number of fields along a side."""
APART = 3
"""Least number of fields in which two emblems of a library differ."""
PICTURE = (64, 36)
"""Width and height of the picture of a thing."""
MARGIN = 4

Emblem = NDArray[np.bool_]
"""(4, 4), true where a field is dark."""


@lru_cache(maxsize=64)
def emblems_of(split: Split, seed: int) -> Mapping[Thing, Emblem]:
    """Draw the emblem of each thing of a library."""
    rng = np.random.default_rng([seed, zlib.crc32(f"emblems/{VERSION}/{split}".encode())])
    things = facts_of(split, seed).things
    drawn: list[int] = []
    while len(drawn) < len(things):
        for fields in rng.integers(1 << FIELDS**2, size=len(things)).tolist():
            if all((fields ^ other).bit_count() >= APART for other in drawn):
                drawn.append(fields)
    return {thing: _unpacked(fields) for thing, fields in zip(things, drawn, strict=False)}


def _unpacked(fields: int) -> Emblem:
    bits = [fields >> place & 1 for place in range(FIELDS**2)]
    return np.array(bits, np.bool_).reshape(FIELDS, FIELDS)


def alpha_of(emblem: Emblem, width: int, height: int) -> Alpha:
    """Its coverage with ink, (height, width)."""
    rows, columns = (np.arange(n) * FIELDS // n for n in (height, width))
    return emblem[np.ix_(rows, columns)].astype(np.float32)


def picture_of(thing: Thing, emblem: Emblem) -> PILImage.Image:
    """A thing as it is shown in an index: its plate alone."""
    width, height = PICTURE
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = COLOURS[thing.colour]
    inner = canvas[MARGIN : height - MARGIN, MARGIN : width - MARGIN]
    alpha = alpha_of(emblem, width - 2 * MARGIN, height - 2 * MARGIN)[..., None]
    inner[:] = INK_LEVEL * alpha + (1 - alpha) * inner
    return PILImage.fromarray(canvas.astype(np.uint8))
