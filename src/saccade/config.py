"""From a TOML run file and `key=value` overrides to frozen records; from names to objects.

Every mistake is answered with the place, what came, and the nearest thing that exists:

    policy.base_ul: unknown key; did you mean 'base_url'?
"""

from __future__ import annotations

import difflib
import importlib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, ValidationError

from saccade.errors import ConfigError, FormatError, MissingExtra
from saccade.files import read_whole, text_of
from saccade.untrusted.secrets import is_secret, names_secret

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)
Table = dict[str, JsonValue]

MAX_FILE_BYTES = 4 * 2**20

_UNQUOTED = re.compile(
    r"(?P<section>reward\.weights|tools)\.(?P<name>[\w.]+:\w+)(?P<rest>(\.[\w.]+)?=.*)", re.DOTALL
)
"""A setting of a part of the user's own, in the sections whose keys are names, without quotes."""


class Part(BaseModel):
    """A choice and its options: `{ kind = "...", option = ... }`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str

    @property
    def options(self) -> dict[str, JsonValue]:
        return dict(self.model_extra or {})


def _as_parts(value: object) -> object:
    listed = value if isinstance(value, list | tuple) else [value]
    return [{"kind": part} if isinstance(part, str) else part for part in listed]


Parts = Annotated[tuple[Part, ...], BeforeValidator(_as_parts)]
"""One part or a list of them; a part without options may be given by its name alone."""


def read_toml(path: Path) -> Table:
    """The content of a run file.

    Raises:
        ConfigError: it cannot be read, is too large, or is no TOML.
    """
    try:
        data = read_whole(path, most=MAX_FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return tomllib.loads(text_of(data, path))
    except FormatError as error:
        raise ConfigError(str(error)) from error
    # Of numbers of thousands of digits, and of lists in lists without end, Python says so itself.
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def with_overrides(table: Table, overrides: Iterable[str]) -> Table:
    """A copy with `key.path=value` applied.

    Keys are TOML keys: a part with dots or colons in it is quoted, as in
    `reward.weights."my.module:term"=0.5`. Values are TOML, or else plain text.

    Raises:
        ConfigError: an override that is no `key=value`, or a path through something that is no
            table.
    """
    merged = _copied(table)
    for override in overrides:
        keys, value = _parted(override)
        place = merged
        for key in keys[:-1]:
            inner = place.setdefault(key, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{override!r}: {key!r} is a value, not a section")
            place = inner
        place[keys[-1]] = _value(value.strip())
    return merged


def _parted(override: str) -> tuple[list[str], str]:
    """The keys of an override, and the text of its value.

    Raises:
        ConfigError: it is no `key=value`; where quotes are missing, with the line that has them.
    """
    key, found, value = override.partition("=")
    while found:
        if keys := _keys(key):
            return keys, value
        if not {'"', "'"} & set(key):
            break
        more, found, value = value.partition("=")  # a quoted key may hold an equals sign itself
        key = f"{key}={more}"
    if bare := _UNQUOTED.match(override):
        line = f'{bare["section"]}."{bare["name"]}"{bare["rest"]}'
        raise ConfigError(
            f"{override!r}: a name with dots or colons is quoted, and the shell takes quotes away "
            f"that are not quoted themselves; write '{line}', single quotes included"
        )
    raise ConfigError(f"{override!r}: expected key=value or section.key=value")


def _keys(text: str) -> list[str]:
    """The parts of a dotted TOML key; empty if it is none."""
    if "\n" in text or "\r" in text:
        return []
    try:
        place: object = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return []
    keys: list[str] = []
    while isinstance(place, dict):
        (key, place), *others = place.items()
        if others:
            return []
        keys.append(key)
    return keys if all(keys) else []


def validate(model: type[Model], table: Mapping[str, JsonValue], where: str = "") -> Model:
    """A record from a table.

    Raises:
        ConfigError: names every wrong key, with the nearest right one.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        prefix = f"{where}." if where else ""
        raise ConfigError("\n".join(prefix + line for line in explain(model, error))) from error


def explain(model: type[BaseModel], error: ValidationError) -> list[str]:
    """What is wrong with the content of a record, a line for each mistake: `place: what`."""
    return [_explain(model, item) for item in error.errors()]


MAX_NAMED = 16
"""Number of names that a message lists."""


def resolve(name: str, built_in: Mapping[str, str], what: str) -> object:
    """The object behind a built-in name, or behind "package.module:Name".

    A module of the user's own is looked for as by any import, in the order of `sys.path`: beside
    what is installed, the command line appends the current folder and then the folder of the run
    file. Appended, not put first: a `random.py` there hides no other module.

    Raises:
        ConfigError: there is no such name; the message holds the nearest one.
        MissingExtra: the module needs an optional dependency.
    """
    target = built_in.get(name, name)
    module_name, colon, attribute = target.partition(":")
    if not colon:
        hint = suggestion(name, built_in)
        known = f"built in are {', '.join(sorted(built_in))}"
        if len(built_in) > MAX_NAMED:
            known = f"saccade keys {what} lists the {len(built_in)} that are built in"
        raise ConfigError(
            f"{what}: there is no {name!r}{hint or ';'} {known}, your own is 'package.module:Name'"
        )
    try:
        module = importlib.import_module(module_name)
    except MissingExtra:
        raise
    except ImportError as error:
        lacking = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing := MissingExtra.of(lacking):
            raise missing from error
        root = module_name.partition(".")[0]
        where = "; modules are found in the current folder and beside the run file"
        raise ConfigError(
            f"{what}: {target!r} cannot be imported: {error}{where if lacking == root else ''}"
        ) from error
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


def check_choice(where: str, value: object, choices: Sequence[object]) -> None:
    """An argument of the Python API is one of a few: types are not looked at when it is called.

    Raises:
        ConfigError: it is none of them; names the nearest.
    """
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return
    known = ", ".join(map(repr, choices))
    near = suggestion(value.lower(), map(str, choices)) if isinstance(value, str) else ""
    raise ConfigError(f"{where}: expected one of {known}, got {str(value)[:60]!r}{near}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _explain(model: type[BaseModel], item: ErrorDetails) -> str:
    loc, message = item["loc"], item["msg"]
    place = ".".join(str(part) for part in loc) or "run file"
    if item["type"] == "extra_forbidden":
        fields = _fields_at(model, loc[:-1])
        return f"{place}: unknown key{suggestion(str(loc[-1]), fields)}"
    if item["type"] == "missing":
        return f"{place}: missing"
    came = item["input"]
    short = isinstance(came, int | float) or (isinstance(came, str) and len(came) <= 80)
    got = ""
    if short and item["type"] != "value_error":
        secret = any(names_secret(str(part)) for part in loc) or is_secret(str(came))
        got = "" if secret else f", got {came!r}"
    return f"{place}: {message[:1].lower()}{message[1:]}{got}"


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
    except (ValueError, RecursionError):  # thousands of digits or brackets, too
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _copied(table: Table) -> Table:
    return {k: _copied(v) if isinstance(v, dict) else v for k, v in table.items()}
