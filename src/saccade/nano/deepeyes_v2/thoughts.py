"""What the second base says before it acts: where something is, how wide, and what it says.

The corpus of the base and the teacher of its cold start write these sentences; skills are measured
by reading them back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from saccade.images.geometry import Box

LEGIBLE = 9
"""Width in pixels of the view above which what is written on something is read at once. Small
things are at most 5 wide, large ones at least 16."""

_LOCATED = re.compile(
    r"The (\w+) (?:object|plate) is at \[(\d+), (\d+), (\d+), (\d+)\], (\d+) pixels wide\."
)
_SAYS = re.compile(r"It says (\d+)\.")


def located(noun: str, colour: str, box: Sequence[int]) -> str:
    """Where the asked thing is, and how wide; `noun` is "object" or "plate"."""
    place = ", ".join(map(str, box))
    return f"The {colour} {noun} is at [{place}], {box[2] - box[0]} pixels wide."


def says(number: int) -> str:
    """The number on a plate."""
    return f"It says {number}."


def reads(digit: int) -> str:
    """The digit in a crop."""
    return f"I read {digit}."


def fact(attribute: str, value: int) -> str:
    """What a document told."""
    return f"Its {attribute} is {value}."


def added(a: int, b: int) -> str:
    """Two numbers of two digits added column by column: the units, then the tens with the carry."""
    units = a % 10 + b % 10
    carry, tens = units // 10, a // 10 + b // 10 + units // 10
    more = " plus 1" if carry else ""
    return f"{a % 10} plus {b % 10} is {units}. {a // 10} plus {b // 10}{more} is {tens}."


def result(printed: str) -> str:
    """What a cell printed."""
    return f"The result is {printed}."


class Located(NamedTuple):
    """A thing as a thought places it, in pixels of the view."""

    colour: str
    box: Box
    width: int


def located_in(thought: str) -> list[Located]:
    """Every thing that a thought places, in order."""
    return [
        Located(found[1], Box(*map(int, found.groups()[1:5])), int(found[6]))
        for found in _LOCATED.finditer(thought)
    ]


def said_in(thought: str) -> list[int]:
    """Every number that a thought reads from a plate, in order."""
    return [int(number) for number in _SAYS.findall(thought)]
