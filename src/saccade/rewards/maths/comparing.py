"""The order of comparison: as written, as text, as quantities, as lists, as expressions.

Conventions, where people differ:

- a unit that only one side writes is that of the question, and the numbers decide: 5 is 5 cm, 50
  is 50 %; 0.5 is 50 % as well;
- of two words one is not the other, whatever they mean; of longer texts nothing is said;
- brackets matter: (1, 2) is not [1, 2]; without any, and in braces, the order is free;
- `x = 5` is 5, and `f(x) = 2x` is 2x;
- "2 or 3" is a list like "2, 3", and neither 2 nor 3;
- 1:2 is 2:4, of 1/2 nothing is said; 3:30 is a time;
- a decimal of six significant digits or more is the irrational or periodic number that it rounds;
- numbers are read as in English, and where they are equal only as read elsewhere (3,14; 1.000),
  nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from saccade.rewards.maths.quantities import RATIOS, TEMPERATURES, Quantity, Unit, quantity
from saccade.rewards.maths.values import NoExpressionError, UnclearError, parsed, same
from saccade.rewards.maths.written import dense, written
from saccade.rewards.text import same_text

_NAMES = """
sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log exp lim max min mod gcd lcm det ln
lg arg dim deg ker inf sup
"""
_FUNCTIONS = frozenset(_NAMES.split())
_BRACKETS = {"(": ")]", "[": "])", "{": "}"}
_ELSEWHERE = re.compile(r"-?\d{1,3}(?:\.\d{3})+(?:,\d+)?|-?\d+,(?:\d{1,2}|\d{4,})")
_PLAIN = re.compile(r"-?\d+(?:\.\d+)?")
_NAMED = re.compile(
    r"(?P<name>(?:\\angle ?[A-Z]{1,3}|[A-Z]{1,3}|[a-z]|\\[a-z]+)(?:_\w)?(?:\([\w, ]+\))?"
    r"|\([a-zA-Z](?:_\w)?(?:, ?[a-zA-Z](?:_\w)?)+\))"
    r" ?(?:=|\\in(?![a-z])) ?(?P<value>(?![A-Za-z]$)[^=<>]+)"
)
_ORDER = re.compile(r"[<>]|\\(?:le|ge|ne)(?![a-z])")
_COLONS = re.compile(r"\d+(?: ?: ?\d+)+")
_CHAIN = re.compile(
    r"(?P<low>[^<>=]+?) ?(?P<from><|\\le ) ?[a-z] ?(?P<to><|\\le ) ?(?P<high>[^<>=]+)"
)
_BUILDER = re.compile(r"\\\{ ?[a-z](?: ?\\in ?\\mathbb\{R\})? ?(?:\||\\mid|:) ?(?P<rule>.+?) ?\\\}")
_FALLING = re.compile(r"([^<>=]+?) ?(>|\\ge ) ?([a-z]) ?(>|\\ge ) ?([^<>=]+)")
_LINE = re.compile(r"\(-\\infty ?, ?\+?\\infty ?\)")
_BOUND = re.compile(r"[a-z] ?(?P<sign><|>|\\le |\\ge ) ?(?P<end>[^<>=]+)")


class Opinion(NamedTuple):
    """Whether two answers are the same."""

    equal: bool | None
    """None if it is not known."""
    reason: str = ""
    readable: bool = True
    """Whether it is not the answer's fault that it is not known."""


class _List(NamedTuple):
    opening: str
    closing: str
    items: tuple[str, ...]


def compare(gold: str, answer: str) -> Opinion:
    """Whether an answer is the gold one. May take for ever."""
    left, right = (_joined(_rule(written(text))) for text in (gold, answer))
    if not right:
        return Opinion(False, "no answer")
    if not left:
        return Opinion(None, "the gold answer is empty")
    try:
        equal = _same(left, right)
    except NoExpressionError as error:
        return Opinion(None, str(error), readable=not _is_math(left))
    if equal is None:
        return Opinion(None, "it cannot be told whether they are the same", readable=False)
    return Opinion(equal)


def _same(left: str, right: str) -> bool | None:
    if dense(left) == dense(right):
        return True
    if left.casefold() == right.casefold() and (len(left) == 1 or ":" in left):  # X, x; am, AM
        return None if len(left) == 1 else True
    if _is_text(left) or _is_text(right):
        return _same_texts(left, right)
    if _same_elsewhere(left, right):
        return None
    colons = [_COLONS.fullmatch(text) is not None for text in (left, right)]
    if any(colons):
        return _same_ratios(left, right) if all(colons) else None
    one, other = (_NAMED.fullmatch(text) for text in (left, right))
    if one and other:
        return _same_named(one, other)
    if (one and _is_value(one, right)) or (other and _is_value(other, left)):
        return _same(one["value"] if one else left, other["value"] if other else right)
    if _ORDER.search(left + right) and (r"\cup" in left) != (r"\cup" in right):
        return _same_unions(left, right)
    lists = _list(left), _list(right)
    if None in lists and "=" in (left if lists[0] is None else right):
        lists = None, None
    if lists != (None, None):
        return _same_lists(lists[0] or _interval(left), lists[1] or _interval(right))
    quantities = quantity(left), quantity(right)
    if quantities != (None, None):
        x, y = (found is not None for found in quantities)
        return _same_quantities(
            quantities[0] or quantity(left, attached=y) or Quantity(left, None),
            quantities[1] or quantity(right, attached=x) or Quantity(right, None),
        )
    return same(left, right)


