"""From a TOML run file and `key=value` overrides to frozen records; from names to objects.

Every mistake is answered with the place, what came, and the nearest thing that exists:

    policy.base_ul: unknown key; did you mean 'base_url'?
"""

from __future__ import annotations

import difflib
import importlib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from saccade.errors import ConfigError, MissingExtra

Model = TypeVar("Model", bound=BaseModel)
Table = dict[str, JsonValue]

MAX_FILE_BYTES = 4 * 2**20


class Part(BaseModel):
    """A choice and its options: `{ kind = "...", option = ... }`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str

    @property
    def options(self) -> dict[str, JsonValue]:
        return dict(self.model_extra or {})


def read_toml(path: Path) -> Table:
    """The content of a run file.

    Raises:
        ConfigError: it cannot be read, is too large, or is no TOML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: a run file of more than {MAX_FILE_BYTES} bytes")
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def with_overrides(table: Table, overrides: Iterable[str]) -> Table:
    """A copy with `key.path=value` applied; values are TOML, or else plain text.

    Raises:
        ConfigError: an override without `=`, or a path through something that is no table.
    """
    merged = _copied(table)
    for override in overrides:
        path, found, value = override.partition("=")
        keys = path.strip().split(".")
        if not found or not all(keys):
            raise ConfigError(f"{override!r}: expected key=value or section.key=value")
        place = merged
        for key in keys[:-1]:
            inner = place.setdefault(key, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{override!r}: {key!r} is a value, not a section")
            place = inner
        place[keys[-1]] = _value(value.strip())
    return merged


def validate(model: type[Model], table: Mapping[str, JsonValue], where: str = "") -> Model:
    """A record from a table.

    Raises:
        ConfigError: names every wrong key, with the nearest right one.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        lines = [_explain(model, item["loc"], item["type"], item["msg"]) for item in error.errors()]
        prefix = f"{where}." if where else ""
        raise ConfigError("\n".join(prefix + line for line in lines)) from error


def resolve(name: str, built_in: Mapping[str, str], what: str) -> object:
    """The object behind a built-in name, or behind "package.module:Name".

    Raises:
        ConfigError: there is no such name; the message holds the nearest one.
        MissingExtra: the module needs an optional dependency.
    """
    target = built_in.get(name, name)
    module_name, colon, attribute = target.partition(":")
    if not colon:
        known = ", ".join(sorted(built_in))
        hint = suggestion(name, built_in)
        raise ConfigError(
            f"{what}: there is no {name!r}{hint}; built in are {known}, your own is "
            "'package.module:Name'"
        )
    try:
        module = importlib.import_module(module_name)
    except MissingExtra:
        raise
    except ImportError as error:
        raise ConfigError(f"{what}: {target!r} cannot be imported: {error}") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        hint = suggestion(attribute, vars(module))
        raise ConfigError(f"{what}: {module_name} has no {attribute!r}{hint}") from None


def build(part: Part | str, built_in: Mapping[str, str], where: str) -> object:
    """The object that a part of a run file names, made from the options of the part.

    A record is validated from its options; another class says what it takes in `Options`.

    Raises:
        ConfigError: there is no such name, it is no class, or an option is wrong.
        MissingExtra: the module needs an optional dependency.
    """
    part = Part(kind=part) if isinstance(part, str) else part
    made, options = resolve(part.kind, built_in, where), part.options
    if not isinstance(made, type):
        raise ConfigError(f"{where}: {made!r} is no class")
    if issubclass(made, BaseModel):
        return validate(made, options, where)
    make = cast(Callable[..., object], made)
    wanted = getattr(made, "Options", None)
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return make(validate(wanted, options, where))
    if options:
        raise ConfigError(f"{where}: {made.__name__} takes no options, got {', '.join(options)}")
    return make()


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _explain(model: type[BaseModel], loc: Sequence[int | str], kind: str, message: str) -> str:
    place = ".".join(str(part) for part in loc) or "run file"
    if kind == "extra_forbidden":
        fields = _fields_at(model, loc[:-1])
        return f"{place}: unknown key{suggestion(str(loc[-1]), fields)}"
    if kind == "missing":
        return f"{place}: missing"
    return f"{place}: {message[:1].lower()}{message[1:]}"


def _fields_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """The keys that are known at a place of a nested model."""
    models = [model]
    for part in loc:
        annotations = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        models = [found for annotation in annotations for found in _models_in(annotation)]
    return [name for found in models for name in found.model_fields]


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, tuple, list, dict) or get_args(annotation):
        return [found for inner in get_args(annotation) for found in _models_in(inner)]
    return []


def _value(text: str) -> JsonValue:
    """`3`, `true`, `[1, 2]` and `"3"` as TOML reads them; what is no TOML is plain text."""
    try:
        parsed: Table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _copied(table: Table) -> Table:
    return {k: _copied(v) if isinstance(v, dict) else v for k, v in table.items()}
