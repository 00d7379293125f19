"""Expressions compared: parsed as LaTeX, then by exact value or with fifty digits.

math-verify compares with a tolerance, in which 1/2^99 is 1/2^98, and reads words as products, in
which "cat" is "act". So numbers are compared exactly where they are rational, else with fifty
digits; expressions with variables at points drawn from a fixed seed. It is asked only about what is
no expression: matrices, sets, inequalities.
"""

from __future__ import annotations

import random
import re
from typing import Any

from saccade.errors import PluginError
from saccade.plugins import guarded
from saccade.rewards.maths.sizes import Size, TooLargeError, apart, is_computable, size

DIGITS = 50
POINTS = 4
"""Number of points at which expressions with variables must agree."""
LONG = 1000
"""Digits from which on numbers are told apart by their magnitude alone, if that is enough."""
SIGNIFICANT = 6
"""Digits from which on a rounded decimal is the number that it rounds."""

_UNCLEAR = {
    r"(?<![_^\d])\d+ \d": "numbers beside each other",
    r"(?<![A-Za-z\\])[A-Za-z]+\d": "a number after a letter",
    r"\d ?:": "a time or a ratio",
    r"^\d+(?: ?- ?\d+)+$": "a range, a date or a difference",
    r"\d_": "a number in another base",
    r"(?<![A-Za-z\\])[ACP]_\S+?\^": "a number of choices",
    r"'|\\prime": "a prime, a minute or a foot",
    r"\^\{?(?:T|\\top|\\intercal)(?![A-Za-z])": "a power or a transpose",
    r"\\frac ?\{[^{}]*d[^{}]*\} ?\{ ?d ?[a-z]|\\partial": "a derivative",
    r"\.\.|\\l?dots": "something left out",
    r"\\(?:equiv|cong|sim|simeq|approx|propto)(?![a-z])": "a relation that is no equality",
}
"""What the grammar would read in one way of several, or not at all."""
_DEGREES = re.compile(
    r"(\\(?:sin|cos|tan|cot|sec|csc))(?:\^(\d))? ?[({]? ?(-?\d+(?:\.\d+)?) ?° ?[)}]?"
)


class NoExpressionError(ValueError):
    """A text that cannot be read as mathematics."""


class UnclearError(NoExpressionError):
    """A text that has a meaning, which the grammar would not find for sure."""


def parsed(text: str) -> object:
    """The expression that a text in LaTeX is.

    Raises:
        UnclearError: it can be read in several ways.
        NoExpressionError: it is none.
    """
    from latex2sympy2_extended import latex2sympy
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig

    if not is_computable(_size(text)):
        raise UnclearError(f"{text!r:.100} is too large to be computed")
    for pattern, what in _UNCLEAR.items():
        if re.search(pattern, text):
            raise UnclearError(f"{what} in {text!r:.100}")
    text = _DEGREES.sub(_in_radians, text)
    config = ConversionConfig(lowercase_symbols=False)
    try:
        with guarded("latex2sympy"):  # it raises Exception itself
            return latex2sympy(text, normalization_config=None, conversion_config=config)
    except PluginError as error:
        raise NoExpressionError(f"{text!r:.100} cannot be read as mathematics") from error


def _size(text: str) -> Size:
    try:
        return size(text)
    except TooLargeError as error:
        raise UnclearError(str(error)) from error


def _in_radians(match: re.Match[str]) -> str:
    power = f"^{match[2]}" if match[2] else ""
    return rf"{match[1]}{power}(\frac{{{match[3]}\pi}}{{180}})"


def same(gold: str, answer: str) -> bool | None:
    """Whether two expressions are equal; None if it cannot be told.

    Raises:
        NoExpressionError: one of them is no expression, or too large to be computed and not so much
            larger or smaller than the other that they cannot be the same.
    """
    from sympy import Expr, I, Symbol

    sizes = _size(gold), _size(answer)
    if apart(*sizes) and max(found.digits for found in sizes) > LONG:
        return False
    left, right = parsed(gold), parsed(answer)
    if isinstance(left, Expr) and isinstance(right, Expr):
        equal = _same_expressions(left, right)
        imaginary = {Symbol("i"): I}
        if equal is False and (left.free_symbols | right.free_symbols) & imaginary.keys():
            return _same_expressions(left.subs(imaginary), right.subs(imaginary))
        if equal is False and _is_renamed(left, right):
            return None
        if equal is False and not (left.free_symbols or right.free_symbols):
            return _rounds(gold, right) or _rounds(answer, left)
        return equal
    return _verified(left, right)


