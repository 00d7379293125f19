"""The rows of a JSON file, one by one: beside its text no more than a row of it is in memory.

    for name, value in elements_of(text, "testmini.json"):
        ...    # the n-th element of a list by n, the value of a key by the key

What is the list of rows: a list, the one list of an object, or an object whose values are objects,
which are called by their keys: `{"1": {"question": ...}}`. Another object is a row itself.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from typing import BinaryIO

from saccade.errors import FormatError

MAX_ELEMENT_BYTES = 64 * 2**20
"""Bytes of an element of a list that is read piece by piece."""
_PIECE = 2**18
_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder(parse_constant=lambda _: math.nan)


def elements_of(text: str, where: str) -> Iterator[tuple[int | str, object]]:
    """The rows of a text in JSON with their numbers, counted from 0, or their keys.

    Raises:
        FormatError: it is no JSON, or neither a list nor an object; names file and character.
    """
    reader = _Reader(text, where)
    start = reader.blank(0)
    match text[start : start + 1]:
        case "[":
            yield from enumerate(value for value, _ in reader.items(start))
        case "{":
            yield from _of_object(reader, start)
        case _:
            value, _ = reader.value(start)
            raise FormatError(f"{where}: expected a list of objects, got {type(value).__name__}")


def _of_object(reader: _Reader, start: int) -> Iterator[tuple[int | str, object]]:
    lists, tables, others = list[int](), False, False
    for _, value, place in reader.pairs(start):
        if isinstance(value, list):
            lists.append(place)
        elif isinstance(value, dict):
            tables = True
        else:
            others = True
    if len(lists) == 1:
        yield from enumerate(value for value, _ in reader.items(lists[0], whole=False))
    elif tables and not others and not lists:
        yield from ((key, value) for key, value, _ in reader.pairs(start))
    else:
        yield 0, reader.value(start)[0]


class _Reader:
    """Values of a text by their places."""

    def __init__(self, text: str, where: str) -> None:
        self._text, self._where = text, where

    def blank(self, at: int) -> int:
        """Where the blanks from here on end."""
        found = _BLANK.match(self._text, at)
        return found.end() if found else at

    def value(self, at: int) -> tuple[object, int]:
        """A value, and where it ends."""
        try:
            return _DECODER.raw_decode(self._text, self.blank(at))
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{self._where}: not JSON ({error})") from error

    def items(self, start: int, *, whole: bool = True) -> Iterator[tuple[object, int]]:
        """The elements of a list and their places; `whole`: nothing may follow the list."""
        at = self.blank(start + 1)
        if self._text[at : at + 1] != "]":
            while True:
                value, end = self.value(at)
                yield value, at
                end = self.blank(end)
                at = end + 1
                if self._next(end, "]"):
                    break
        else:
            at += 1
        self._end(at, whole=whole)

    def pairs(self, start: int) -> Iterator[tuple[str, object, int]]:
        """Key, value and its place of an object, after which nothing may follow."""
        at = self.blank(start + 1)
        if self._text[at : at + 1] == "}":
            return self._end(at + 1, whole=True)
        while True:
            key, end = self.value(at)
            colon = self.blank(end)
            if not isinstance(key, str) or self._text[colon : colon + 1] != ":":
                raise self._wrong(at, "expected a key and a colon")
            place = self.blank(colon + 1)
            value, end = self.value(place)
            yield key, value, place
            end = self.blank(end)
            at = self.blank(end + 1)
            if self._next(end, "}"):
                return self._end(at, whole=True)

    def _next(self, at: int, closing: str) -> bool:
        """Whether a list or object ends here; otherwise it goes on."""
        found = self._text[at : at + 1]
        if found not in (",", closing) or not found:
            raise self._wrong(at, f"expected a comma or {closing}")
        return found == closing

    def _end(self, at: int, *, whole: bool) -> None:
        if whole and self.blank(at) < len(self._text):
            raise self._wrong(self.blank(at), "expected the end of the file")

    def _wrong(self, at: int, what: str) -> FormatError:
        return FormatError(f"{self._where}: not JSON ({what} at character {at})")


def stream_elements(file: BinaryIO, where: str) -> Iterator[object]:
    """The elements of a list in JSON, of which no more than one is in memory.

    Args:
        file: Open for reading, at the beginning of its text in UTF-8.
        where: What it is called in messages.

    Raises:
        FormatError: it is no list of JSON; names the file and the number of the element.
    """
    stream = _Stream(file, where)
    if stream.next() != "[":
        raise FormatError(f"{where}: expected a list of objects in JSON")
    number = 0
    if stream.peek() == "]":
        stream.next()
    else:
        while True:
            yield stream.value(f"{where}: row {number}")
            number += 1
            following = stream.next()
            if following == "]":
                break
            if following != ",":
                raise FormatError(f"{where}: row {number}: not JSON (expected a comma or ])")
    if stream.peek():
        raise FormatError(f"{where}: not JSON (something follows the end of the list)")


class _Stream:
    """A text that is read as it is needed."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file, self._where = file, where
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._at, self._ended = "", 0, False

    def peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            found = _BLANK.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._read(_PIECE)

    def next(self) -> str:
        """The same, which is then behind us."""
        character = self.peek()
        self._at += len(character)
        return character

    def value(self, where: str) -> object:
        """The next value: an object, whose end cannot be mistaken.

        Each attempt has twice the text of the one before, so that all of them together cost a few
        times the last one.
        """
        if self.peek() != "{":
            raise FormatError(f"{where}: expected an object")
        while True:
            try:
                value, self._at = _DECODER.raw_decode(self._text, self._at)
                return value
            except RecursionError as error:
                raise FormatError(f"{where}: not JSON ({error})") from error
            except ValueError as error:
                held = len(self._text) - self._at
                if self._ended:
                    raise FormatError(f"{where}: not JSON ({error})") from error
                if held > MAX_ELEMENT_BYTES:
                    raise FormatError(
                        f"{where}: not JSON, or an object of more than {MAX_ELEMENT_BYTES} bytes"
                    ) from error
                self._read(max(_PIECE, held))

    def _read(self, size: int) -> None:
        data = self._file.read(size)
        self._ended = not data
        try:
            more = self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise FormatError(f"{self._where}: expected UTF-8 ({error.reason})") from error
        self._text, self._at = self._text[self._at :] + more, 0
