r"""How large an expression is, before anything computes with it.

    size(r"9^{9^{9^9}}").digits        # inf
    apart("7", r"9^{9^{9^9}}")         # True: whatever it is, it is not 7

What is read is the structure of the text: numbers, signs, brackets, powers, factorials. That takes
microseconds where the number itself would take for ever. It is an estimate: `log10` is good to a
few digits, `digits` is an upper bound of what exact arithmetic would have to write down. Functions
count as their arguments, since no more than sixty digits of their values are ever asked for.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from saccade.rewards.maths.instructions import without_quick

MAX_DIGITS = 50_000
"""Numbers of more digits are not computed."""
MAX_TOKENS = 400
"""Longer expressions are not parsed."""
MAX_DEPTH = 6
"""More brackets within each other are not parsed, which takes twice as long with each."""
MAX_BARS = 12
"""More bars are not parsed: whether one opens or closes is found by trying."""
MAX_CELLS = 16
"""Determinants and products of matrices with more cells are not computed, unless all are digits."""
MAX_LOGARITHMS = 3
"""More logarithms of logarithms are not compared, for the same reason."""
MAX_LITERAL = 1000
"""Longer numbers are compared as texts, or by their magnitude."""
MAX_TERMS = 1000
"""Longer sums and products of a running index are not computed."""

_APART = 100.0
"""Orders of magnitude from which on two numbers are not the same in any unit."""
_SURE = 1e-6
"""Relative differences below this may be errors of rounding."""
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\.\d+|\S")
_OPEN = {"{": "}", "(": ")", "[": "]"}
_CLOSE = frozenset(_OPEN.values())
_VALUES = {"\\pi": math.log10(math.pi), "e": math.log10(math.e), "%": -2.0}
_TIMES = frozenset(("\\cdot", "\\times", "*"))
_LEFT_TO_DO = frozenset(
    ("\\int", "\\iint", "\\iiint", "\\oint", "\\lim", "\\det", "\\operatorname")
)
"""What is an instruction rather than a number: unless its form is known, see
`saccade.rewards.maths.instructions`, nobody knows how long it takes to carry out."""
_MATRIX = re.compile(r"\\(?:begin|end) ?\{\w+\}")
_FACTORIALS = frozenset(("\\Gamma", "\\gamma"))


class Size(NamedTuple):
    """What is known of a number that has not been computed."""

    log10: float
    """Of its absolute value; an upper bound if it is not `known`. Minus infinity for zero."""
    digits: float
    """The most digits that exact arithmetic would write on the way to it."""
    known: bool = True
    """Whether it is a number, and `log10` its magnitude rather than a bound."""
    negative: bool = False

    @property
    def value(self) -> float:
        """The number itself; infinite if it is beyond floating point."""
        size = 10**self.log10 if self.log10 < 300 else math.inf
        return -size if self.negative else size


class TooLargeError(ValueError):
    """An expression of more tokens or brackets than are read."""


_VARIABLE = Size(1.0, 8, known=False)
"""Points at which expressions are compared are fractions of four digits, below ten."""
_ONE = Size(0.0, 1)


def size(text: str) -> Size:
    """The size of an expression in LaTeX, as `written` leaves it.

    Raises:
        TooLargeError: it has too many tokens, or too many brackets within each other.
    """
    tokens = _TOKEN.findall(text)
    if len(tokens) > MAX_TOKENS:
        raise TooLargeError(f"{len(tokens)} signs, {MAX_TOKENS} are read at most")
    depth = most = 0
    for token in tokens:
        depth += (token in _OPEN) - (token in _CLOSE)
        most = max(most, depth)
    if most > MAX_DEPTH or tokens.count("|") > MAX_BARS:
        raise TooLargeError(f"more than {MAX_DEPTH} brackets within each other, or too many bars")
    cells = tokens.count("&") + tokens.count(r"\\") + 1
    combined = "|" in tokens or "{vmatrix" in text.lower() or text.count(r"\begin") > 1
    if cells > MAX_CELLS and combined and re.search("[A-Za-z]", _MATRIX.sub("", text)):
        raise TooLargeError(f"matrices of {cells} cells, {MAX_CELLS} are computed at most")
    return _Reader(without_quick(tokens)).whole()


def is_computable(found: Size) -> bool:
    """Whether exact arithmetic would be done in a moment."""
    return found.digits <= MAX_DIGITS and found.log10 <= MAX_DIGITS


def apart(one: Size, other: Size) -> bool:
    """Whether two numbers differ by more than any unit could make up for."""
    if not (one.known and other.known):
        return False
    gap, larger = abs(one.log10 - other.log10), max(abs(one.log10), abs(other.log10))
    return gap > _APART and (math.isinf(gap) or gap > larger * _SURE)


class _Reader:
    """A reader of tokens; what it does not know counts as a factor."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = self._logarithms = 0

    def whole(self) -> Size:
        """Everything; what stands between closing brackets that were never opened is added."""
        found = self._sum()
        while self._at < len(self._tokens):
            self._at += 1
            found = _added(found, self._sum())._replace(known=False)
        return found

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._next()
        self._at += 1
        return token

    def _sum(self) -> Size:
        """Terms up to a closing bracket; what a comma or a relation parts is no number."""
        found, several = self._term(), False
        while (token := self._next()) and token not in _CLOSE:
            if token not in ("+", "-"):
                several = True
                self._at += 1
            found = _added(found, self._term())
        return found._replace(known=False) if several else found

    def _term(self) -> Size:
        found, negative = _ONE._replace(digits=0.0), False
        while self._next() in ("+", "-", "\\pm", "\\mp"):
            negative ^= self._take() == "-"
        empty = True
        while (token := self._next()) and token not in _CLOSE and token not in "+-,;=<>&|":
            if token in ("/", ":", "\\div"):
                self._at += 1
                found = _product(found, _inverse(self._power()))
            elif token in _TIMES:
                self._at += 1
            else:
                found = _product(found, self._power())
            empty = False
        found = _unknown(found) if empty else found
        return found._replace(negative=found.negative ^ negative)

    def _power(self) -> Size:
        """An atom with its factorials and exponents."""
        token = self._next()
        base = self._atom()
        if token in ("\\sum", "\\prod"):
            return self._series()
        if token in ("\\ln", "\\log"):
            return self._logarithm()
        if token in _FACTORIALS:
            base = _factorial(self._atom())
        elif token in _LEFT_TO_DO:
            base = Size(math.inf, math.inf, known=False)
        elif token == "\\exp":
            base = _raised(Size(_VALUES["e"], 1), self._atom())
        while self._next() in ("!", "^", "_"):
            mark = self._take()
            if mark == "!":
                base = _factorial(base)
            elif mark == "_":
                base = _product(base, self._power())._replace(known=False)
            else:
                base = _raised(base, self._signed())
        return base

    def _logarithm(self) -> Size:
        self._logarithms += 1
        if self._logarithms > MAX_LOGARITHMS:
            raise TooLargeError(f"more than {MAX_LOGARITHMS} logarithms within each other")
        found = _VARIABLE
        while self._next() in ("^", "_"):
            self._at += 1
            found = _product(found, self._atom())
        found = _product(found, self._power())
        self._logarithms -= 1
        return found

    def _series(self) -> Size:
        """A sum or product over an index, with its terms."""
        terms = math.inf
        while self._next() in ("^", "_"):
            above = self._take() == "^"
            end = self._atom()
            terms = abs(end.value) if above and end.known else terms
        term = self._term()
        repeated = max(1.0, terms) if terms <= MAX_TERMS else math.inf
        return Size(max(term.log10, 0.0) * repeated, (term.digits + 4) * repeated, known=False)

    def _signed(self) -> Size:
        negative = self._next() in ("+", "-") and self._take() == "-"
        found = self._power()
        return found._replace(negative=found.negative ^ negative)

    def _atom(self) -> Size:
        token = self._take()
        if token in _OPEN:
            found = self._sum()
            self._at += self._next() in _CLOSE
            return found
        if token in ("\\frac", "\\binom"):
            above, below = self._atom(), self._atom()
            return _product(above, _inverse(below)) if token == "\\frac" else _chosen(above, below)
        if token == "\\sqrt":
            root = self._atom() if self._next() == "[" else Size(math.log10(2), 1)
            return _raised(self._atom(), _inverse(root))
        if token[:1].isdigit() or token[:1] == ".":
            return _literal(token)
        if token in _VALUES:
            return Size(_VALUES[token], 1)
        return _VARIABLE


