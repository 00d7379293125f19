"""Types and defaults of fields, in the words of a run file."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import (
    Annotated,
    Literal,
    NamedTuple,
    TypeGuard,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

from saccade.config import Part, Table

WORDS: dict[object, str] = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    JsonValue: "value",
}
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "multiple of"}


def fields_of(model: type) -> dict[str, FieldInfo]:
    """The fields of a model or of a dataclass."""
    if issubclass(model, BaseModel):
        return dict(model.model_fields)
    assert is_dataclass(model)
    hints = get_type_hints(model)
    return {
        field.name: FieldInfo.from_annotated_attribute(hints[field.name], field.default)
        for field in fields(model)
    }


class Default(NamedTuple):
    """What holds where a key is left out."""

    text: str
    """As TOML writes it; empty where nothing is said."""
    table: Table | None
    """The default of a table, key by key; None where the default is no table."""


def default_of(field: FieldInfo, given: JsonValue) -> Default | None:
    """The default of a field; None if it must be given.

    Args:
        field: Of a model.
        given: The default that the model around it has for the field; None where it has none.
    """
    if given is None and field.is_required():
        return None
    value = field.get_default(call_default_factory=True) if given is None else given
    if isinstance(value, BaseModel) and not isinstance(value, Part):
        return Default("", value.model_dump(mode="json"))
    plain = _plain(value)
    table = plain if isinstance(plain, dict) else None
    return Default("" if plain is None else toml(plain), table)


def toml(value: JsonValue) -> str:
    """A value as a run file would say it."""
    if isinstance(value, dict):
        inside = ", ".join(f"{name} = {toml(item)}" for name, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        # In a list a part without options may be given by its name.
        items = (item["kind"] if _is_name(item) else item for item in value)
        return f"[{', '.join(map(toml, items))}]"
    return f"{value!r}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _is_name(value: JsonValue) -> TypeGuard[Table]:
    return isinstance(value, dict) and set(value) == {"kind"}


def _plain(value: object) -> JsonValue:
    """A default as TOML could hold it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    assert value is None or isinstance(value, str | int | float | bool)
    return value


def type_of(annotation: object, limits: Sequence[object] = ()) -> str:
    """A type in words, with the limits of its values: `integer >= 1`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_of(inner[0], [*inner[1:], *limits])
    if origin in (Union, types.UnionType):
        each = [type_of(one, limits) for one in inner if one is not type(None)]
        return " or ".join(dict.fromkeys(each))
    if origin is Literal:
        return " or ".join(json.dumps(value) for value in inner)
    if origin in (tuple, list):
        return f"list of {type_of(inner[0])}"
    if origin is dict:
        several = " or ".join(f"{one}s" for one in type_of(inner[1]).split(" or "))
        return "table" if inner[1] is JsonValue else f"table of {several}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(json.dumps(member.value) for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return "part"
    if is_open(annotation):
        return "number or table"  # a term of a reward
    bounds = [f"{sign} {value}" for sign, value in _bounds(limits)]
    return " ".join([WORDS.get(annotation, "table"), " and ".join(bounds)]).rstrip()


def model_in(annotation: object) -> type | None:
    """The model or dataclass whose keys stand under a key, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return None if is_open(annotation) else annotation
    if isinstance(annotation, type) and is_dataclass(annotation):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType):
        found = [model for one in get_args(annotation) if (model := model_in(one))]
        return found[0] if found else None
    return None


def is_open(made: object) -> bool:
    """Whether it takes any key, as a part does, whose options depend on its kind."""
    if not (isinstance(made, type) and issubclass(made, BaseModel)):
        return False
    return made.model_config.get("extra") == "allow"


def _bounds(limits: Sequence[object]) -> list[tuple[str, object]]:
    return [
        (sign, getattr(limit, name))
        for limit in limits
        for name, sign in BOUNDS.items()
        if hasattr(limit, name)
    ]
