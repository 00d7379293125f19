"""Results as a record keeps them: JSON, and the files of their pictures beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from saccade.errors import FormatError, ImageError, StoreError
from saccade.images.image import Image
from saccade.search.found import Fetches, Hit, Result, Results
from saccade.types import Record
from saccade.types.task import Many

MAX_TEXT_BYTES = 4 * 2**20
"""Bytes that the JSON of a record may have."""
MAX_PICTURE_BYTES = 16 * 2**20
"""Bytes that a picture of a result may have."""
MAX_RECORD_BYTES = 64 * 2**20
"""Bytes that the pictures of a record may have together."""

_IMAGE = TypeAdapter(Image)


class Packed(NamedTuple):
    """Results, ready to be written."""

    text: str
    """JSON: hits, the views of their pictures, fetches."""
    pictures: Mapping[str, bytes]
    """Files of pictures by their name, `<sha256>.jpg`; results may share them."""


class _Result(Record):
    hit: Hit
    picture: dict[str, JsonValue] | None = None


class _Content(Record):
    results: Many[_Result] = Field(default=(), max_length=1000)
    fetches: Fetches = Fetches()


def packed(results: Results) -> Packed:
    """Results as they are kept.

    Raises:
        StoreError: they are larger than a record may be.
        ImageError: a picture of them cannot be read.
    """
    pictures: dict[str, bytes] = {}
    kept: list[JsonValue] = []
    for hit, thumbnail in results.results:
        view = None
        if thumbnail is not None:
            data = pictures.setdefault(thumbnail.source.name, thumbnail.source.encoded())
            _check(len(data), MAX_PICTURE_BYTES, "a picture of a result")
            view = _IMAGE.dump_python(thumbnail, mode="json")
        kept.append({"hit": hit.model_dump(mode="json", exclude_defaults=True), "picture": view})
    _check(sum(map(len, pictures.values())), MAX_RECORD_BYTES, "the pictures of a search")
    fetches = results.fetches.model_dump(mode="json")
    text = json.dumps({"results": kept, "fetches": fetches}, sort_keys=True)
    _check(len(text), MAX_TEXT_BYTES, "the results of a search")
    return Packed(text, pictures)


def unpacked(text: str, find: Callable[[str], bytes], where: str) -> Results:
    """Results from what was kept; nothing of it is trusted.

    Args:
        text: The JSON.
        find: Finds the file of a picture by its name.
        where: The record in messages.

    Raises:
        FormatError: it does not hold what a record says.
    """
    try:
        content = _Content.model_validate_json(text)
        results = tuple(
            Result(r.hit, None if r.picture is None else _picture(r.picture, find))
            for r in content.results
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise FormatError(f"{where}: {place or 'JSON'}: {first['msg']}") from error
    except ImageError as error:
        raise FormatError(f"{where}: {error}") from error
    return Results(results, content.fetches)


def _picture(view: dict[str, JsonValue], find: Callable[[str], bytes]) -> Image:
    """The view that a record names, of a file whose header says what the record says."""
    named = _IMAGE.validate_python(view, context={"images": find})
    read = Image.from_bytes(find(named.source.name), name=named.source.name)
    if (read.source.name, read.source.size) != (named.source.name, named.source.size):
        raise ImageError(f"{named.source.name}: the file holds another picture")
    return Image(read.source.shown_in(named.source.color), named.region, named.size)


def _check(size: int, most: int, what: str) -> None:
    if size > most:
        raise StoreError(
            f"{what} has {size / 2**20:.1f} MiB, a recording takes at most {most // 2**20}; ask "
            "for smaller pictures, or for fewer results"
        )
