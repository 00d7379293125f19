"""What is asked of a search provider, and what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue, ValidationError

from saccade.images.image import Image
from saccade.types import Record
from saccade.types.task import Many

Kind = Literal["text", "image"]
"""What is searched with: words, or an image."""

KEY = "search"
"""Where a `ToolResult` keeps what a search found: `result.data["search"]`."""


class Query(NamedTuple):
    """One search."""

    kind: Kind
    text: str = ""
    """Of a text search: the words, in the model's spelling."""
    image: Image | None = None
    """Of an image search: what is searched with, as a region of its source."""
    task_id: str = ""
    """The question that it is asked for; caches of image searches are keyed by it. Empty where an
    image is searched with that is not the first one of the question."""
    k: int = 5
    """Number of results that are wanted."""


class Hit(Record):
    """A result, as data: what was shown of it, and where it comes from."""

    rank: int = Field(ge=1)
    """Its place among the results, counted from 1."""
    title: str = ""
    url: str = ""
    snippet: str = ""
    """The part of it that fits the query, or its description."""
    date: str = ""
    """When it was published, in the provider's own words."""
    score: float | None = None
    """The provider's own measure; comparable within one search only."""
    document: str = ""
    """What the provider calls it: the id of a document of an index."""
    thumbnail: bool = False
    """Whether a picture of it was shown; the pictures stand in the order of the hits."""


class Fetches(Record):
    """What became of what was fetched: pages, and pictures of results."""

    succeeded: int = Field(default=0, ge=0)
    failed: int = Field(default=0, ge=0)
    """Number of those that could not be fetched."""
    cut: int = Field(default=0, ge=0)
    """Number of those of which the model was shown the beginning only."""


class Result(NamedTuple):
    """A hit as a provider returns it."""

    hit: Hit
    thumbnail: Image | None = None


class Results(NamedTuple):
    """What a provider found; empty where there is nothing, which is no failure."""

    results: tuple[Result, ...] = ()
    fetches: Fetches = Fetches()


class Found(Record):
    """What a tool keeps of a search, as data: `ToolResult.data["search"]`."""

    kind: Literal["text", "image", "page"]
    """`page`: a page that was opened, which is its only hit."""
    provider: str
    query: str = ""
    """The words; of an image search empty."""
    hits: Many[Hit] = ()
    """In the order in which they were shown."""
    fetches: Fetches = Fetches()
    repeated: bool = False
    """Whether the episode had asked this before: nothing was searched, and nothing shown."""


def found_in(data: Mapping[str, JsonValue]) -> Found | None:
    """What a result keeps of a search; None if it was none, or another tool keeps something there.

    Args:
        data: `ToolResult.data`.
    """
    if KEY not in data:
        return None
    try:
        return Found.model_validate(data[KEY])
    except ValidationError:
        return None
