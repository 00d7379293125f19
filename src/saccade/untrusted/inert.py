r"""Text from outside made inert: it can be read, but never acts as a tag or a control token.

    inert("<|im_end|>")                      # "< |im_end|>"
    inert_parts(("<", image, "|im_end|>"))   # ("<\", image, "|im_end|>")

A tokenizer may normalise text before it looks for its tokens (NFKC in SentencePiece, which also
drops characters that show nothing), and a chat template may trim each part of a message and leave
out what stands between two of them. So text is looked at as it is after that: compatibility forms
resolved, marks and invisible characters dropped, parts trimmed and joined, images left out.

What is not promised. Only the forms listed here are known: tokens in angle brackets, in square
brackets, and those few of other forms that are named below. A template whose roles are plain words
("USER:") has no token that could be told from text. Text is not judged by what it says: a sentence
that asks the model to misbehave stays readable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar
from unicodedata import category, normalize

T = TypeVar("T")

REACH = 200
"""Number of characters at each end of a part that may belong to a token; none is as long."""

_TOKEN = re.compile(
    # <|im_end|>, <|turn>, </|DSML|invoke>, <|User|>: the bars may be full-width, as DeepSeek's are.
    r"<(?=(/?\|"
    # <think>, </s>, <unused42>, <fim-prefix>, <minimax:tool_call>, <function=name>, <turn|>.
    r"|/?\w[\w:\u2581-]{0,63}(?:=[^<>\s\"']{0,64})?\|?>))"
    # [INST], [/INST], [IMG_BREAK], [UNUSED_TOKEN_145]; [|user|] of EXAONE; [e~[ of MiniMax.
    r"|\[(?=(/?[A-Z_]{2,32}\]|/?[A-Z]{1,32}(?:_[A-Z0-9]{1,32}){1,4}\]|\|/?\w{1,64}\|\]|e~\["
    # Words that are tokens of GLM, Gemma, Kimi, BERT, Mistral and llama.cpp, and indices elsewhere.
    r"|(?:[a-z]MASK|multimodal|@BOS@|(?:start|end)_header_id|(?:unused|control_|extra_id_|img-)"
    r"\d{1,6})\]))"
    # ]~b], ]~!b[ and ]<]minimax[>[ of MiniMax.
    r"|\](?=(~!?b[\[\]]|<\][\w ]{1,64}\[>\[))"
    # The thought of Kimi-VL; >>QUESTION<< of Falcon.
    r"|\u25c1(?=(/?\w{1,64}\u25b7))"
    r"|>(?=(>[A-Z_]{2,32}<<))"
)
"""A token: the bracket that opens it is what is matched, the rest of it is the group."""

_OPENERS = re.compile("[<\u226e\ufe64\uff1c>\u226f\ufe65\uff1e[\ufe47\uff3b\\]\ufe48\uff3d\u25c1]")
"""Every character that is an opening bracket of `_TOKEN`, or normalised to one."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

_UNSEEN = frozenset("\u115f\u1160\u2065\u3164\uffa0")
"""Characters that show nothing (`Default_Ignorable_Code_Point`) and whose category is not Cf."""


def inert(text: str) -> str:
    """The text with a space after each bracket that opens a tag or a control token. Idempotent."""
    clean = text.encode("utf-8", "replace").decode()
    if not _OPENERS.search(clean):
        return clean
    folded = _folded(clean)
    places = [folded.places[token.start()] for token in _TOKEN.finditer(folded.text)]
    return _with(clean, places, " ")


def inert_tokens(text: str) -> str:
    """The text with its control tokens made inert, and its tags left alone. Idempotent.

    For conversations that a file brings, whose tags are the form in which they are written: known
    are only tokens that hold a bar, as those of ChatML and of Llama do.
    """
    clean = text.encode("utf-8", "replace").decode()
    if not _OPENERS.search(clean):
        return clean
    folded = _folded(clean)
    tokens = (token for token in _TOKEN.finditer(folded.text) if "|" in token[token.lastindex or 0])
    return _with(clean, [folded.places[token.start()] for token in tokens], " ")


def inert_parts(parts: Sequence[str | T]) -> tuple[str | T, ...]:
    """Each text made inert, and what the parts would make together. Idempotent.

    Args:
        parts: Texts, and whatever else stands between them (images).
    """
    return kept_apart([inert(part) if isinstance(part, str) else part for part in parts])


def kept_apart(parts: Sequence[str | T]) -> tuple[str | T, ...]:
    """The parts with a backslash in each tag or control token that only their joining makes.

    What stands within one part is left alone: text of ours may hold tags. A backslash, because
    there are templates that trim spaces at the ends of a part.
    """
    texts = {n: _folded(part) for n, part in enumerate(parts) if isinstance(part, str) and part}
    if len(texts) < 2:
        return tuple(parts)
    joined = ""
    owners: list[tuple[int, int]] = []
    for number, folded in texts.items():
        for end in _ends(folded.text):
            joined += folded.text[end.start : end.stop]
            owners += [(number, folded.places[place]) for place in end]
    found: dict[int, list[int]] = {}
    for token in _TOKEN.finditer(joined):
        opened, place = owners[token.start()]
        closed, _ = owners[token.end(token.lastindex or 0) - 1]
        if opened != closed:
            found.setdefault(opened, []).append(place)
    return tuple(
        _with(part, found[number], "\\") if number in found and isinstance(part, str) else part
        for number, part in enumerate(parts)
    )


class _Folded(NamedTuple):
    """A text as a tokenizer may see it."""

    text: str
    places: Sequence[int]
    """The place in the original of each character."""


def _folded(text: str) -> _Folded:
    if text.isascii() and not _CONTROL.search(text):
        return _Folded(text, range(len(text)))
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        seen = _seen(character)
        characters.append(seen)
        places += [place] * len(seen)
    return _Folded("".join(characters), places)


@lru_cache(maxsize=8192)
def _seen(character: str) -> str:
    """What is left of a character: of `\uff1c`, the `<` that it is a wide form of."""
    if character in "\t\n\r":
        return character
    return "".join(
        part
        for part in normalize("NFKD", character)
        if part not in _UNSEEN and category(part) not in ("Cc", "Cf", "Cn", "Me", "Mn")
    )


def _ends(text: str) -> tuple[range, ...]:
    """The places of a trimmed text that a token may share with its neighbours."""
    begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
    if end - begin <= 2 * REACH:
        return (range(begin, end),)
    return range(begin, begin + REACH), range(end - REACH, end)


def _with(text: str, places: Sequence[int], mark: str) -> str:
    """The text with a mark behind each of these characters."""
    pieces, at = [], 0
    for place in places:
        pieces.append(text[at : place + 1] + mark)
        at = place + 1
    return "".join([*pieces, text[at:]])
