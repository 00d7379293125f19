"""What is new in what a call shows: the difference between use of a tool and a repeated call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from saccade.images.image import Image
from saccade.types.task import Part

SAME_PLACE = 0.9
"""IoU of two regions of a source from which on they are one place: a box that is moved by a pixel
or two is no other look."""

SHARPER = 1.25
"""How many times as many pixels a place must be shown with, to be shown anew."""


class Shown:
    """What an episode has shown so far.

    Not promised: that what is new is of any use. A look at another place, or a cell that prints
    another number, is new whatever it tells. Pictures that were made (turned, drawn by code) are
    compared by their pixels, so a changed pixel makes another one.
    """

    def __init__(self, images: Iterable[Image] = ()) -> None:
        """Begin with the images of the question."""
        self._images = list(images)
        self._texts: set[tuple[str, tuple[str, ...]]] = set()

    def add(self, tool: str, content: Sequence[Part]) -> bool:
        """Whether a result shows what was not shown before; from now on it was.

        Of a result with images they decide: what is said beside them, such as the name of a crop,
        differs each time. Of others the text does, whatever the arguments of the call were.
        """
        images = [part for part in content if isinstance(part, Image)]
        said = tool, tuple(part for part in content if isinstance(part, str))
        told = not images and said not in self._texts
        new = told or any(not self._was_shown(image) for image in images)
        self._images += images
        if not images:
            self._texts.add(said)
        return new

    def _was_shown(self, image: Image) -> bool:
        return any(_repeats(image, earlier) for earlier in self._images)


def _repeats(image: Image, earlier: Image) -> bool:
    """Whether an earlier image shows this place, and no less sharply."""
    one, other = image.source, earlier.source
    if (one.digest, one.color) != (other.digest, other.color):
        return False
    if image.region.iou(earlier.region) < SAME_PLACE:
        return False
    return _sharpness(image) < SHARPER * _sharpness(earlier)


def _sharpness(image: Image) -> float:
    """Shown pixels for each pixel of the source."""
    return image.size.area / image.region.area
