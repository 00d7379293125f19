"""Under which key a search is kept: which searches share a record, and which do not."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.search.found import Kind, Query

ANY_K = 0
"""Of a record that is all there is, whatever number of results is wanted."""
BY_ID = "id:"
"""How the key of an image search begins that is known by its question only."""


class Key(NamedTuple):
    """What a search is kept under, among the searches of one engine."""

    kind: Kind
    what: str
    """Normalised words, a view of a picture by the hash of its file, or the id of a question."""
    k: int


def key_of(query: Query) -> Key:
    """The key of a search that is made.

    Searches for words share a record if they differ in case, in spaces, or in characters that
    Unicode calls compatible (NFKC: full-width letters, ligatures); in nothing else. Searches with a
    picture share one if the bytes of its file, the region, the size and the colours are the same.
    """
    if query.kind == "text" or query.image is None:
        return Key(query.kind, normalised(query.text), query.k)
    return Key(query.kind, _view(query.image), query.k)


def keys_by_id(query: Query) -> Iterator[Key]:
    """The keys under which a cache of others may hold an image search, the nearest one first.

    Such a cache knows the whole picture of a question, by the id of its row. The readers of
    Saccade put the source in front of it, `search-fvqa_train_12`, so what follows a hyphen counts.
    """
    image, name = query.image, query.task_id
    if query.kind != "image" or image is None or not _is_whole(image):
        return
    while name:
        yield Key("image", BY_ID + name, ANY_K)
        name = name.partition("-")[2]


def normalised(text: str) -> str:
    """Words without what makes no difference to their key."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def _is_whole(image: Image) -> bool:
    return image.region == Box(0, 0, *image.source.size)


def _view(image: Image) -> str:
    box = ",".join(str(int(v)) for v in image.region)
    width, height = image.size
    return f"{image.source.digest}:{image.source.color.value}:{box}:{width}x{height}"
