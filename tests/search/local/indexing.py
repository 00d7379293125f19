"""Rows for an index, and what it finds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from saccade.search.local.index import Index

ROWS: list[dict[str, str]] = [
    {"id": "a", "title": "Lighthouse of Bremen", "text": "It was built in 1884. It is red.",
     "url": "https://example.org/a"},
    {"id": "b", "title": "Harbour", "text": "Ships go there. The lighthouse is near."},
    {"id": "c", "title": "Whale", "text": "A whale is a mammal."},
]  # fmt: skip


def written(file: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Rows as JSONL."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def numbered(count: int, *, changed: Sequence[int] = ()) -> list[dict[str, str]]:
    """Documents about numbers; a changed one is about a whale as well."""
    return [
        {"id": str(n), "title": f"Number {n}",
         "text": f"The number {n} has {n % 5} things." + " A whale." * (n in changed)}
        for n in range(count)
    ]  # fmt: skip


def found(folder: Path, query: str, k: int = 5) -> list[tuple[str, float]]:
    """Documents and scores."""
    with Index.open(folder) as index:
        return [(r.hit.document, round(r.hit.score or 0, 5)) for r in index.text(query, k)]


def picture(number: int) -> PILImage.Image:
    """One of many pictures that are unlike each other, with grey levels of every size."""
    rng = np.random.default_rng(number)
    rough = PILImage.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    fine = PILImage.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8))
    big = (480, 360)
    return PILImage.blend(rough.resize(big, PILImage.Resampling.BICUBIC), fine.resize(big), 0.1)


class Mean:
    """The mean colour, as a user's embedder."""

    def __call__(self, images: Sequence[PILImage.Image]) -> NDArray[np.float32]:
        rows = [np.asarray(image, dtype=np.float32).mean((0, 1)) - 128 for image in images]
        return np.array(rows, dtype=np.float32)


class Wrong(Mean):
    """Returns vectors of another width."""

    def __call__(self, images: Sequence[PILImage.Image]) -> NDArray[np.float32]:
        return np.zeros((len(images), 2), dtype=np.float32)
