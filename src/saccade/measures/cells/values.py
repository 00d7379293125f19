"""What a reader of code knows of a value: whether it is an image, a part of one, or a number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

Nature = Literal[
    "unknown", "module", "image", "part", "constant", "number", "text", "pen", "plot", "function"
]
"""`image`: pixels as they were given, filtered or not. `part`: another view of them (cut out,
enlarged, turned). `constant`: a number that was written or read off. `number`: one that was
computed. `pen`: what draws on an image. `plot`: axes or a figure."""


class Value(NamedTuple):
    """A value, or the values that a collection holds."""

    nature: Nature
    many: bool = False
    """Whether it is a collection of such values."""
    parts: tuple[Value, ...] = ()
    """The values of a tuple one by one, where they are known."""
    path: str = ""
    """Of a module or what is imported from it: its full name."""
    body: object = None
    """Of a function: its definition."""

    @property
    def is_image(self) -> bool:
        return self.nature in ("image", "part")

    @property
    def is_numeric(self) -> bool:
        return self.nature in ("constant", "number")

    @property
    def one(self) -> Value:
        """What iteration gives."""
        if self.parts:
            return self.parts[0] if len(self.parts) == 1 else joined(self.parts)
        return self._replace(many=False)

    def __bool__(self) -> bool:
        """Whether anything is known of it."""
        return self.nature != "unknown"


UNKNOWN = Value("unknown")
TEXT = Value("text")
NUMBER = Value("number")
CONSTANT = Value("constant")
IMAGE = Value("image")
PART = Value("part")
PLOT = Value("plot")

_ORDER: tuple[Nature, ...] = (
    "part", "image", "plot", "pen", "number", "constant", "text", "function", "module", "unknown",
)  # fmt: skip
"""Of values that come together, the first one says what they are."""


def joined(values: Iterable[Value]) -> Value:
    """What can be said of several values at once."""
    held = sorted(values, key=lambda value: _ORDER.index(value.nature))
    return held[0]._replace(parts=()) if held else UNKNOWN
