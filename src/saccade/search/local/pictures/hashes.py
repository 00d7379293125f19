"""Pictures that look alike: two perceptual hashes, and the pictures within a distance.

Source: pHash as imagehash computes it (64 bits; the low frequencies of a cosine transform of 32x32
grey levels, over their median); PDQ (Facebook, "The TMK+PDQF video-hashing algorithm and the PDQ
image-hashing algorithm", 2019; 256 bits). Where we deviate: both are taken of the picture at no
more than 256 pixels a side, which differs by a bit or two and costs a tenth of the time.

What they find: the same picture at another size, compressed again, with slightly other colours or
a narrow border gone. What they do not: a mirrored picture, a turned one, a part that leaves out
more than a tenth or so, another photograph of the same thing. `benchmarks/image_search.py`
measures it, and embeddings beside it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image as PILImage

from saccade.errors import ConfigError, require
from saccade.images.image import Image
from saccade.search.local.store.document import Picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 256
"""The longest side of what is hashed."""
THUMBNAIL, QUALITY = 384, 85
"""The longest side of a thumbnail, and the quality of its JPEG."""
MAX_PHASH, MAX_PDQ = 8, 70
"""Bits that may differ in a picture that is found."""
LEAST_CONTRAST = 4.0
"""Standard deviation of grey levels; of what is flatter the bits of a pHash are noise."""
LEAST_QUALITY = 50
"""Of 100, as PDQ measures it; the hash of what has less says nothing."""
FAR = 1.0e9


class Hashes(NamedTuple):
    """The hashes of a picture; each is empty where the picture is too flat for it."""

    phash: bytes
    pdq: bytes


def available() -> tuple[str, ...]:
    """The hashes that this installation can compute.

    Raises:
        MissingExtra: imagehash is not installed.
    """
    from importlib.util import find_spec

    require("imagehash")
    return ("phash", "pdq") if find_spec("pdqhash") else ("phash",)


def check_available(hashes: tuple[str, ...], where: str) -> None:
    """Refuse an index whose hashes cannot be computed here.

    Raises:
        ConfigError: it has PDQ hashes, and pdqhash is not installed.
        MissingExtra: imagehash is not installed.
    """
    if "pdq" in hashes and "pdq" not in available():
        raise ConfigError(
            f"{where}: its pictures are found by PDQ, and pdqhash is not installed; "
            "pip install pdqhash, or build the index here"
        )


def picture_of(image: Image, hashes: tuple[str, ...]) -> Picture:
    """What an index holds of an image.

    Raises:
        ImageError: it cannot be decoded.
    """
    pixels = image.pixels()
    small = _within(pixels, THUMBNAIL)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY)
    found = hashes_of(pixels, hashes)
    return Picture(
        digest=image.source.digest,
        phash=found.phash,
        pdq=found.pdq,
        width=image.size.width,
        height=image.size.height,
        thumbnail=buffer.getvalue(),
    )


def hashes_of(pixels: PILImage.Image, hashes: tuple[str, ...]) -> Hashes:
    """The hashes of RGB pixels."""
    import numpy as np

    small = _within(pixels, SIDE)
    levels = np.asarray(small.convert("L"), dtype=np.float32)
    phash = pdq = b""
    if float(levels.std()) >= LEAST_CONTRAST:
        import imagehash

        phash = np.packbits(imagehash.phash(small).hash).tobytes()
    if "pdq" in hashes:
        import pdqhash

        bits, quality = pdqhash.compute(np.ascontiguousarray(np.asarray(small)))
        if quality >= LEAST_QUALITY:
            pdq = np.packbits(bits.astype(bool)).tobytes()
    return Hashes(phash, pdq)


def _within(pixels: PILImage.Image, side: int) -> PILImage.Image:
    longest = max(pixels.size)
    if longest <= side:
        return pixels
    width, height = (max(1, round(length * side / longest)) for length in pixels.size)
    return pixels.resize((width, height), PILImage.Resampling.BILINEAR, reducing_gap=2.0)


class Similar(NamedTuple):
    """A picture that was found."""

    place: int
    """Its place among those that were searched."""
    closeness: float
    """1 for the same hash, 0 at the distance beyond which nothing is found."""


class HashTable:
    """The hashes of many pictures, of which those within a distance are found by trying all.

    A hundred thousand take a few milliseconds.
    """

    def __init__(self, phashes: list[bytes], pdqs: list[bytes]) -> None:
        """Pack them.

        Args:
            phashes: Of each picture 8 bytes, or none.
            pdqs: Of each picture 32 bytes, or none.
        """
        self._phash = _packed(phashes, 8)
        self._pdq = _packed(pdqs, 32)

    def nearest(self, found: Hashes, k: int) -> list[Similar]:
        """The most similar pictures, the closest one first; of equal ones, the first.

        Args:
            found: The hashes of what is searched with.
            k: How many at most.
        """
        import numpy as np

        # (N,), in units of the largest distance at which a picture is still found.
        far = np.minimum(
            self._phash.distances(found.phash) / (MAX_PHASH + 1),
            self._pdq.distances(found.pdq) / (MAX_PDQ + 1),
        )
        near = np.flatnonzero(far < 1.0)
        order = near[np.argsort(far[near], kind="stable")][:k]
        return [Similar(int(place), float(1.0 - far[place])) for place in order]


class _Packed(NamedTuple):
    words: NDArray[np.uint64]
    """(W, N): word by word, so that each is one pass over memory."""
    missing: NDArray[np.bool_]
    """(N,)"""

    def distances(self, one: bytes) -> NDArray[np.float32]:
        """(N,): bits that differ; `FAR` where either has no hash."""
        import numpy as np

        count = self.words.shape[1]
        if not one or not count or self.missing.all():
            return np.full(count, FAR, dtype=np.float32)
        total = np.zeros(count, dtype=np.uint16)
        for words, word in zip(self.words, np.frombuffer(one, dtype=np.uint64), strict=True):
            total += np.bitwise_count(words ^ word)
        distances = total.astype(np.float32)
        distances[self.missing] = FAR
        return distances


def _packed(hashes: list[bytes], size: int) -> _Packed:
    import numpy as np

    joined = b"".join(one or bytes(size) for one in hashes)
    words = np.frombuffer(joined, dtype=np.uint64).reshape(len(hashes), size // 8)
    missing = np.array([not one for one in hashes], dtype=np.bool_)
    return _Packed(np.ascontiguousarray(words.T), missing)
