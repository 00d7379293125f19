"""Lines put into a run file that a person wrote: what they do not change stays byte for byte.

    text = with_lines(text, {"environment.coords": "relative_1000", "policy.omit": ["seed"]})

A key that is there gets its new value, wherever it stands: in a section, as a dotted key, in an
inline table. One that is not there follows its neighbours. The result is read again and compared
with what it must say, so that a file in a form that is not foreseen is refused and not damaged.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from saccade.cli.reference.values import toml
from saccade.config import MAX_FILE_BYTES, Table, read_toml
from saccade.errors import ConfigError
from saccade.files import read_whole, write_whole

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_TITLE = re.compile(r"(?:#[^\n]*\n)*")
_SPACE = re.compile(r"[ \t]*")
_PLAIN = re.compile(r"[^,\]}#\r\n]*")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)


class Entry(NamedTuple):
    """An assignment."""

    path: tuple[str, ...]
    """The whole key, the section's included."""
    section: tuple[str, ...] | None
    """The section that it stands in; None inside of an inline table."""
    start: int
    """Where its value begins."""
    end: int
    """Where its value ends."""
    inline: bool = False
    """Whether the value is an inline table."""
    filled: int = 0
    """Where the last value of an inline table ends; its opening if it is empty."""


class Head(NamedTuple):
    """A line that begins a section."""

    path: tuple[str, ...]
    end: int


def write_lines(file: Path, lines: Mapping[str, JsonValue], *, begin: Table) -> None:
    """Put lines into a run file; one that is not there is begun.

    Args:
        file: The run file.
        lines: Dotted keys and their values.
        begin: Dotted keys and values that a new file has before them.

    Raises:
        ConfigError: the file cannot be read or is no TOML, or is in a form that the lines cannot
            be put into; it is as it was.
        StoreError: it cannot be written; it is as it was.
    """
    check_writable(file)
    file = file.resolve()  # of a link, the file behind it
    if not file.exists():
        write_whole(file, with_lines("", {**begin, **lines}).encode())
        return
    text = read_whole(file, most=MAX_FILE_BYTES).decode()
    write_whole(file, with_lines(text, lines, where=str(file)).encode())


def check_writable(file: Path) -> None:
    """Find out whether lines can be put into a run file, before they are asked for.

    Raises:
        ConfigError: it is no TOML, or its folder is not there.
    """
    if file.exists():
        read_toml(file)
    elif not file.resolve().parent.is_dir():
        raise ConfigError(f"{file}: its folder is not there")


def with_lines(text: str, lines: Mapping[str, JsonValue], *, where: str = "run file") -> str:
    """The text of a run file with lines put into it.

    Raises:
        ConfigError: its form is not foreseen; the message holds the lines.
    """
    wanted: Table = tomllib.loads(text)
    new = text
    for key, value in lines.items():
        _set(wanted, key.split("."), value, where)
        new = _with_line(new, tuple(key.split(".")), toml(value))
    try:
        done = tomllib.loads(new) == wanted
    except tomllib.TOMLDecodeError:
        done = False
    if not done:
        listed = "\n  ".join(f"{key} = {toml(value)}" for key, value in lines.items())
        raise ConfigError(f"{where}: cannot be changed in its form; put in by hand\n  {listed}")
    return new


def _set(table: Table, keys: list[str], value: JsonValue, where: str) -> None:
    for key in keys[:-1]:
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{where}: {key!r} is a value, not a section")
        table = inner
    table[keys[-1]] = value


def _with_line(text: str, path: tuple[str, ...], value: str) -> str:
    entries, heads = _scan(text)
    for entry in entries:
        if entry.path == path:
            return text[: entry.start] + value + text[entry.end :]
    for entry in sorted(entries, key=lambda e: -len(e.path)):
        if entry.inline and path[: len(entry.path)] == entry.path:
            comma = " " if text[entry.filled - 1] == "{" else ", "
            line = f"{comma}{'.'.join(path[len(entry.path) :])} = {value}"
            close = "" if text[entry.filled] in " \t" else " "
            return text[: entry.filled] + line + close + text[entry.filled :]
    holding = [head for head in heads if path[: len(head.path)] == head.path]
    section = max(holding, key=lambda head: len(head.path), default=Head((), 0))
    return _with_new_line(text, path, value, section, entries)


