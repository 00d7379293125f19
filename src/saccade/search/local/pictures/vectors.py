"""Embeddings of pictures, which a user brings along: the nearest ones by cosine.

A build is given a file `NAME.npy` (float32, (N, D), a row for each picture) and beside it
`NAME.ids` (N lines: the id of the picture of each row). For queries a run file names what embeds
an image in the same way, `"package.module:Name"`:

    class Name:
        def __call__(self, images):          # a list of PIL images (RGB)
            return vectors                   # (len(images), D) float32
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from PIL import Image as PILImage

from saccade.errors import FormatError, PluginError
from saccade.files import (
    make_folder,
    open_file,
    read_text_lines,
    read_whole,
    write_parts,
    write_whole,
)
from saccade.plugins import guarded
from saccade.search.local.store.state import VECTORS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ID_BYTES = 4096
MAX_IDS_BYTES = 2**30
MAX_WIDTH = 65_536
ROWS = 4096
"""Number of rows that are read at a time."""


class Embedder(Protocol):
    """What turns images into vectors; those of similar images have a high cosine."""

    def __call__(self, images: Sequence[PILImage.Image]) -> NDArray[np.float32]:
        """(N, D) float32 for N images in RGB."""
        ...


class Near(NamedTuple):
    """A picture that was found."""

    id: str
    cosine: float


class Vectors:
    """Embeddings of an index, mapped into memory."""

    def __init__(self, folder: Path, name: str) -> None:
        """Map them.

        Args:
            folder: Of the index.
            name: Of the embeddings, `State.vectors`.

        Raises:
            FormatError: they are missing or damaged.
        """
        self.ids = _kept_ids(folder / VECTORS / f"{name}.json")
        self.rows = _mapped(folder / VECTORS / f"{name}.npy")
        if len(self.ids) != len(self.rows):
            raise FormatError(
                f"{folder / VECTORS}: {len(self.rows)} embeddings and {len(self.ids)} ids; remove "
                "the folder of the index and build it again"
            )

    def nearest(self, vector: NDArray[np.float32], k: int) -> list[Near]:
        """The most similar pictures, the closest one first.

        Args:
            vector: (D,) of what is searched with.
            k: How many at most.
        """
        import numpy as np

        cosines = self.rows @ (vector / np.linalg.norm(vector))  # (N,)
        k = min(k, len(cosines))
        best = np.argpartition(-cosines, k - 1)[:k] if k else np.empty(0, dtype=np.int64)
        best = best[np.lexsort((best, -cosines[best]))]
        return [Near(self.ids[int(place)], float(cosines[place])) for place in best]


def embedded(
    embedder: Embedder, image: PILImage.Image, width: int, where: str
) -> NDArray[np.float32]:
    """The vector of one image, by the embedder of a user.

    Raises:
        PluginError: it fails, or returns something else than a finite vector of this width.
    """
    import numpy as np

    with guarded(where):
        made = np.asarray(embedder([image]), dtype=np.float32)
    if made.shape != (1, width) or not np.isfinite(made).all() or not made.any():
        raise PluginError(
            f"{where}: expected (1, {width}) finite numbers that are not all zero, as the index "
            f"has them, got {made.shape}"
        )
    vector: NDArray[np.float32] = made[0]
    return vector


def keep_vectors(file: Path, folder: Path) -> str:
    """Copy embeddings into an index, with length 1; they count from the next commit on.

    Args:
        file: `NAME.npy`, with `NAME.ids` beside it.
        folder: Of the index.

    Returns:
        What they are called from here on, `State.vectors`.

    Raises:
        FormatError: a file is no such one.
        StoreError: the disk takes no more.
    """
    ids = _given_ids(file.with_suffix(".ids"))
    rows = _mapped(file)
    if len(ids) != len(rows):
        raise FormatError(
            f"{file}: {len(rows)} rows, and {file.stem}.ids has {len(ids)} ids; one a line, in the "
            "same order"
        )
    listed = json.dumps(ids).encode()
    hashed = hashlib.sha256(listed)
    for part in _normalised(rows, file):
        hashed.update(part)
    name = hashed.hexdigest()
    make_folder(folder / VECTORS)
    kept = folder / VECTORS / f"{name}.npy"
    write_whole(folder / VECTORS / f"{name}.json", listed)
    if not kept.exists():
        _write(kept, rows, file)
    return name


def remove_other_vectors(folder: Path, name: str) -> None:
    """Remove the embeddings that an index no longer has; a reader keeps what it has mapped."""
    if (folder / VECTORS).is_dir():
        for path in (folder / VECTORS).iterdir():
            if path.name.partition(".")[0] != name:
                path.unlink()


def _write(kept: Path, rows: NDArray[np.float32], file: Path) -> None:
    import numpy as np

    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f4", "fortran_order": False, "shape": rows.shape}
    )
    write_parts(kept, (head.getvalue(), *_normalised(rows, file)))


def _normalised(rows: NDArray[np.float32], file: Path) -> Iterator[bytes]:
    import numpy as np

    for start in range(0, len(rows), ROWS):
        part = np.asarray(rows[start : start + ROWS], dtype=np.float32)
        lengths = np.linalg.norm(part, axis=1, keepdims=True)
        wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
        if len(wrong):
            raise FormatError(
                f"{file}: row {start + int(wrong[0])}: expected finite numbers that are not all "
                "zero"
            )
        yield (part / lengths).astype("<f4").tobytes()


def _given_ids(file: Path) -> list[str]:
    ids: list[str] = []
    lines: dict[str, int] = {}
    for number, line in read_text_lines(file, most=MAX_ID_BYTES):
        name = line.rstrip("\r\n")
        if name in lines:
            raise FormatError(
                f"{file}:{number}: the id {name[:80]!r} is that of line {lines[name]} already"
            )
        lines[name] = number
        ids.append(name)
    return ids


def _kept_ids(file: Path) -> list[str]:
    try:
        ids = json.loads(read_whole(file, most=MAX_IDS_BYTES))
    except (OSError, ValueError) as error:
        raise FormatError(
            f"{file}: cannot be read ({error}); remove the folder of the index and build it again"
        ) from error
    return [str(name) for name in ids]


def _mapped(path: Path) -> NDArray[np.float32]:
    """(N, D) float32, of which nothing is read yet."""
    import numpy as np

    try:
        file = open_file(path)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error
    with file:
        shape, offset = _head(file, path)
        if not shape[0]:
            return np.empty(shape, dtype=np.float32)
        return np.memmap(file, dtype="<f4", mode="r", offset=offset, shape=shape)


def _head(file: BinaryIO, path: Path) -> tuple[tuple[int, int], int]:
    """Shape and place of the numbers of an `.npy` file.

    Raises:
        FormatError: it is none, or of other numbers, or shorter than it says.
    """
    import numpy as np

    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"version {version}")
        shape, by_columns, kind = np.lib.format.read_array_header_1_0(file)
    except ValueError as error:
        raise FormatError(f"{path}: expected a file of numpy.save ({error})") from error
    if kind != np.dtype("<f4") or len(shape) != 2 or by_columns or not 0 < shape[1] <= MAX_WIDTH:
        raise FormatError(
            f"{path}: expected float32 of shape (N, D) by rows, got {kind} of shape {shape}; "
            "numpy.save(FILE, numpy.ascontiguousarray(vectors, dtype=numpy.float32))"
        )
    offset, size = file.tell(), os.fstat(file.fileno()).st_size
    if size - offset != shape[0] * shape[1] * 4:
        raise FormatError(f"{path}: {size} bytes, which is not what its head says; copy it again")
    return (int(shape[0]), int(shape[1])), offset
