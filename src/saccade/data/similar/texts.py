"""Texts that are almost the same: the words in runs of three, compared by their Jaccard index.

Words are what is between spaces and punctuation, in any script; of scripts without spaces, each
character. Case, punctuation, and the forms that Unicode holds to be compatible do not count; the
signs of arithmetic do.

One word that is changed breaks three runs, wherever it stands: the ends of a text count as words.
At a Jaccard index of 0.9 that makes another text of all that have fewer than 55 words, so that "the
red object" and "the blue object" are never the same question, while a typing error in a long text
is seen through. What is put before a text breaks less: three words before 45 are seen through.

Source: shingles and their resemblance, Broder, "On the resemblance and containment of documents"
(1997); bands of a MinHash as in Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4.
Where we deviate: what the bands propose is compared exactly, so that chance can hide a near copy
and never make one.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RUN = 3
"""Number of words in a row that are compared together."""
MAX_CHARS = 100_000
"""Longer texts are the same only if they are equal."""
BANDS, ROWS = 16, 6
"""Of a sketch. A text at a Jaccard index of 0.9 is missed once in 100,000, at 0.8 once in 130."""
_CHUNK = 4096

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(
    rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\W_])+|[+*/^=<>%\u00d7\u00f7\u221a]"
    r"|(?<=\d)[-\u2212]|(?<=\d )[-\u2212]|(?<![^\W\d_])[-\u2212](?= ?[^\W\d_]\b)|[-\u2212](?= ?\d)"
)
"""A hyphen is a minus beside a number, or before a letter that stands alone; else it is a dash."""


class TextSketch(NamedTuple):
    """What is compared of a text."""

    digest: bytes
    """Of its words; the same for texts that differ in case and punctuation alone."""
    numbers: bytes
    """Of its words with a digit, in any order."""
    runs: NDArray[np.uint64] | None
    """(R,): a hash of each run of words, the ends of the text among them, each once, in ascending
    order; None of a long text."""
    bands: tuple[int, ...]
    """The keys under which it is found: one for each band of its MinHash."""

    @property
    def is_empty(self) -> bool:
        """Whether there is no word in it."""
        return self.digest == _EMPTY


class Near(NamedTuple):
    """A text that was found."""

    place: int
    """Its place among those that were added."""
    jaccard: float
    """Share of the runs of either text that are in both."""


def sketch_text(text: str) -> TextSketch:
    """What is compared of a text; in time and memory that grow with its length alone."""
    import numpy as np

    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    numbers = sorted(word for word in words if any(map(str.isdigit, word)))
    runs = None
    if len(text) <= MAX_CHARS:
        hashed = np.array([_hash(word) for word in words], dtype=np.uint64)
        hashed = np.pad(hashed, RUN - 1)
        runs = np.zeros(len(hashed) - RUN + 1, dtype=np.uint64)
        for place in range(RUN):  # a polynomial in an odd number, modulo 2**64
            runs = runs * np.uint64(0x9E3779B97F4A7C15) + hashed[place : place + len(runs)]
        runs = np.unique(runs)
    bands = () if runs is None else tuple(_bands(runs))
    return TextSketch(_digest(words), _digest(numbers), runs, bands)


def jaccard(one: TextSketch, other: TextSketch) -> float:
    """Share of the runs of either text that are in both; of a long text 1 or 0."""
    import numpy as np

    if one.digest == other.digest:
        return 1.0
    if one.runs is None or other.runs is None:
        return 0.0
    both = len(np.intersect1d(one.runs, other.runs, assume_unique=True))
    return both / (len(one.runs) + len(other.runs) - both)


class TextIndex:
    """Texts among which the nearest to another one is looked for.

    No more than `BANDS` texts are compared with it, however many there are. What it does not
    guarantee: a near copy may be hidden by chance, or by other texts that share most of its words;
    an equal one never is.
    """

    def __init__(self) -> None:
        self._sketches: list[TextSketch] = []
        self._equal: dict[bytes, int] = {}
        self._bands: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._sketches)

    def __getitem__(self, place: int) -> TextSketch:
        return self._sketches[place]

    def add(self, sketch: TextSketch) -> int:
        """Put a text behind the others; returns its place."""
        place = len(self._sketches)
        self._sketches.append(sketch)
        self._equal.setdefault(sketch.digest, place)
        for band in sketch.bands:
            self._bands.setdefault(band, place)
        return place

    def nearest(self, sketch: TextSketch, *, least: float) -> Near | None:
        """The first equal text, or else the nearest one.

        Args:
            sketch: Of the text that is looked for.
            least: The Jaccard index that it must have.
        """
        if (equal := self._equal.get(sketch.digest)) is not None:
            return Near(equal, 1.0)
        places = {self._bands[band] for band in sketch.bands if band in self._bands}
        near = [Near(place, jaccard(sketch, self._sketches[place])) for place in sorted(places)]
        best = max(near, key=lambda found: found.jaccard, default=None)
        return best if best is not None and best.jaccard >= least else None


def _bands(runs: NDArray[np.uint64]) -> list[int]:
    import numpy as np

    factors, added = _permutations()
    lowest = np.full(BANDS * ROWS, np.iinfo(np.uint64).max, dtype=np.uint64)
    for start in range(0, len(runs), _CHUNK):
        mixed = runs[start : start + _CHUNK, None] * factors + added
        lowest = np.minimum(lowest, (mixed >> np.uint64(32)).min(axis=0))
    bands = lowest.reshape(BANDS, ROWS)
    keys = np.arange(BANDS, dtype=np.uint64)
    for row in range(ROWS):
        keys = keys * np.uint64(0xD6E8FEB86659FD93) + bands[:, row]
    return keys.tolist()


@lru_cache(maxsize=1)
def _permutations() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    import numpy as np

    drawn = np.random.default_rng(0).integers(0, 2**64, (2, BANDS * ROWS), dtype=np.uint64)
    return drawn[0] | np.uint64(1), drawn[1]


@lru_cache(maxsize=65_536)
def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest())


def _digest(words: list[str]) -> bytes:
    joined = "\0".join(words).encode("utf-8", "replace")
    return hashlib.blake2b(joined, digest_size=16).digest()


_EMPTY = _digest([])