def _literal(text: str) -> Size:
    digits = text.replace(".", "").lstrip("0")
    if not digits:
        return Size(-math.inf, 1)
    fixed = len(text.partition(".")[2])
    log10 = math.log10(int(digits[:15])) + max(0, len(digits) - 15) - fixed
    return Size(log10, len(text) if len(text) <= MAX_LITERAL else math.inf)


def _unknown(found: Size) -> Size:
    return found._replace(known=False)


def _product(one: Size, other: Size) -> Size:
    log10 = one.log10 + other.log10
    known = one.known and other.known and not math.isnan(log10)
    log10 = max(one.log10, other.log10) if math.isnan(log10) else log10
    return Size(log10, one.digits + other.digits, known, one.negative ^ other.negative)


def _inverse(found: Size) -> Size:
    """One over a number; of a variable nothing is known, since it may be small."""
    log10 = -found.log10 if found.known else max(-found.log10, 4.0)
    return found._replace(log10=log10, known=found.known and found.log10 != -math.inf)


def _added(one: Size, other: Size) -> Size:
    """A sum; nothing is known of one whose terms may cancel."""
    large, small = (one, other) if one.log10 >= other.log10 else (other, one)
    digits, total = one.digits + other.digits, one.value + other.value
    if not (one.known and other.known):
        return Size(large.log10 + math.log10(2), digits, known=False)
    if math.isfinite(total) and abs(total) > abs(large.value) * _SURE:
        return Size(math.log10(abs(total)), digits, negative=total < 0)
    return large._replace(digits=digits, known=large.log10 - small.log10 > 1)


def _raised(base: Size, exponent: Size) -> Size:
    value = abs(exponent.value)
    if exponent.digits > MAX_DIGITS:
        value = math.inf
    whole = value if exponent.known else 0.0
    digits = base.digits * max(1.0, whole) + exponent.digits
    log10 = base.log10 * (-value if exponent.negative else value) if value else 0.0
    known = base.known and exponent.known and not math.isnan(log10) and abs(base.log10) > _SURE
    if math.isnan(log10) or not known:
        log10 = abs(base.log10) * value if base.log10 and value else 0.0
    odd = base.negative and value < 1 / _SURE and round(value) % 2 == 1
    return Size(log10, digits, known and (not base.negative or value < 1 / _SURE), odd)


def _factorial(found: Size) -> Size:
    n = abs(found.value)
    log10 = math.inf if n > 1e300 else math.lgamma(n + 1) / math.log(10)
    return Size(log10, found.digits + log10, found.known and not found.negative)


def _chosen(n: Size, k: Size) -> Size:
    most = abs(n.value) * math.log10(2)
    if k.known and n.known:
        most = min(most, abs(k.value) * max(n.log10, 0.0))
    return Size(most, n.digits + k.digits + most, known=False)
