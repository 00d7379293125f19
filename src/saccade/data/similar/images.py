"""Copies of an image: at another size, compressed again.

Two tests, of which a copy passes both. The first is a perceptual hash of 64 bits, which is fast: it
tells of a hundred thousand images the few that may be copies. The second compares those, at 64x64
grey levels, by the largest difference at any place: the hash looks at the layout, and scenes that
share it (two plates in the dark, a page of text, the axes of a chart) have near hashes.

The limits were chosen on what benchmarks/near_duplicates.py measures; docs/data.md has the table.

What is found: the same picture at another size or shape, compressed again, a little brighter or
paler. What is not: a part of it (with a margin of 2 % gone it is seldom found), a
mirrored or turned one, another photograph of the same thing. Two pictures that are nearly equal at
64x64 count as copies: what is smaller than a tenth or so of their side may differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from saccade.errors import require
from saccade.search.local.pictures.hashes import hashes_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image as PILImage

    from saccade.images.image import Image

SIDE = 64
"""Side of what is compared."""
MAX_BITS = 10
"""Bits of the hashes that may differ in a copy."""
MAX_DIFFERENCE = 1.5
"""Largest difference at any place, in standard deviations of the grey levels."""
MAX_COMPARED = 16
"""Number of images, those with the nearest hashes, that one is compared with."""


class ImageSketch(NamedTuple):
    """What is compared of an image."""

    digest: str
    """Of its file and of what is shown of it."""
    phash: int | None
    """64 bits; None of a picture that is too flat for a hash: only the same file is its copy."""
    levels: NDArray[np.uint8]
    """(64, 64) grey levels."""


class Copy(NamedTuple):
    """An image that was found."""

    place: int
    """Its place among those that were added."""
    bits: int
    """Bits of the hashes that differ."""
    difference: float
    """Largest difference at any place, in standard deviations."""


def check_available() -> None:
    """Find out if images can be compared here.

    Raises:
        MissingExtra: imagehash is not installed.
    """
    require("imagehash")


def key_of(image: Image) -> str:
    """The same for the same part of the same file; nothing is decoded."""
    return f"{image.source.digest}:{','.join(str(int(v)) for v in image.region)}"


def sketch_image(image: Image) -> ImageSketch:
    """What is compared of an image.

    Raises:
        ImageError: it cannot be decoded.
        MissingExtra: imagehash is not installed.
    """
    return sketch_pixels(image.native().pixels(), digest=key_of(image))


def sketch_pixels(pixels: PILImage.Image, *, digest: str) -> ImageSketch:
    """The same of RGB pixels."""
    import numpy as np
    from PIL import Image as PILImage

    check_available()
    found = hashes_of(pixels, ("phash",)).phash
    small = pixels.resize((SIDE, SIDE), PILImage.Resampling.BILINEAR, reducing_gap=2.0)
    levels = np.asarray(small.convert("L"), dtype=np.uint8)
    return ImageSketch(digest, int.from_bytes(found) if found else None, levels)


def difference(one: ImageSketch, other: ImageSketch) -> float:
    """Largest difference at any place, in standard deviations of the grey levels of each.

    A place is 3x3 of the 64x64 levels, so that the noise of a compression does not count.
    """
    import numpy as np

    apart = np.pad(_standard(one.levels) - _standard(other.levels), 1, mode="edge")
    rows = apart[:-2] + apart[1:-1] + apart[2:]
    places = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9
    return float(np.abs(places).max())


class ImageIndex:
    """Images among which copies of another one are looked for.

    The hash is compared with all of them, a tenth of a millisecond for a hundred thousand, and
    `MAX_COMPARED` images at most are compared further. It takes 4 KiB for each.
    """

    def __init__(self) -> None:
        import numpy as np

        self._sketches: list[ImageSketch] = []
        self._same: dict[str, int] = {}
        self._hashes = np.zeros(1024, dtype=np.uint64)
        self._hashed: list[int] = []

    def __len__(self) -> int:
        return len(self._sketches)

    def add(self, sketch: ImageSketch) -> int:
        """Put an image behind the others; returns its place."""
        import numpy as np

        place = len(self._sketches)
        self._sketches.append(sketch)
        self._same.setdefault(sketch.digest, place)
        if sketch.phash is not None:
            if len(self._hashed) == len(self._hashes):
                self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
            self._hashes[len(self._hashed)] = sketch.phash
            self._hashed.append(place)
        return place

    def nearest(
        self,
        sketch: ImageSketch,
        *,
        max_bits: int = MAX_BITS,
        max_difference: float = MAX_DIFFERENCE,
    ) -> list[Copy]:
        """The copies of an image, the nearest one first; of equal ones, the first.

        Args:
            sketch: Of the image that is looked for.
            max_bits: Bits of the hashes that may differ.
            max_difference: Largest difference at any place.
        """
        import numpy as np

        if sketch.phash is None:
            same = self._same.get(sketch.digest)
            return [] if same is None else [Copy(same, 0, 0.0)]
        apart = np.bitwise_count(self._hashes[: len(self._hashed)] ^ np.uint64(sketch.phash))
        near = np.flatnonzero(apart <= max_bits)
        if len(near) > MAX_COMPARED:
            near = near[np.argsort(apart[near], kind="stable")[:MAX_COMPARED]]
        found = []
        for at in near.tolist():
            place = self._hashed[at]
            far = difference(sketch, self._sketches[place])
            if far <= max_difference:
                found.append(Copy(place, int(apart[at]), far))
        return sorted(found, key=lambda copy: (copy.difference, copy.place))


def _standard(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(64, 64), of mean 0 and standard deviation 1."""
    import numpy as np

    centred = levels.astype(np.float32) - np.float32(levels.mean())
    return centred / max(float(centred.std()), 1e-3)