def _same_texts(left: str, right: str) -> bool | None:
    """Texts compared as texts."""
    if not (_is_text(left) and _is_text(right)):
        side = right if _is_text(right) else left
        raise NoExpressionError(f"{side!r:.100} is text")
    if same_text(left, right):
        return True
    if len(left) == 2 and sorted(left) == sorted(right):  # a product: xy is yx
        return None
    return False if left.isalpha() and right.isalpha() else None


def _joined(text: str) -> str:
    """A list that is written with words, with commas; "bread and butter" stays as it is."""
    plain = re.sub(r",? (?:and|or) ", ", ", text)
    both_hold = " and " in text and (" or " in text or _ORDER.search(text))
    return text if both_hold or _is_text(plain) else plain


def _rule(text: str) -> str:
    """What the members of a set fulfil, if a text says that of one: x > 2 of {x | x > 2}.

    What falls is turned around (3 > x > 1), and all real numbers have one name.
    """
    text = found["rule"] if (found := _BUILDER.fullmatch(text)) else text
    if found := _FALLING.fullmatch(text):
        signs = ["<" if found[place] == ">" else "\\le " for place in (4, 2)]
        text = f"{found[5]}{signs[0]}{found[3]}{signs[1]}{found[1]}"
    return r"\mathbb{R}" if _LINE.fullmatch(text) else text


def _is_value(named: re.Match[str], other: str) -> bool:
    """Whether a text may be what a name stands for, and is no equation itself."""
    return "=" not in other and ("\\in" in named[0] or not _ORDER.search(other))


def _same_named(left: re.Match[str], right: re.Match[str]) -> bool | None:
    """Two values with names: f(1) is not f(2), and f(x) may be f(t)."""
    if left["name"] != right["name"]:
        return None if left["name"].split("(")[0] == right["name"].split("(")[0] else False
    return _same(left["value"], right["value"])


def _same_ratios(left: str, right: str) -> bool | None:
    """Two times, or two ratios: 1:2 is 2:4; 1:10 and 2:20 may be either, and are undecided."""
    a, b = ([part.strip() for part in text.split(":")] for text in (left, right))
    if len(a) != len(b):
        return False
    x, y = [int(part) for part in a], [int(part) for part in b]
    if x == y:
        return True
    alike = all(p * y[0] == q * x[0] for p, q in zip(x, y, strict=True)) and any(x) and any(y)
    if not alike or any(part[0] == "0" for part in (*a[1:], *b[1:])):
        return False
    return None if all(len(part) == 2 for part in (*a[1:], *b[1:])) else True


def _is_text(text: str) -> bool:
    """Whether it holds words, or nothing but letters, and is no number with a unit."""
    bare = re.sub(r"\\(?:begin|end)\{\w+\}|\\[A-Za-z]+", " ", text)
    runs = re.findall(r"[^\W\d_]+", bare)
    if quantity(text) is not None:
        return False
    words = [run for run in runs if len(run) > 2 and run not in _FUNCTIONS]
    only_letters = bool(re.fullmatch(r"[^\W\d_]{2,}(?:[\s'-][^\W\d_]+)*", text))
    return bool(words) or only_letters


def _is_math(text: str) -> bool:
    """Whether it can be read, so that another text is to blame."""
    if _is_text(text) or _list(text) is not None:
        return True
    found = quantity(text)
    try:
        parsed(found.number if found else text)
    except UnclearError:
        return True
    except NoExpressionError:
        return False
    return True


def _same_elsewhere(left: str, right: str) -> bool:
    """Whether two numbers are equal only if they are read as outside of English: 3,14 and 1.000."""
    if not (_ELSEWHERE.fullmatch(left) or _ELSEWHERE.fullmatch(right)):
        return False
    one, other = (
        text.replace(".", "").replace(",", ".") if _ELSEWHERE.fullmatch(text) else text
        for text in (left, right)
    )
    if not (_PLAIN.fullmatch(one) and _PLAIN.fullmatch(other)):
        return False
    english = _PLAIN.fullmatch(left) and _PLAIN.fullmatch(right)
    return same(one, other) is True and not (english and same(left, right))


