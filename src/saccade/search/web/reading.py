"""Results read without trust: what is of another kind than it should be counts as absent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import JsonValue

from saccade.client.failures import Retry
from saccade.errors import ServiceError
from saccade.search.found import Hit, Result, Results
from saccade.untrusted.values import table, tables, word

MAX_TEXT = 20_000
"""Number of characters of a field that are kept."""


class Names(NamedTuple):
    """What a service calls the fields of a result; empty where it has none."""

    title: str = "title"
    url: str = "url"
    snippet: str = ""
    dates: tuple[str, ...] = ()
    """The first one that says something is taken."""
    score: str = ""
    picture: str = ""
    """Address of a picture of it."""


class Entry(NamedTuple):
    """A result as a service lists it."""

    hit: Hit
    picture: str = ""
    """Address of a picture of it; empty where there is none."""


def listed(body: JsonValue, *path: str, where: str) -> list[JsonValue]:
    """The list of results in a reply.

    Raises:
        Retry: there is none: the reply is not what the service publishes.
    """
    value = body
    for name in path:
        value = table(value).get(name)
    if not isinstance(value, list):
        raise Retry(ServiceError(f"{where}: a reply without a list {'.'.join(path)!r}"))
    return value


def entries(found: Sequence[JsonValue], names: Names, k: int) -> list[Entry]:
    """The first `k` results; one that says nothing and leads nowhere is none."""
    read: list[Entry] = []
    for row in tables(list(found)):
        title, url = _text(row.get(names.title)), _text(row.get(names.url))
        snippet = _text(row.get(names.snippet))
        if not (title or url or snippet) or len(read) == k:
            continue
        hit = Hit(
            rank=len(read) + 1,
            title=title,
            url=url,
            snippet=snippet,
            date=next(filter(None, (_text(row.get(name)) for name in names.dates)), ""),
            score=_number(row.get(names.score)),
        )
        read.append(Entry(hit, _text(row.get(names.picture))))
    return read


def results(read: Sequence[Entry]) -> Results:
    """Results without pictures."""
    return Results(tuple(Result(entry.hit) for entry in read))


def _text(value: JsonValue) -> str:
    return word(value)[:MAX_TEXT].strip()


def _number(value: JsonValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
