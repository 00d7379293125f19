"""What a free reply says: a digit, a colour, a number, a box. What says two things says nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from saccade.canary.drawing import COLOURS
from saccade.dialects.native import Native

MAX_CHARS = 4000
"""More of a reply is not read."""

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_FIGURES = re.compile(r"(?<![A-Za-z0-9_.])\d{1,9}(?![A-Za-z0-9_]|\.\d)")
_DECIMAL = r"-?\d{1,7}(?:\.\d{1,20})?(?:[eE][-+]?\d{1,2})?"
_PAIR = rf"{_DECIMAL}\s*,\s*{_DECIMAL}"
_LIST = re.compile(rf"[\[(<]\s*({_PAIR}\s*,\s*{_PAIR})\s*[\])>]")
_POINT = re.compile(rf"[\[(]\s*({_PAIR})\s*[\])]")
_ANY = re.compile(rf"(?<![\w.]){_DECIMAL}(?![\w])")
_AROUND = re.compile(r"[\"'`*]|(?<=\d)\s*(?:px|pixels)\b")
"""What some models write around numbers: quotes, bold, a unit."""


def answer_of(text: str) -> str:
    """A reply without its thought and without the tags of an answer, its figures in ASCII."""
    answer = (Native().parse(text).answer or "")[:MAX_CHARS]
    plain = unicodedata.normalize("NFKC", answer)
    return "".join(str(unicodedata.decimal(char, char)) for char in plain)


def digit_in(answer: str) -> str | None:
    """The digit that an answer names; None where it names none or two.

    Words count where there is no figure: "there is only one digit, 7" names 7.
    """
    figures = _FIGURES.findall(answer)
    return _only(figures or [str(_WORDS.index(word)) for word in _words_in(answer, _WORDS)])


def number_in(answer: str) -> str | None:
    """The digits that an answer gives, spaces between them left out."""
    close = re.sub(r"(?<=\d)[\s,]+(?=\d)", "", answer)
    return _only(_FIGURES.findall(close))


def colour_in(answer: str) -> str | None:
    """The colour that an answer names; None where it names none or two."""
    return _only(_words_in(answer, tuple(COLOURS)))


def box_in(answer: str) -> tuple[float, float, float, float] | None:
    """The first four numbers that are written as a box, in the order in which they come.

    The four corners of a rectangle are read as the box around them.
    """
    text = _AROUND.sub("", answer)
    points = [_numbers(point) for point in _POINT.findall(text)]
    if found := _LIST.search(text):
        numbers = _numbers(found[1])
    elif len(points) in (2, 4):
        first, second = zip(*points, strict=True)
        corners = (min(first), min(second), max(first), max(second))
        numbers = list(corners) if len(points) == 4 else [*points[0], *points[1]]
    else:
        numbers = list(map(float, _ANY.findall(text)))
    if len(numbers) != 4:
        return None
    a, b, c, d = numbers
    return a, b, c, d


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _words_in(answer: str, words: Sequence[str]) -> list[str]:
    return re.findall(rf"\b({'|'.join(words)})\b", answer.lower())


def _only(found: Sequence[str]) -> str | None:
    named = set(found)
    return named.pop() if len(named) == 1 else None
