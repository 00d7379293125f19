"""The attacks and signals of a run file, by the names that they have in tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from pydantic_core import PydanticCustomError

from saccade.config import Part, suggestion
from saccade.errors import ConfigError

Made = TypeVar("Made")
Parts = TypeVar("Parts", bound="tuple[str | Part, ...] | str | Part")


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


def known(built_in: Mapping[str, str]) -> Callable[[Parts], Parts]:
    """A check of the names in a run file, before anything that they name is imported.

    Of a "package.module:Name" nothing is known before it is.
    """

    def check(parts: Parts) -> Parts:
        names: list[str] = []
        for part in parts if isinstance(parts, tuple) else (parts,):
            kind, name = part if isinstance(part, str) else part.kind, name_of(part)
            if kind not in built_in and ":" not in kind:
                raise _wrong(
                    f"there is no {kind[:60]!r}{suggestion(kind, built_in)}; built in are "
                    f"{', '.join(built_in)}, your own is 'package.module:Name'"
                )
            if name in names:
                raise _wrong(f"{name} is named twice")
            names.append(name)
        return parts

    return check


def _wrong(text: str) -> PydanticCustomError:
    return PydanticCustomError("name", "{text}", {"text": text})


def name_of(part: Part | str) -> str:
    """The kind, with the options that were given."""
    if isinstance(part, str) or not part.options:
        return part if isinstance(part, str) else part.kind
    options = ", ".join(f"{key}={value}" for key, value in part.options.items())
    return f"{part.kind}({options})"
