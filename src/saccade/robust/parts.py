"""The attacks and signals of a run file, by the names that they have in tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from saccade.config import Part
from saccade.errors import ConfigError

Made = TypeVar("Made")


def named(
    parts: Iterable[Part | str], make: Callable[[Part | str, str], Made], where: str
) -> dict[str, Made]:
    """Name -> what was made; a name is the kind, with the options that were given: pgd(steps=40).

    Raises:
        ConfigError: two have one name, or one cannot be made.
    """
    made: dict[str, Made] = {}
    for part in parts:
        name = name_of(part)
        if name in made:
            raise ConfigError(f"{where}: {name} is named twice")
        made[name] = make(part, where)
    return made


def name_of(part: Part | str) -> str:
    """The kind, with the options that were given."""
    if isinstance(part, str) or not part.options:
        return part if isinstance(part, str) else part.kind
    options = ", ".join(f"{key}={value}" for key, value in part.options.items())
    return f"{part.kind}({options})"