def _is_renamed(left: Any, right: Any) -> bool:
    """Whether two expressions are one but for the name of a running number: 2n and 2k."""
    one, other = left.free_symbols - right.free_symbols, right.free_symbols - left.free_symbols
    if len(one) != 1 or len(other) != 1 or {str(s) for s in one | other} - {"k", "m", "n"}:
        return False
    return _same_expressions(left.subs({one.pop(): other.pop()}), right) is True


def _same_expressions(left: Any, right: Any) -> bool | None:
    from sympy import nan, zoo

    left, right = _exact(left), _exact(right)
    if left.has(nan, zoo) or right.has(nan, zoo):
        return None
    if left == right:
        return True
    if left.is_Rational and right.is_Rational:
        return False
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)
    if not symbols:
        return _close(left, right)
    draw = random.Random(0)
    agreed = [
        found
        for _ in range(2 * POINTS)
        if (found := _close(*_at_point(left, right, symbols, draw))) is not None
    ]
    if False in agreed:
        return False
    return True if len(agreed) >= POINTS else None


def _at_point(left: Any, right: Any, symbols: list[Any], draw: random.Random) -> tuple[Any, Any]:
    from sympy import Rational

    at = {s: Rational(draw.randint(-9999, 9999) or 1, draw.randint(1000, 5000)) for s in symbols}
    return left.subs(at), right.subs(at)


def _close(left: Any, right: Any) -> bool | None:
    """Whether two constants agree in fifty digits; None if one of them has no finite value."""
    from sympy import Float, oo

    if left == right:
        return True if left in (oo, -oo) or left.is_finite else None
    if left in (oo, -oo) or right in (oo, -oo):
        return False
    a, b = left.evalf(DIGITS + 10), right.evalf(DIGITS + 10)
    if not (a.is_number and b.is_number and a.is_finite and b.is_finite):
        return None
    size = max(abs(a), abs(b))
    return bool(abs(a - b) <= size * Float(10, DIGITS + 10) ** -DIGITS)


def _exact(value: Any) -> Any:
    """The same with decimals as fractions, and what was left to be done."""
    from sympy import Float, Rational

    decimals = {number: Rational(str(number)) for number in value.atoms(Float)}
    return value.xreplace(decimals).doit()


def _rounds(text: str, value: Any) -> bool:
    """Whether a text is a decimal number, and the value rounded to its digits."""
    from sympy import Rational

    found = re.fullmatch(r"-?(\d+)\.(\d{1,30})", text)
    if found is None or len((found[1] + found[2]).lstrip("0")) < SIGNIFICANT:
        return False
    value = _exact(value)
    if not value.is_real or (value.is_Rational and _terminates(value.q)):
        return False
    half = Rational(1, 2 * 10 ** len(found[2]))
    return bool(abs(value - Rational(text)).evalf(DIGITS) <= half)


def _terminates(denominator: int) -> bool:
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator == 1


def _verified(left: Any, right: Any) -> bool | None:
    """What can be said of matrices, relations and sets, if both are of one kind."""
    from math_verify import verify
    from sympy import Expr, MatrixBase, Set
    from sympy.core.relational import Relational
    from sympy.logic.boolalg import BooleanFunction

    if isinstance(left, MatrixBase) and isinstance(right, MatrixBase):
        if left.shape != right.shape:
            return False
        found = {_same_expressions(*pair) for pair in zip(left.flat(), right.flat(), strict=True)}
        return False if False in found else None if None in found else True
    if isinstance(left, Relational) and isinstance(right, Relational):
        return _same_relations(left, right)
    for kind in (Set, BooleanFunction):
        if isinstance(left, kind) and isinstance(right, kind):
            return bool(verify([left], [right], timeout_seconds=None))
    one_is_a_matrix = isinstance(left, MatrixBase) != isinstance(right, MatrixBase)
    return False if one_is_a_matrix and isinstance(left, Expr) != isinstance(right, Expr) else None


def _same_relations(left: Any, right: Any) -> bool | None:
    """Whether two equations or inequalities are one up to a factor; of curves no more is said."""
    from sympy import Ge, Gt, Poly, Rational, simplify
    from sympy.polys.polyerrors import BasePolynomialError

    signs = [type(r).__name__.replace("Greater", "Less") for r in (left, right)]
    one, other = (
        _exact(r.rhs - r.lhs if isinstance(r, Gt | Ge) else r.lhs - r.rhs) for r in (left, right)
    )
    symbols = sorted(one.free_symbols | other.free_symbols, key=str)
    try:
        straight = all(Poly(side, *symbols).total_degree() == 1 for side in (one, other))
    except BasePolynomialError:
        straight = False
    if signs[0] != signs[1]:
        return False if straight else None
    factor = simplify(one / other)
    if isinstance(factor, Rational) and (
        factor > 0 or signs[0] not in ("StrictLessThan", "LessThan")
    ):
        return bool(factor != 0)
    return False if straight else None
