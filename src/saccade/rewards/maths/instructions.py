r"""Integrals, limits and endless sums that are carried out in a moment.

    without_quick([r"\int", "_", "0", "^", "1", "x", "d", "x"])     # ["x"]

How long an instruction takes cannot be seen from its size. So those that textbooks answer with are
listed by their form: integrals of polynomials, times one sine, cosine or exponential; limits and
endless sums of a few signs. All others count as left to do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_TOKENS = 40
"""Signs of a text that holds an instruction."""
MAX_EXPONENTS = 40
"""The sum of the exponents of a polynomial that is integrated, with one power of a bracket."""
FEW = 4
"""The sum of the exponents in other integrals, and in limits."""

_NUMBER = r"\d{1,3}(?:\.\d{1,3})?"
_LINEAR = rf"(?:- )?(?:{_NUMBER} )?[a-z](?: [-+] {_NUMBER})?"
_POWER = rf"\^ (?:\d{{1,2}}|[a-z]|\{{ (?:- )?\d{{1,2}} \}}|\{{ {_LINEAR} \}})"
_PLAIN = rf"{_NUMBER}|\\frac \{{ {_NUMBER} \}} \{{ {_NUMBER} \}}|[a-z]|[-+()]|\\cdot|\\times"
_POLYNOMIAL = rf"(?:(?:{_PLAIN}|\^ (?:\d{{1,2}}|\{{ \d{{1,2}} \}})) )*"
_FUNCTION = rf"(?:(?:e \^|\\sin|\\cos) (?:[a-z]|[{{(] (?:- )?(?:{_NUMBER} )?[a-z] [)}}]) )?"
_END = rf"(?:{_NUMBER}|\\pi|\\infty|- {_NUMBER}|\{{ (?:(?:{_NUMBER}|\\pi|\\infty|[-+/]) )+\}})"
_SIGN = rf"(?:{_PLAIN}|{_POWER}|[/!]|\\frac|\\sqrt|\\(?:sin|cos|tan|ln)|[{{}}])"
_AROUND = rf"(?:(?:{_NUMBER}|\\pi|\\frac|\\cdot|\\times|[-+/{{}}()=]|x(?= =)) )*"
_INTEGRAL = rf"\\int _ {_END} \^ {_END} (?P<body>{_POLYNOMIAL}{_FUNCTION}{_POLYNOMIAL})d [a-z] "
_LIMIT = rf"\\lim _ \{{ [a-z] \\to (?:[-+] )?{_END} \}} (?P<limited>(?:{_SIGN} )+)"
_TERM = rf"(?:{_PLAIN}|(?<![a-z] ){_POWER}|(?<=[a-z] )\^ \d|!|\\frac|[{{}}])"
_SERIES = (
    r"\\sum _ \{ (?P<index>[a-z]) = \d \} \^ (?:\\infty|\{ \\infty \}) "
    rf"(?P<added>(?:{_TERM} )+)"
)
_QUICK = re.compile(rf"({_AROUND})(?:{_INTEGRAL}|{_LIMIT}|{_SERIES})({_AROUND})")


def without_quick(tokens: Sequence[str]) -> list[str]:
    """The tokens of an expression, with a variable in the place of a quick instruction."""
    found = _QUICK.fullmatch(" ".join(tokens) + " ") if len(tokens) <= MAX_TOKENS else None
    if found is None or not _is_quick(found):
        return list(tokens)
    return [*found[1].split(), "x", *found[found.re.groups].split()]


def _is_quick(found: re.Match[str]) -> bool:
    body = (found["body"] or found["limited"] or found["added"] or "").split()
    if len({sign for sign in body if len(sign) == 1 and sign.isalpha()} - {"e"}) > 1:
        return False
    exponents = [int(n) for n in re.findall(r"\^ (?:\{ )?(?:- )?(\d+)(?! [a-z])", " ".join(body))]
    if found["added"]:
        alternates = re.search(r"\( - \S+ \) \^", found["added"]) is not None
        return body.count(found["index"]) <= 2 - alternates and sum(exponents) <= 2
    functions = {"e", "\\sin", "\\cos"} & set(body)
    if found["body"] and "\\infty" in found[0] and "e" not in functions:
        return False
    if found["body"] and not functions and found["body"].count(") ^") <= 1:
        return sum(exponents) <= MAX_EXPONENTS
    return sum(exponents) <= FEW
