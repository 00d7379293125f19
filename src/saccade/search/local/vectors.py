"""Vectors of passages on disk, and the nearest ones by cosine.

The numbers lie in parts, `NUMBER.f32` (float32, little-endian, row by row), the places of the rows
in `NUMBER.json` (null where a passage was removed), and `vectors.json` names what counts. It is
replaced as a whole at a commit, so that a crash loses what was added since, and nothing else. All
vectors are compared with the query: 100,000 of 384 numbers take some ten milliseconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from pydantic import Field, ValidationError

from saccade.errors import ConfigError, FormatError
from saccade.files import make_folder, open_file, read_whole, write_parts, write_whole
from saccade.types import Record
from saccade.types.task import Many

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAMES = "vectors.json"
MAX_NAMES_BYTES = 2**20
MAX_PLACES_BYTES = 2**30
MOST_PARTS = 8
"""Number of parts that are searched one by one; with another one they are written as one."""
TRIES = 100


class Place(NamedTuple):
    """Where a passage is."""

    document: str
    number: int


class Near(NamedTuple):
    """A passage that was found."""

    place: Place
    cosine: float


class _Part(Record):
    """Vectors that were added together."""

    number: int = Field(ge=0)
    """Names `NUMBER.f32`."""
    places: int = Field(ge=0)
    """Names `NUMBER.json`."""
    rows: int = Field(ge=0)


class _Names(Record):
    """The content of `vectors.json`."""

    embedder: str
    width: int = Field(default=0, ge=0)
    next: int = Field(default=0, ge=0)
    """The first number that names no file yet."""
    parts: Many[_Part] = ()


class _Rows(NamedTuple):
    """A part in memory, the numbers mapped."""

    part: _Part
    places: list[Place | None]
    vectors: NDArray[np.float32]
    """(N, D)"""


class VectorIndex:
    """Vectors of passages. One writer; any number of readers and threads that search."""

    def __init__(self, folder: Path, embedder: str) -> None:
        """Open an index, or make an empty one.

        Args:
            folder: Where it lies.
            embedder: What the vectors are made by; those of two embedders are not comparable.

        Raises:
            ConfigError: the vectors that lie there were made by another embedder.
            FormatError: what lies there is damaged.
        """
        self._folder = folder
        make_folder(folder)
        self._names, self._rows = self._opened(embedder)
        if self._names.embedder != embedder:
            raise ConfigError(
                f"{folder}: its vectors were made by {self._names.embedder}, and this is "
                f"{embedder}; name that one, or build the index anew"
            )
        self._added: list[tuple[list[Place], NDArray[np.float32]]] = []
        self._removed: set[str] = set()

    def __len__(self) -> int:
        return sum(place is not None for rows in self._rows for place in rows.places)

    def documents(self) -> set[str]:
        """The documents that have vectors, as of the last commit."""
        found = (place for rows in self._rows for place in rows.places)
        return {place.document for place in found if place is not None}

    def add(self, places: Sequence[Place], vectors: NDArray[np.float32]) -> None:
        """Add vectors; they are found after `commit`.

        Args:
            places: N places.
            vectors: (N, D) of length 1, in the same order.

        Raises:
            ValueError: there are not as many, or they have another width than those before.
        """
        import numpy as np

        made = np.ascontiguousarray(vectors, dtype="<f4")
        width = self._names.width or (self._added[0][1].shape[1] if self._added else 0)
        if made.ndim != 2 or len(made) != len(places) or width not in (0, made.shape[1]):
            raise ValueError(f"expected ({len(places)}, {width or 'D'}) numbers, got {made.shape}")
        if len(made):
            self._added.append((list(places), made))

    def remove(self, document: str) -> None:
        """Take all vectors of a document out, at the next `commit`."""
        self._removed.add(document)
        for number, (places, vectors) in enumerate(self._added):
            kept = [row for row, place in enumerate(places) if place.document != document]
            if len(kept) < len(places):
                self._added[number] = ([places[row] for row in kept], vectors[kept])

    def commit(self) -> None:
        """Make what was added and removed durable and searchable, all of it or nothing.

        Raises:
            StoreError: the disk takes no more; what was there before still is.
        """
        kept = [rows for rows in map(self._without_removed, self._rows) if any(rows.places)]
        added = [(places, vectors) for places, vectors in self._added if places]
        together: list[tuple[Sequence[Place | None], NDArray[np.float32]]] = list(added)
        if len(kept) + bool(added) > MOST_PARTS:
            # The one that has most of them stays, so that growing copies each vector a few times.
            half = sum(rows.part.rows for rows in kept) / 2
            small = [rows for rows in kept if rows.part.rows <= half or None in rows.places]
            together = [(rows.places, rows.vectors) for rows in small] + together
            kept = [rows for rows in kept if rows.part not in [other.part for other in small]]
        parts = [rows.part for rows in kept]
        if together:
            parts.append(self._written(together))
        width = together[0][1].shape[1] if together else self._names.width
        names = self._names.model_copy(update={"parts": tuple(parts), "width": width})
        write_whole(self._folder / NAMES, names.model_dump_json().encode())
        self._added, self._removed = [], set()
        self._names, self._rows = self._opened(names.embedder)
        self._remove_others()

    def close(self) -> None:
        """Let the numbers go; what was not committed is lost."""
        self._rows, self._added, self._removed = [], [], set()

    def search(self, vector: NDArray[np.float32], k: int) -> list[Near]:
        """The passages whose vectors are most similar, the closest one first.

        Args:
            vector: (D,) of length 1.
            k: Number of passages that are wanted at most.
        """
        import numpy as np

        found: list[Near] = []
        for _, places, vectors in self._rows:
            cosines = vectors @ np.asarray(vector, dtype=np.float32)  # (N,)
            wanted = min(k + sum(place is None for place in places), len(cosines))
            best = np.argpartition(-cosines, wanted - 1)[:wanted]
            near = ((places[int(row)], float(cosines[row])) for row in best)
            found += [Near(place, cosine) for place, cosine in near if place is not None]
        found.sort(key=lambda each: (-each.cosine, each.place))
        return found[:k]

    def _without_removed(self, rows: _Rows) -> _Rows:
        places = [
            None if place is None or place.document in self._removed else place
            for place in rows.places
        ]
        if places == rows.places:
            return rows
        number = self._new()
        self._write_places(number, places)
        return _Rows(rows.part.model_copy(update={"places": number}), places, rows.vectors)

    def _written(
        self, together: Sequence[tuple[Sequence[Place | None], NDArray[np.float32]]]
    ) -> _Part:
        number = self._new()
        places = [place for listed, _ in together for place in listed if place is not None]
        write_parts(self._folder / f"{number}.f32", _bytes_of(together))
        self._write_places(number, places)
        return _Part(number=number, places=number, rows=len(places))

    def _write_places(self, number: int, places: Sequence[Place | None]) -> None:
        write_whole(self._folder / f"{number}.json", json.dumps(places).encode())

    def _new(self) -> int:
        self._names = self._names.model_copy(update={"next": self._names.next + 1})
        return self._names.next - 1

    def _opened(self, embedder: str) -> tuple[_Names, list[_Rows]]:
        """What counts now. A commit of another process may remove what is being opened."""
        for attempt in range(TRIES):
            names = self._read_names(embedder)
            try:
                return names, [self._read(part, names.width) for part in names.parts]
            except FormatError:
                if attempt == TRIES - 1 or self._read_names(embedder) == names:
                    raise
        raise AssertionError("unreachable")

    def _read_names(self, embedder: str) -> _Names:
        file = self._folder / NAMES
        if not file.exists():
            return _Names(embedder=embedder)
        try:
            return _Names.model_validate_json(read_whole(file, most=MAX_NAMES_BYTES))
        except (OSError, ValidationError) as error:
            raise self._damaged(file, str(error)) from error

    def _read(self, part: _Part, width: int) -> _Rows:
        import numpy as np

        numbers, listed = self._folder / f"{part.number}.f32", self._folder / f"{part.places}.json"
        try:
            rows = json.loads(read_whole(listed, most=MAX_PLACES_BYTES))
            places = [None if row is None else Place(str(row[0]), int(row[1])) for row in rows]
            with open_file(numbers) as file:
                size = os.fstat(file.fileno()).st_size
                if not size or size != 4 * width * part.rows or len(places) != part.rows:
                    raise ValueError(f"{size} bytes and {len(places)} places of {part.rows} rows")
                vectors = np.memmap(file, dtype="<f4", mode="r", shape=(part.rows, width))
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise self._damaged(numbers, str(error)) from error
        return _Rows(part, places, cast("NDArray[np.float32]", vectors))

    def _damaged(self, file: Path, reason: str) -> FormatError:
        return FormatError(f"{file}: damaged ({reason}); remove {self._folder} and build it again")

    def _remove_others(self) -> None:
        """Remove what no longer counts; a reader keeps what it has mapped."""
        named = {f"{part.number}.f32" for part in self._names.parts} | {NAMES}
        named |= {f"{part.places}.json" for part in self._names.parts}
        for path in self._folder.iterdir():
            if path.name not in named:
                path.unlink()


def _bytes_of(
    together: Sequence[tuple[Sequence[Place | None], NDArray[np.float32]]],
) -> Iterator[bytes]:
    for places, vectors in together:
        for start in range(0, len(places), 4096):
            rows = [
                row
                for row in range(start, min(start + 4096, len(places)))
                if places[row] is not None
            ]
            yield vectors[rows].tobytes()
