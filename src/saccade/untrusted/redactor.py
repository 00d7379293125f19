"""Keys taken out of whatever a server sends, however it writes them.

    hide = Redactor({"OPENAI_API_KEY": "sk-12345678"})
    hide("Incorrect key: sk-12345678")        # "Incorrect key: [the key of OPENAI_API_KEY]"

What this guarantees: a secret that a server sends back as a whole is replaced, as it is, in letters
of any case, backwards, with spaces or what shows nothing between its letters, percent-encoded,
escaped as in JSON, HTML or Python, as hex, and within base64. What it does not: a server that was
given a secret has it, and can hide it in ways of its own (in another alphabet, word by word). What
may be an answer is no secret: less than `SHORTEST` characters, a short word or number, and what
local servers are given for a key, such as "EMPTY".
"""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from saccade.untrusted.secrets import SHORTEST

SHORTEST_WORD, SHORTEST_NUMBER = 8, 12
"""Number of characters of a secret of letters only, and of digits only."""
SHORTEST_PART = 8
"""Number of characters of a word in a header's value that is a secret of its own: not "Bearer"."""
_PLACEHOLDERS = {"lm-studio", "not-needed", "sk-no-key-required"}
"""Keys that are none. Source: LM Studio docs, "OpenAI compatibility"; llama.cpp, tools/server."""


class Redactor:
    """Puts a mark in place of secrets, in whatever a server sends.

    Args:
        secrets: Name of a variable -> its value, or a header's value that holds it.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._patterns = [
            (re.compile("|".join(_ways(secret))), f"[the key of {name}]")
            for name, value in secrets.items()
            for secret in sorted(_parts(value), key=len, reverse=True)
        ]

    def __call__(self, text: str) -> str:
        """The text with a mark in place of each secret; it takes time by the length of the text."""
        folded = _Folded(text) if self._patterns else None
        for pattern, mark in self._patterns:
            assert folded is not None
            places = [folded.place(*found.span()) for found in pattern.finditer(folded.text)]
            if places:
                ends = [0, *(end for _, end in places)]
                starts = [*(start for start, _ in places), len(text)]
                text = mark.join(text[a:b] for a, b in zip(ends, starts, strict=True))
                folded = _Folded(text)
        return text

    def content(self, data: bytes) -> bytes:
        """The same for the bytes of a body; those without a secret stay as they are."""
        text = data.decode(errors="surrogateescape")
        hidden = self(text)
        return data if hidden == text else hidden.encode(errors="surrogateescape")

    def value(self, value: JsonValue) -> JsonValue:
        """The same for JSON, names of fields included."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        if isinstance(value, dict):
            return {self(key): self.value(inner) for key, inner in value.items()}
        return value

    def has_hidden(self, text: str) -> bool:
        """Whether a text holds a mark."""
        return any(mark in text for _, mark in self._patterns)


def _parts(value: str) -> set[str]:
    """A value, its words, and what basic authentication encodes of user and password."""
    found = {value, *(word for word in re.split(r"[\s;,=]+", value) if len(word) >= SHORTEST_PART)}
    scheme, _, packed = value.partition(" ")
    if scheme.lower() == "basic":
        try:
            user = base64.b64decode(packed, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            user = ""
        found |= {user, user.partition(":")[2]}
    return {secret for secret in found if _is_hidden(secret)}


def _is_hidden(secret: str) -> bool:
    """Whether answers are kept free of it: a word, a number or a placeholder may be an answer."""
    if secret.lower() in _PLACEHOLDERS:
        return False
    least = SHORTEST_WORD if secret.isalpha() else SHORTEST_NUMBER if secret.isdigit() else SHORTEST
    return len(secret) >= least


def _ways(secret: str) -> Iterator[str]:
    """What a secret looks like in a folded text, each way of writing it."""
    folded = _Folded(secret).text
    yield f"(?i:{re.escape(folded)})"
    yield f"(?i:{re.escape(folded[::-1])})"
    data = secret.encode()
    for before in range(3):  # base64 depends on how many bytes stand in front
        packed = base64.b64encode(b"\0" * before + data).decode()
        inner = packed[(0, 2, 3)[before] : (before + len(data)) * 8 // 6]
        if len(inner) >= SHORTEST:
            yield inner.replace("+", "[+-]").replace("/", "[/_]")
    yield f"(?i:{'[-:_,]?(?:0x)?'.join(f'{byte:02x}' for byte in data)})"


_SLASH = r"(?:\\|%(?:25)*+5[cC])"
"""A backslash, which a URL encodes."""
_UNSEEN = (
    r"[\s\x00-\x1f\x7f-\xa0\xad\u034f\u061c\u180e\u200b-\u200f\u2028-\u202f\u205f-\u206f"
    r"\ufe00-\ufe0f\ufeff\ufffd]"
)
"""What shows nothing, or stands for what is no text."""
_ESCAPE = re.compile(
    rf"{_SLASH}++(?:[uU](?:0000)?(?P<u>[0-9a-fA-F]{{4}})|x(?P<x>[0-9a-fA-F]{{2}})"
    r"|(?P<same>[^\s%&]))?"
    r"|(?P<bytes>(?:%(?:25)*+[89a-fA-F][0-9a-fA-F])++)"
    r"|%(?:25)*+(?P<percent>[0-9a-fA-F]{2})?"
    r"|&(?:amp;)*+(?:#[xX]0*+(?P<hex>[0-9a-fA-F]{1,4});?|#0*+(?P<number>[0-9]{1,4});?"
    r"|(?P<name>lt|gt|quot|apos);)?"
    rf"|{_UNSEEN}++"
)
"""A character that is escaped as in JSON, Python, a URL or HTML, a sign of these that escapes
nothing, or what shows nothing. No quantifier gives back: the time is that of the text's length."""
_NAMES = {"lt": "<", "gt": ">", "quot": '"', "apos": "'"}


class _Folded:
    """A text without escapes and without what shows nothing, and where each character was."""

    def __init__(self, text: str) -> None:
        pieces: list[str] = []
        self._starts: list[int] = []
        self._spans: list[tuple[int, int]] = []
        length = at = 0
        for found in _ESCAPE.finditer(text):
            for piece, start, end in (
                (text[at : found.start()], at, found.start()),
                (_unescaped(found), *found.span()),
            ):
                if piece:
                    pieces.append(piece)
                    self._starts.append(length)
                    self._spans.append((start, end))
                    length += len(piece)
            at = found.end()
        self._starts.append(length)
        self._spans.append((at, len(text)))
        self.text = "".join([*pieces, text[at:]])

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where in the text these characters of the folded one were."""
        return self._one(start)[0], self._one(end - 1)[1]

    def _one(self, place: int) -> tuple[int, int]:
        piece = bisect_right(self._starts, place) - 1
        start, end = self._spans[piece]
        following = self._starts[piece + 1] if piece + 1 < len(self._starts) else len(self.text)
        if following - self._starts[piece] < end - start:  # it was an escape, of one character
            return start, end
        at = start + place - self._starts[piece]
        return at, at + 1


def _unescaped(found: re.Match[str]) -> str:
    """The character that an escape stands for; empty for what shows nothing."""
    kind = found.lastgroup
    if kind is None:
        return found[0][0] if found[0][0] in "%&" else ""
    if kind in ("same", "name"):
        return _NAMES.get(found[kind], found[kind])
    if kind == "bytes":
        text = bytes.fromhex("".join(re.findall(r"%(?:25)*+(..)", found[0]))).decode(
            errors="ignore"
        )
    else:
        text = chr(int(found[kind], 10 if kind == "number" else 16))
    return re.sub(_UNSEEN, "", text)
