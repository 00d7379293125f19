"""Numbers with units and currencies: 5 m is 500 cm, and neither 5 cm nor 5 s.

Conversions are those that multiply by an exact number. Degrees Celsius and Fahrenheit are told
apart, and not converted.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

_PREFIXES = {"k": 3, "c": -2, "m": -3, "µ": -6, "n": -9, "M": 6, "G": 9, "d": -1}
_LENGTH, _MASS, _TIME = ("length", 1), ("mass", 1), ("time", 1)


class Unit(NamedTuple):
    """A unit as a multiple of base units; or words that are none that we know."""

    factor: Fraction = Fraction(1)
    dimensions: tuple[tuple[str, int], ...] = ()
    words: str = ""


class Quantity(NamedTuple):
    """A number as it is written, and its unit."""

    number: str
    unit: Unit | None


def _table() -> dict[str, Unit]:
    table: dict[str, Unit] = {}

    def add(names: str, factor: Fraction | int | str, *dimensions: tuple[str, int]) -> None:
        for name in names.split():
            table[name] = Unit(Fraction(factor), dimensions)

    for short, long, dimension, scale in (
        ("m", "meter metre", _LENGTH, Fraction(1)),
        ("g", "gram gramme", _MASS, Fraction(1, 1000)),
        ("s", "second", _TIME, Fraction(1)),
        ("L l", "liter litre", ("length", 3), Fraction(1, 1000)),
        ("W", "watt", ("power", 1), Fraction(1)),
        ("J", "joule", ("energy", 1), Fraction(1)),
        ("N", "newton", ("force", 1), Fraction(1)),
        ("Pa", "pascal", ("pressure", 1), Fraction(1)),
        ("V", "volt", ("voltage", 1), Fraction(1)),
        ("A", "ampere amp", ("current", 1), Fraction(1)),
        ("Hz", "hertz", ("frequency", 1), Fraction(1)),
        ("Ω", "ohm", ("resistance", 1), Fraction(1)),
        ("mol", "mole", ("amount", 1), Fraction(1)),
    ):
        add(short, scale, dimension)
        add(f"{long} {' '.join(f'{name}s' for name in long.split())}", scale, dimension)
        for prefix, power in _PREFIXES.items():
            for name in short.split():
                add(prefix + name, scale * Fraction(10) ** power, dimension)
        for prefix, power in (
            ("kilo", 3),
            ("centi", -2),
            ("milli", -3),
            ("micro", -6),
            ("mega", 6),
        ):
            for name in long.split():
                add(f"{prefix}{name} {prefix}{name}s", scale * Fraction(10) ** power, dimension)
    add("sec secs", 1, _TIME)
    add("min mins minute minutes", 60, _TIME)
    add("h hr hrs hour hours", 3600, _TIME)
    add("day days", 86400, _TIME)
    add("week weeks", 7 * 86400, _TIME)
    add("year years yr yrs", 1, ("years", 1))
    add("month months", 1, ("months", 1))
    add("t ton tons tonne tonnes", 1000, _MASS)
    add("in inch inches", "0.0254", _LENGTH)
    add("ft foot feet", "0.3048", _LENGTH)
    add("yd yard yards", "0.9144", _LENGTH)
    add("mi mile miles", "1609.344", _LENGTH)
    add("mph", Fraction("1609.344") / 3600, _LENGTH, ("time", -1))
    add("kph kmph", Fraction(1000, 3600), _LENGTH, ("time", -1))
    add("lb lbs pound pounds", "0.45359237", _MASS)
    add("oz ounce ounces", "0.028349523125", _MASS)
    add("% percent percents pct", Fraction(1, 100), ("%", 1))
    add("° deg degs degree degrees", 1, ("degrees", 1))
    add("rad radian radians", 1, ("radians", 1))
    add("°C ℃ celsius", 1, ("celsius", 1))
    add("°F ℉ fahrenheit", 1, ("fahrenheit", 1))
    add("K kelvin", 1, ("kelvin", 1))
    add("$ dollar dollars USD usd", 1, ("dollars", 1))
    add("cent cents ¢", Fraction(1, 100), ("dollars", 1))
    add("€ euro euros EUR", 1, ("euros", 1))
    add("£ GBP", 1, ("pounds sterling", 1))
    add("¥ yen JPY", 1, ("yen", 1))
    add("元 yuan RMB CNY", 1, ("yuan", 1))
    add("unit units", 1, ("units", 1))
    return table


UNITS = _table()
"""Name of a unit -> what it is. The prefix of "m" is told from metres by what it stands before."""

TEMPERATURES = frozenset(("celsius", "fahrenheit", "kelvin"))
RATIOS = frozenset(("%", "degrees"))
"""What is also written as a plain number."""

_MONEY = re.compile(r"(?P<sign>-?)(?P<unit>[$€£¥]|USD|EUR|GBP) ?(?P<number>[\d.,\\].*)")
_NUMBER = re.compile(
    r"(?P<number>(?:[^A-Za-z%°$€£¥¢µΩ℃℉元\\]|\\(?:frac|sqrt|pi|cdot|times)(?![A-Za-z]))*(?:[\d})]|\\pi))"
    r"(?P<space> ?)(?P<unit>[A-Za-z%°$€£¥¢µΩ℃℉元](?:[A-Za-z%°µΩ /^{}\d.-]|\\cdot )*)"
)
_FACTOR = re.compile(r"([A-Za-z%°$€£¥¢µΩ℃℉元]+)\.?(?:\^?\{?(-?\d)\}?)?")


def quantity(text: str, *, attached: bool = False) -> Quantity | None:
    """The number and the unit of a text; None if it is not a number with a unit.

    Args:
        text: As `written` leaves it.
        attached: Whether a letter without a space before it is a unit: 5m, which else is 5 times m.
    """
    if money := _MONEY.fullmatch(text):
        return Quantity(money["sign"] + money["number"], UNITS[money["unit"]])
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    unit = _unit(found["unit"])
    variable = len(found["unit"]) == 1 and found["unit"].isalpha() and not found["space"]
    product = unit.words and (not found["space"] or not re.search(r"[A-Z]|[a-z]{2}", found["unit"]))
    if product or (variable and not attached):
        return None
    return Quantity(found["number"].strip(), unit)


def _unit(text: str) -> Unit:
    """A product of units, or its words."""
    text = text.strip().rstrip(".")
    plain = re.sub(r"\bsquared\b", "^2", re.sub(r"\bcubed\b", "^3", text))
    plain = re.sub(r"\b(square|sq\.?) (\w+)", r"\2^2", re.sub(r"\b(cubic) (\w+)", r"\2^3", plain))
    plain = re.sub(r"\bdegrees? (celsius|fahrenheit)", r"\1", plain, flags=re.IGNORECASE)
    plain = re.sub(r"° ?([CF])\b", r"°\1", plain)
    above, *below = re.split(r"/| per ", plain)
    factor, dimensions = Fraction(1), dict[str, int]()
    for sign, part in ((1, above), *((-1, part) for part in below)):
        for name in re.sub(r" ?\^", "^", part).replace("\\cdot", " ").split():
            match = _FACTOR.fullmatch(name)
            known = match and (
                UNITS.get(match[1]) or (len(match[1]) > 1 and UNITS.get(match[1].lower()))
            )
            if not match or not known:
                return Unit(words=text.casefold())
            power = sign * int(match[2] or 1)
            factor *= known.factor**power
            for dimension, exponent in known.dimensions:
                dimensions[dimension] = dimensions.get(dimension, 0) + exponent * power
    return Unit(factor, tuple(sorted((d, n) for d, n in dimensions.items() if n)))
