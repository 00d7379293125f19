"""Search with an image: which things of a library show an emblem like that of a plate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from saccade.world.emblems import Emblem, picture_of
from saccade.world.facts import Thing

BRIGHT = 170
"""Least value of the brightest channel of a plate, of 255; backgrounds are darker."""
SIZE = (24, 16)
"""Pictures are compared at this width and height."""
ALIKE = 0.5
"""Least correlation of what is found."""


class Likeness(NamedTuple):
    """A thing that looks like what was searched with."""

    thing: Thing
    correlation: float


class Pictures:
    """The pictures of a library."""

    def __init__(self, emblems: Mapping[Thing, Emblem]) -> None:
        self._things = tuple(emblems)
        self._rows = np.stack(
            [_row(picture_of(thing, emblem)) for thing, emblem in emblems.items()]
        )

    def search(self, picture: PILImage.Image, k: int) -> Sequence[Likeness]:
        """The things that look most like a picture, or like the plate on it if it shows one.

        Where it shows several plates, none of them is found: search with a part that holds one.
        """
        alike = self._rows @ _row(picture)
        best = np.argsort(-alike, kind="stable")[:k]
        return [Likeness(self._things[i], float(alike[i])) for i in best if alike[i] >= ALIKE]


def _row(picture: PILImage.Image) -> NDArray[np.float32]:
    """What is bright in a picture, its brightness and contrast removed."""
    bright = np.asarray(picture.convert("RGB")).max(2) > BRIGHT
    if bright.any():
        y, x = np.nonzero(bright.any(1))[0], np.nonzero(bright.any(0))[0]
        picture = picture.crop((int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1))
    grey = picture.convert("L").resize(SIZE, PILImage.Resampling.BOX)
    row = np.asarray(grey, np.float32).ravel()
    row = row - row.mean()
    normalised: NDArray[np.float32] = row / np.float32(max(float(np.linalg.norm(row)), 1e-6))
    return normalised
