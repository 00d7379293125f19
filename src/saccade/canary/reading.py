"""What a free reply says: a digit, a colour, a number, a box. What says two things says nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from saccade.canary.drawing import COLOURS
from saccade.dialects.native import Native

MAX_CHARS = 4000
"""More of a reply is not read."""

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NUMBER = re.compile(r"(?<![\w.])\d{1,9}(?!\w|\.\d)")
_DECIMAL = r"-?\d{1,7}(?:\.\d{1,20})?"
_LIST = re.compile(rf"[\[(<]\s*({_DECIMAL}(?:\s*,\s*{_DECIMAL}){{3}})\s*[\])>]")
_CORNERS = re.compile(
    rf"[\[(]\s*({_DECIMAL}\s*,\s*{_DECIMAL})\s*[\])][\s,]{{0,9}}[\[(]\s*"
    rf"({_DECIMAL}\s*,\s*{_DECIMAL})\s*[\])]"
)
_ANY = re.compile(rf"(?<![\w.]){_DECIMAL}(?![\w])")


def answer_of(text: str) -> str:
    """A reply without its thought and without the tags of an answer."""
    return (Native().parse(text).answer or "")[:MAX_CHARS]


def digit_in(answer: str) -> str | None:
    """The digit that an answer names, as a figure or a word; None where it names none or two."""
    return _only([*_NUMBER.findall(answer), *map(_figure, _words_in(answer, _WORDS))])


def number_in(answer: str) -> str | None:
    """The digits that an answer gives, spaces between them left out."""
    close = re.sub(r"(?<=\d)[\s,]+(?=\d)", "", answer)
    return _only(_NUMBER.findall(close))


def colour_in(answer: str) -> str | None:
    """The colour that an answer names; None where it names none or two."""
    return _only(_words_in(answer, tuple(COLOURS)))


def box_in(answer: str) -> tuple[float, float, float, float] | None:
    """The first four numbers that are written as a box, in the order in which they come."""
    if found := _LIST.search(answer):
        numbers = found[1].split(",")
    elif corners := _CORNERS.search(answer):
        numbers = f"{corners[1]},{corners[2]}".split(",")
    else:
        numbers = _ANY.findall(answer)
    if len(numbers) != 4:
        return None
    a, b, c, d = map(float, numbers)
    return a, b, c, d


def _figure(word: str) -> str:
    return str(_WORDS.index(word))


def _words_in(answer: str, words: Sequence[str]) -> list[str]:
    return re.findall(rf"\b({'|'.join(words)})\b", answer.lower())


def _only(found: Sequence[str]) -> str | None:
    named = set(found)
    return named.pop() if len(named) == 1 else None
