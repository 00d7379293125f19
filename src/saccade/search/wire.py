"""What travels between a search server and its clients, and how either reads it without trust.

    query     {"kind", "text", "image" (a PNG or JPEG in base64), "task_id", "k"}
    results   {"digest", "results": [{"title", ..., "thumbnail"}], "fetches": {...}}
    document  {"digest", "document": {"id", "title", "url", "text"} or null, "cut"}

Texts, pictures and their number are bounded on both sides; what is longer is cut, and a value of
another type is taken for none at all. A picture is looked at by its header, and decoded by whoever
shows it.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping

from pydantic import Field, JsonValue

from saccade.errors import ImageError
from saccade.images.geometry import PixelBudget
from saccade.images.image import Image
from saccade.search.found import Fetches, Hit, Kind, Query, Result, Results
from saccade.search.local.store.document import Document
from saccade.types import Record
from saccade.untrusted.values import count, table, tables, word

MAX_K = 50
MAX_TEXT, MAX_NAME = 2000, 4000
"""Number of characters of a query, and of what names a document or a question."""
MAX_QUERY_PIXELS = 64_000_000
MAX_QUERY_BYTES = 48 << 20
"""Size of a query, its image in base64 included."""
MAX_HIT = {"title": 2000, "url": 4000, "snippet": 50_000, "date": 200, "document": MAX_NAME}
"""Number of characters of each text of a hit."""
MAX_DOCUMENT = 4_000_000
"""Number of characters of a document."""
THUMBNAIL_PIXELS = 512 * 512
"""Number of pixels of the picture of a result; a larger one is shrunk."""
MAX_THUMBNAIL_BYTES, MAX_THUMBNAIL_PIXELS = 4 << 20, 4_000_000
"""What a client takes of one."""
KINDS: tuple[Kind, ...] = ("text", "image")


class Untrue(ValueError):
    """An answer that is none of a search server."""


class AskedQuery(Record):
    """A query as it travels."""

    kind: Kind
    text: str = Field(default="", max_length=MAX_TEXT)
    image: str | None = None
    task_id: str = Field(default="", max_length=MAX_NAME)
    k: int = Field(default=5, ge=1, le=MAX_K)


class AskedDocument(Record):
    """Which document is wanted."""

    name: str = Field(max_length=MAX_NAME)


def query_to_json(query: Query) -> dict[str, JsonValue]:
    """A query as it travels. Its image is a file of what is shown of it: of a large crop a JPEG."""
    image = None
    if query.image is not None:
        image = base64.b64encode(query.image.encoded("auto").data).decode()
    return {
        "kind": query.kind,
        "text": query.text[:MAX_TEXT],
        "image": image,
        "task_id": query.task_id[:MAX_NAME],
        "k": min(query.k, MAX_K),
    }


def query_of(asked: AskedQuery) -> Query:
    """The query that a client sent.

    Raises:
        ImageError: its image is none, or too large.
        ValueError: it has none, or no words.
    """
    image = None
    if asked.kind == "image":
        if asked.image is None:
            raise ValueError("an image search needs an image")
        image = picture_of(asked.image, "the image", MAX_QUERY_PIXELS, MAX_QUERY_BYTES)
        image.pixels()
    elif not asked.text.strip():
        raise ValueError("a text search needs words")
    return Query(asked.kind, asked.text, image, asked.task_id, asked.k)


def results_to_json(results: Results) -> dict[str, JsonValue]:
    """Results as they travel."""
    hits: list[JsonValue] = []
    for hit, thumbnail in results.results[:MAX_K]:
        texts: dict[str, JsonValue] = {
            name: getattr(hit, name)[:most] for name, most in MAX_HIT.items()
        }
        known = hit.score is not None and math.isfinite(hit.score)
        picture = None if thumbnail is None else _thumbnail(thumbnail)
        hits.append({**texts, "score": hit.score if known else None, "thumbnail": picture})
    return {"results": hits, "fetches": results.fetches.model_dump()}


def results_of(answer: Mapping[str, JsonValue], k: int, hide: Callable[[str], str]) -> Results:
    """The results that a server sent, at most `k`.

    Args:
        answer: Its JSON.
        k: Number of results that were asked for.
        hide: Takes out of a text what no server should send back.

    Raises:
        Untrue: it is no answer of a search server.
    """
    listed = answer.get("results")
    if not isinstance(listed, list) or len(listed) > MAX_K or len(tables(listed)) < len(listed):
        raise Untrue("no list of results")
    found = [_result(table(each), rank, hide) for rank, each in enumerate(listed[:k], start=1)]
    said = table(answer.get("fetches"))
    names = ("succeeded", "failed", "cut")
    return Results(tuple(found), Fetches(**{name: count(said.get(name)) or 0 for name in names}))


def document_to_json(document: Document | None) -> dict[str, JsonValue]:
    """A document as it travels."""
    if document is None:
        return {"document": None, "cut": False}
    cut = len(document.text) > MAX_DOCUMENT
    whole = document._replace(text=document.text[:MAX_DOCUMENT])
    return {"document": {**whole._asdict()}, "cut": cut}


def document_of(answer: Mapping[str, JsonValue], hide: Callable[[str], str]) -> Document | None:
    """The document that a server sent.

    Raises:
        Untrue: it is no answer of a search server.
    """
    said = answer.get("document", "missing")
    if said is None:
        return None
    fields = table(said)
    if not fields or not all(isinstance(fields.get(name), str) for name in Document._fields):
        raise Untrue("no document")
    most = {**MAX_HIT, "id": MAX_NAME, "text": MAX_DOCUMENT}
    return Document(**{n: hide(word(fields[n])[: most[n]]) for n in Document._fields})


def picture_of(text: str, name: str, max_pixels: int, max_bytes: int) -> Image:
    """A picture that travelled in base64.

    Raises:
        ImageError: it is no PNG and no JPEG, or too large.
    """
    if len(text) * 3 // 4 > max_bytes:
        raise ImageError(f"{name}: more than {max_bytes} bytes")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"{name}: no base64") from error
    image = Image.from_bytes(data, name=name, max_pixels=max_pixels)
    if image.source.extension not in ("png", "jpg"):
        raise ImageError(f"{name}: neither PNG nor JPEG")
    return image


def _thumbnail(picture: Image) -> JsonValue:
    """A small picture; None for one that cannot be decoded."""
    try:
        if picture.size.area > THUMBNAIL_PIXELS:
            picture = picture.fit(PixelBudget(factor=1, min_pixels=1, max_pixels=THUMBNAIL_PIXELS))
        return base64.b64encode(picture.encoded("auto").data).decode()
    except ImageError:
        return None


def _result(fields: Mapping[str, JsonValue], rank: int, hide: Callable[[str], str]) -> Result:
    texts = {name: hide(word(fields.get(name))[:most]) for name, most in MAX_HIT.items()}
    score, packed = fields.get("score"), fields.get("thumbnail")
    known = isinstance(score, int | float) and not isinstance(score, bool)
    number = float(score) if known and abs(score) < 1e300 else None  # type: ignore[arg-type]
    picture = None
    if isinstance(packed, str):
        try:
            picture = picture_of(
                packed, f"picture {rank}", MAX_THUMBNAIL_PIXELS, MAX_THUMBNAIL_BYTES
            )
        except ImageError as error:
            raise Untrue(str(error)) from error
    hit = Hit(rank=rank, score=number, thumbnail=picture is not None, **texts)
    return Result(hit, picture)