def _with_new_line(
    text: str, path: tuple[str, ...], value: str, section: Head, entries: list[Entry]
) -> str:
    """A line after the last one of its section that has the most keys in common with it."""
    newline = "\r\n" if "\r\n" in text else "\n"
    line = f"{'.'.join(path[len(section.path) :])} = {value}{newline}"
    inside = [entry for entry in entries if entry.section == section.path]
    nearest = max(inside, key=lambda e: (_shared(e.path, path), e.end), default=None)
    if nearest is not None:
        at = _next_line(text, nearest.end)
    elif section.path:
        at = _next_line(text, section.end)
    else:
        at = _after(_TITLE, text, 0)
    gap = newline if at and text[at - 1] != "\n" else ""
    return text[:at] + gap + line + text[at:]


def _next_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    number = 0
    while number < min(len(one), len(other)) and one[number] == other[number]:
        number += 1
    return number


def _scan(text: str) -> tuple[list[Entry], list[Head]]:
    """Every assignment and every section of TOML that is known to be valid."""
    entries: list[Entry] = []
    heads: list[Head] = []
    section: tuple[str, ...] = ()
    at = _after(_BLANK, text, 0)
    while at < len(text):
        if text[at] == "[":
            many = text.startswith("[[", at)
            path, at = _key(text, at + 1 + many)
            at += 1 + many
            section = (*path, "[]") if many else path
            heads.append(Head(section, at))
        else:
            entry, inner = _assignment(text, at, section, section)
            entries += [entry, *inner]
            at = entry.end
        at = _after(_BLANK, text, at)
    return entries, heads


def _assignment(
    text: str, at: int, before: tuple[str, ...], section: tuple[str, ...] | None
) -> tuple[Entry, list[Entry]]:
    """The assignment that begins here, and those inside of it."""
    key, at = _key(text, at)
    start = _after(_SPACE, text, at + 1)  # behind the equals sign
    path = (*before, *key)
    if text[start] != "{":
        return Entry(path, section, start, _value_end(text, start)), []
    inner: list[Entry] = []
    filled, at = start + 1, _after(_BLANK, text, start + 1)
    while text[at] != "}":
        entry, more = _assignment(text, at, path, None)
        inner += [entry, *more]
        filled, at = entry.end, _after(_BLANK, text, entry.end)
        if text[at] == ",":
            at = _after(_BLANK, text, at + 1)
    return Entry(path, section, start, at + 1, inline=True, filled=filled), inner


def _key(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """A dotted key, and what follows it."""
    parts: list[str] = []
    while True:
        at = _after(_SPACE, text, at)
        if text[at] in "\"'":
            end = _string_end(text, at)
            parts.append(str(tomllib.loads(f"k = {text[at:end]}")["k"]))
        else:
            end = _after(_BARE, text, at)
            parts.append(text[at:end])
        at = _after(_SPACE, text, end)
        if text[at] != ".":
            return tuple(parts), at
        at += 1


def _value_end(text: str, at: int) -> int:
    if text[at] in "\"'":
        return _string_end(text, at)
    if text[at] not in "[{":
        return at + len(text[at : _after(_PLAIN, text, at)].rstrip())
    close = "]" if text[at] == "[" else "}"
    if close == "}":
        return _assignment_end(text, at)
    at = _after(_BLANK, text, at + 1)
    while text[at] != close:
        at = _after(_BLANK, text, _value_end(text, at))
        if text[at] == ",":
            at = _after(_BLANK, text, at + 1)
    return at + 1


def _assignment_end(text: str, at: int) -> int:
    """The end of an inline table in a list."""
    at = _after(_BLANK, text, at + 1)
    while text[at] != "}":
        entry, _ = _assignment(text, at, (), None)
        at = _after(_BLANK, text, entry.end)
        if text[at] == ",":
            at = _after(_BLANK, text, at + 1)
    return at + 1


def _string_end(text: str, at: int) -> int:
    return next(found.end() for form in _STRINGS if (found := form.match(text, at)))


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
