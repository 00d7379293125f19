r"""The number that an answer gives: its value and its unit, read and never executed.

    value_of(r"\frac{3}{4}\pi")          # 2.356...
    measured("about 1.2 m").value        # 1.2

MathVision's published scorers, and VLMEvalKit's for MathVista and OCRBench, call `eval` on text
that a model wrote. Here a reader of a few signs adds and multiplies in floating point: it cannot
name anything, and a power tower overflows instead of filling the memory.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from saccade.rewards.maths.quantities import Unit, quantity
from saccade.rewards.maths.written import written

MAX_CHARS = 2000
"""Longer answers are no numbers."""
MAX_SIGNS = 100
MAX_DEPTH = 12
EQUAL = 1e-9
"""Relative difference up to which two values are one: errors of floating point."""

_SIGN = re.compile(
    r"\\(?:frac|sqrt|pi|cdot|times)(?![a-z])|\d+(?:\.\d+)?(?:e[+-]?\d{1,3}(?![\d.]))?"
    r"|\.\d+|\S"
)
_ABOUT = re.compile(
    r"(?:\\approx|\u2248|~|=|approximately|approx\.?|about|around|roughly|nearly|almost|equals?)"
    r"(?![a-z]) ?",
    re.IGNORECASE,
)
_ROUGHLY = re.compile(
    r",? (?:or so|or thereabouts|approximately|approx\.?|roughly)$", re.IGNORECASE
)
_DECADE = re.compile(r"[12]\d{2}0['\u2019]?s")
"""No number of seconds."""
_NAMED = re.compile(r"(\\?[A-Za-z]{1,12}(?:_\w)?|\\angle ?[A-Z]{1,3}) ?(?:=|\\approx) ?")
_CLOSED = {"(": ")", "{": "}", "[": "]"}
_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
}  # fmt: skip
_SCALES = re.compile(r"(?:hundred|thousand|million|billion|trillion|dozen|half|[kmb]n?)\b", re.I)


class Measure(NamedTuple):
    """A number with what stands behind it."""

    value: float
    unit: Unit | None
    """None: there is none. One with `words` is none that we know."""
    name: str = ""
    """What it is said to be the value of: the x of `x = 5`."""

    @property
    def values(self) -> tuple[float, ...]:
        """What the number may be where the other side has no unit: 50 % is 50 and 0.5."""
        if self.unit is not None and self.unit.dimensions == (("%", 1),):
            return self.value, self.value / 100
        return (self.value,)


def measured(answer: str) -> Measure | None:
    """The number that an answer consists of; None if it says more, or less."""
    if len(answer) > MAX_CHARS:
        return None
    text = _ROUGHLY.sub("", written(answer))
    if _DECADE.fullmatch(text):
        return None
    if text.casefold() in _WORDS:
        return Measure(float(_WORDS[text.casefold()]), None)
    name = ""
    for lead in (_ABOUT, _NAMED, _ABOUT):
        if before := lead.match(text):
            text = text[before.end() :]
            name = before[1] if lead is _NAMED else name
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text).removeprefix("+")
    if (value := value_of(text)) is not None:
        return Measure(value, None, name)
    found = quantity(text, attached=True)
    if found is None or (value := value_of(found.number)) is None:
        return None
    if found.unit is not None and found.unit.words and not _is_name(found.unit.words):
        return None
    return Measure(value, found.unit, name)


def _is_name(words: str) -> bool:
    """Whether words behind a number may be what is counted, rather than more of an answer."""
    few = re.fullmatch(r"[a-z]{2,}(?: [a-z]+){0,2}", words)
    return (
        bool(few) and not _SCALES.search(words) and not re.search(r"\b(?:or|to|and|not)\b", words)
    )


def same_number(
    gold: Measure, answer: Measure, within: float = 0.0, question: str = ""
) -> bool | None:
    """Whether a number is the gold one, up to an absolute difference; None if it cannot be told.

    A unit that only one side has is that of the question. Words that are no unit are ignored where
    the question has them ("5 apples"), and make the answer unread where it has not. So do two
    names: x = 0 is not y = 0.
    """
    if gold.name and answer.name and gold.name != answer.name:
        return None
    for side in (gold, answer):
        if side.unit is not None and side.unit.words:
            asked = re.findall(r"[a-z]+", question.casefold())
            known = all(
                word in asked or word.rstrip("s") in asked for word in side.unit.words.split()
            )
            if not known and not (
                gold.unit and answer.unit and gold.unit.words == answer.unit.words
            ):
                return None
    if gold.unit is None or answer.unit is None or gold.unit.words or answer.unit.words:
        return any(near(x, y, within) for x in gold.values for y in answer.values)
    if gold.unit.dimensions != answer.unit.dimensions:
        return False
    return near(gold.value, answer.value * float(answer.unit.factor / gold.unit.factor), within)


def near(gold: float, value: float, within: float = 0.0) -> bool:
    """Whether two values differ by no more than that, errors of floating point aside."""
    return abs(gold - value) <= within + EQUAL * max(abs(gold), abs(value), 1e-300)


def decimals(text: str) -> int:
    """How many digits stand behind the point of a number."""
    found = re.search(r"\.(\d+)\D*$", text)
    return len(found[1]) if found else 0


def value_of(text: str) -> float | None:
    """The value of arithmetic in digits or LaTeX; None if it is anything else, or not finite."""
    signs = _SIGN.findall(text.strip().casefold().replace("**", "^"))
    if not signs or len(signs) > MAX_SIGNS:
        return None
    try:
        reader = _Reader(signs)
        value = reader.sum(0)
    except (ValueError, ArithmeticError, IndexError):
        return None
    whole = reader.at == len(signs) and isinstance(value, float) and math.isfinite(value)
    return value if whole else None


class _Reader:
    """Reads sums of products of powers; ValueError for anything else."""

    def __init__(self, signs: list[str]) -> None:
        self._signs = signs
        self.at = 0

    def _next(self) -> str:
        return self._signs[self.at] if self.at < len(self._signs) else ""

    def _take(self) -> str:
        self.at += 1
        return self._signs[self.at - 1]

    def sum(self, depth: int) -> float:
        if depth > MAX_DEPTH:
            raise ValueError("too many brackets")
        total = self._product(depth)
        while self._next() in ("+", "-"):
            total += self._product(depth) if self._take() == "+" else -self._product(depth)
        return total

    def _product(self, depth: int) -> float:
        sign = -1.0 if self._next() in ("+", "-") and self._take() == "-" else 1.0
        value = self._power(depth)
        while (token := self._next()) and token not in "+-)}]":
            if token in ("*", "/", "\\cdot", "\\times"):
                self.at += 1
                factor = self._power(depth)
                value = value / factor if token == "/" else value * factor
            elif token[0].isdigit() or token[0] == ".":
                raise ValueError("numbers beside each other")
            else:
                value *= self._power(depth)
        return sign * value

    def _power(self, depth: int) -> float:
        value = self._atom(depth)
        if self._next() == "^":
            self.at += 1
            sign = -1.0 if self._next() == "-" and self._take() else 1.0
            return math.pow(value, sign * self._power(depth + 1))
        return value

    def _atom(self, depth: int) -> float:
        token = self._take()
        if token in _CLOSED:
            value = self.sum(depth + 1)
            if self._take() != _CLOSED[token]:
                raise ValueError("brackets that do not match")
            return value
        if token == "\\frac":
            return self._group(depth) / self._group(depth)
        if token == "\\sqrt":
            root = self._atom(depth + 1) if self._next() == "[" else 2.0
            return math.pow(self._group(depth), 1 / root)
        if token == "\\pi":
            return math.pi
        return float(token)  # of digits alone: other signs are single

    def _group(self, depth: int) -> float:
        if self._next() != "{":
            raise ValueError("no braces")
        return self._atom(depth + 1)