def _same_quantities(left: Quantity, right: Quantity) -> bool | None:
    a, b = left.unit, right.unit
    x, y = left.number, right.number
    if a is None or b is None:
        known = a or b
        if known is None or known.words:
            raise NoExpressionError(f"{known.words if known else ''!r} is no unit that is known")
        named = {name for name, _ in known.dimensions}
        if named <= RATIOS and "%" in named:
            with_unit, plain = (x, y) if b is None else (y, x)
            return same(x, y) or same(rf"\frac{{{with_unit}}}{{100}}", plain)
        if named == {"degrees"}:
            return same(x, y) or same(_in_radians(x, a), _in_radians(y, b))
        return same(x, y)
    if a.words or b.words:
        if a.words and b.words and a.words.rstrip("s") == b.words.rstrip("s"):
            return same(x, y)
        raise NoExpressionError(f"{a.words or b.words!r} is no unit that is known")
    if a.dimensions != b.dimensions:
        named = {name for name, _ in (*a.dimensions, *b.dimensions)}
        if named == {"degrees", "radians"}:
            return same(_in_radians(x, a), _in_radians(y, b))
        return None if named <= TEMPERATURES else False
    return same(rf"({x})\cdot\frac{{{a.factor.numerator}}}{{{a.factor.denominator}}}",
                rf"({y})\cdot\frac{{{b.factor.numerator}}}{{{b.factor.denominator}}}")  # fmt: skip


def _in_radians(number: str, unit: Unit | None) -> str:
    degrees = unit is not None and unit.dimensions == (("degrees", 1),)
    return rf"({number})\cdot\frac{{\pi}}{{180}}" if degrees else number


def _list(text: str) -> _List | None:
    """A list, with its brackets if it has any; None if there is no comma outside of all."""
    plain = text.replace(r"\{", "{").replace(r"\}", "}")
    if sign := re.fullmatch(r"\\pm ?(.+)", plain):
        return _List("", "", (sign[1], f"-({sign[1]})"))
    if plain[:1] in _BRACKETS and plain[-1:] in _BRACKETS[plain[0]]:
        items = _split(plain[1:-1])
        if items is not None and (len(items) > 1 or text.startswith(r"\{")):
            return _List(plain[0], plain[-1], items)
    items = _split(plain)
    return _List("", "", items) if items is not None and len(items) > 1 else None


def _split(text: str) -> tuple[str, ...] | None:
    """The items between the commas outside of brackets; None if brackets do not match."""
    depth, items, item = 0, [], ""
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return None
        if character == "," and not depth:
            items.append(item.strip())
            item = ""
        else:
            item += character
    return (*items, item.strip()) if not depth else None


def _same_lists(left: _List | None, right: _List | None) -> bool | None:
    if left is None or right is None:
        return False
    if min(len(_names(left)), len(_names(right))) == 0 and len(_names(left) | _names(right)) > 1:
        return None
    bare = "" in (left.opening, right.opening)
    if not bare and (left.opening, left.closing) != (right.opening, right.closing):
        return False
    ordered = "(" in (left.opening, right.opening) or "[" in (left.opening, right.opening)
    if bare and ordered:
        return None
    if len(left.items) != len(right.items):
        return False
    if ordered:
        return _all([_same(a, b) for a, b in zip(left.items, right.items, strict=True)])
    return _same_sets(left.items, right.items)


def _names(found: _List) -> set[str]:
    """The names in a list of values: those of `x = 5, y = 3`."""
    return {named["name"] for item in found.items if (named := _NAMED.fullmatch(item))}


def _interval(text: str) -> _List | None:
    """What an inequality allows, as an interval; None if it is none between constants."""
    if found := _CHAIN.fullmatch(text):
        opening, closing = "(" if found["from"] == "<" else "[", ")" if found["to"] == "<" else "]"
        return _List(opening, closing, (found["low"], found["high"].strip()))
    if found := _BOUND.fullmatch(text):
        if found["sign"] in ("<", "\\le "):
            return _List("(", ")" if found["sign"] == "<" else "]", ("-\\infty", found["end"]))
        return _List("(" if found["sign"] == ">" else "[", ")", (found["end"], "\\infty"))
    return None


def _same_unions(left: str, right: str) -> bool | None:
    """Intervals with a cup between them, and inequalities of which one holds; else unknown."""
    one, other = _intervals(left), _intervals(right)
    return True if one and other and _same_sets(one, other) else None


def _intervals(text: str) -> tuple[str, ...]:
    if r"\cup" in text:
        return tuple(part.strip() for part in text.split(r"\cup"))
    found = [_interval(item) for item in _split(text) or ()]
    return tuple(f"{i.opening}{', '.join(i.items)}{i.closing}" for i in found if i is not None)


def _same_sets(left: Sequence[str], right: Sequence[str]) -> bool | None:
    """Whether each item of one has its own among the others."""
    rest, unsure = list(right), False
    for item in left:
        found = [_same(item, other) for other in rest]
        unsure = unsure or None in found
        if True not in found:
            return None if unsure else False
        del rest[found.index(True)]
    return True


def _all(found: Sequence[bool | None]) -> bool | None:
    if False in found:
        return False
    return None if None in found else True
