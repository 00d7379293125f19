"""JSON from a server, read without trust: a value of another kind counts as one that is absent."""

from __future__ import annotations

import re

from pydantic import JsonValue
from pydantic_core import from_json

MAX_COUNT = 10**9
"""Larger counts are taken for nonsense."""

_HALF = re.compile(
    r"\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f][0-9a-f]{2})|(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f][0-9a-f]{2}",
    re.IGNORECASE,
)
"""Half of a character, escaped: a text was cut within an emoji. No text can hold it."""


def parsed(content: bytes | str) -> JsonValue:
    """The JSON value of a text; broken characters are replaced, a byte order mark left out.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    text = content.decode("utf-8-sig", "replace") if isinstance(content, bytes) else content
    try:
        value: JsonValue = from_json(text)
    except ValueError:
        whole = _HALF.sub(r"\\ufffd", text)
        if whole == text:
            raise
        value = from_json(whole)
    return value


def table(value: JsonValue) -> dict[str, JsonValue]:
    """The object; empty where it is none."""
    return value if isinstance(value, dict) else {}


def items(value: JsonValue) -> list[JsonValue]:
    """The elements of a list, the value itself as the only one, or none for null."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def tables(value: JsonValue) -> list[dict[str, JsonValue]]:
    """The objects in a list, or the one object; whatever else there is, is left out."""
    return [item for item in items(value) if isinstance(item, dict)]


def word(value: JsonValue) -> str:
    """A text or a number as text; empty for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value)


def count(*values: JsonValue) -> int | None:
    """The first of the values that is a number of things, in [0, MAX_COUNT]."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if 0 <= value <= MAX_COUNT:  # neither of which is true of a NaN
            return int(value)
    return None


def texts(value: JsonValue, *keys: str) -> str:
    """All text in a value, joined: a text, a list of parts, or the given keys of an object."""
    found: list[str] = []
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, str):
            found.append(inner)
        elif isinstance(inner, list):
            waiting += reversed(inner)
        elif isinstance(inner, dict):
            waiting += reversed([inner[key] for key in keys if key in inner])
    return "".join(found)
