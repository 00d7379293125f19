"""When two texts are the same: case, outer punctuation, spaces and the form of a number aside."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal, InvalidOperation

MAX_CHARS = 20_000
"""Longer texts are not normalised."""
_QUOTES = " \"'`*\u201c\u201d\u2018\u2019"
_EDGES = _QUOTES + ".,;:!?"
_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d{0,40})(\.\d{1,40})?")


def same_text(gold: str, answer: str) -> bool:
    """Equal after Unicode compatibility normalisation, case folding, and trimming of the edges.

    Numbers are compared by value: "10" is "10.0" and "1,000" is "1000". Articles, units and word
    order matter. A text of more than `MAX_CHARS` is only the same as itself: to normalise marks
    that are drawn over a letter takes the square of their number.
    """
    if max(len(gold), len(answer)) > MAX_CHARS:
        return bool(answer) and gold == answer
    a, b = normalised(gold), normalised(answer)
    if a == b:
        return bool(a)
    x, y = number(a), number(b)
    return x is not None and x == y


def normalised(text: str) -> str:
    """The form in which texts are compared."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    # A point at the start may belong to a number: .5
    return " ".join(folded.split()).rstrip(_EDGES).lstrip(_QUOTES)


def number(text: str) -> Decimal | None:
    """The value of a number in digits, with commas between thousands or without; else None."""
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None
