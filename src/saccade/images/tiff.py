"""The first directory of a TIFF: how many numbers its tags hold, and some of the numbers.

Pillow reads the values of a tag as a whole and makes a record of each strip; this looks at the
counts alone, so that both can be refused before. Source: TIFF 6.0, section 2; BigTIFF of libtiff.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8,
           17: 8, 18: 8}  # fmt: skip
"""Type of a value -> its bytes."""
_WHOLE = {1, 3, 4, 13, 16, 18}
_OPAQUE = {1, 2, 6, 7}
"""Types that are kept as bytes or text, not as a number each."""


class NoDirectory(ValueError):
    """The bytes hold no directory of a TIFF."""


class Directory:
    """The tags of the first picture; of a tag that comes twice, the larger count and number."""

    def __init__(self, data: bytes) -> None:
        """Read the entries; what lies outside of the file is left out.

        Raises:
            NoDirectory: there is none.
        """
        self._data = data
        self._order = "<" if data[:2] == b"II" else ">"
        big = 43 in data[2:4]
        self._wide = 8 if big else 4
        head, entry = (8, 20) if big else (2, 12)
        place = self._number(8 if big else 4, self._wide)
        self.entries = self._number(place, head)
        """How many tags it says that it has."""
        if not self.entries:
            raise NoDirectory
        self.counts: dict[int, int] = {}
        """Tag -> how many numbers it holds; texts and bytes are none."""
        self._places: dict[int, list[tuple[int, int, int]]] = {}
        for start in range(
            place + head, min(place + head + self.entries * entry, len(data)), entry
        ):
            self._note(start)

    def first(self, tag: int, otherwise: int) -> int:
        """The first whole number of a tag."""
        found = [self._values(*place)[:1] for place in self._places.get(tag, [])]
        return max((int(values[0]) for values in found if len(values)), default=otherwise)

    def total(self, tag: int) -> int:
        """The sum of the whole numbers of a tag."""
        places = self._places.get(tag, [])
        return max((int(self._values(*place).sum(dtype=float)) for place in places), default=0)

    def _note(self, start: int) -> None:
        tag, kind = self._number(start, 2), self._number(start + 2, 2)
        count = self._number(start + 4, self._wide)
        if kind not in _WIDTHS:
            return
        if kind not in _OPAQUE:
            self.counts[tag] = max(self.counts.get(tag, 0), count)
        if kind in _WHOLE:
            value = start + 4 + self._wide
            inside = count * _WIDTHS[kind] <= self._wide
            place = value if inside else self._number(value, self._wide)
            self._places.setdefault(tag, []).append((place, kind, count))

    def _values(self, place: int, kind: int, count: int) -> npt.NDArray[np.uint64]:
        width = _WIDTHS[kind]
        held = self._data[place : place + width * count]
        whole = held[: len(held) // width * width]
        return np.frombuffer(whole, f"{self._order}u{width}").astype(np.uint64)

    def _number(self, place: int, width: int) -> int:
        return int.from_bytes(
            self._data[place : place + width], "little" if self._order == "<" else "big"
        )
