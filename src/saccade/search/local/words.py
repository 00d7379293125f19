"""Words of a text, as an index keeps them and as a query asks for them.

A word is a run of letters and digits without its case, accents and English ending. A name such as
`readLine` or `utf8` is kept as it is and in its parts. Scripts without spaces are kept by single
characters and by pairs of neighbours.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import tantivy

LONGEST = 64
"""Bytes that a word may have; longer runs are data, not words."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_STOP = """a about an and any are as at be been but by can could did do does for from had has have
how i if in into is it its me my of on or our shall should so some than that the their them then
there these they this those to us was we were what when where which who whom whose why will with
would you your"""
STOP = frozenset(_STOP.split())
"""English words that a question is made with; they are asked for only where there are no others."""

_WORD = re.compile(r"[^\W_]+")
_SEAM = re.compile(r"[a-z][A-Z]")
_INSIDE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\U00020000-\U0003ffff]+"
)
"""Thai, Lao, Burmese, Khmer, Kana, Han; Hangul, whose words carry their endings with them."""


class Asked(NamedTuple):
    """The words of a query, in lower case and each one once."""

    words: list[str]
    """What a passage should have; of a name its parts."""
    names: list[str]
    """Names as they stand; a passage that has one is better."""


def analyzer() -> tantivy.TextAnalyzer:
    """What cuts a text of `indexed` into words. Register it as "words"."""
    from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

    made = TextAnalyzerBuilder(Tokenizer.simple())
    for one in (
        Filter.remove_long(LONGEST), Filter.lowercase(), Filter.ascii_fold(),
        Filter.stemmer("english"),
    ):  # fmt: skip
        made = made.filter(one)
    return made.build()


def indexed(text: str) -> list[str]:
    """A text, and what it is found by besides its own words."""
    text = composed(text)
    texts = [text]
    if _SEAM.search(text):
        texts.append(
            " ".join(_INSIDE.sub(" ", word) for word in text.split() if _SEAM.search(word))
        )
    if not text.isascii():
        runs = _UNSPACED.findall(text)
        if runs:
            texts += [" ".join(" ".join(run) for run in runs), " ".join(map(_pairs, runs))]
    return texts


def asked(text: str) -> Asked:
    """What a query asks for."""
    text = composed(text)
    if not text.isascii():
        text = _UNSPACED.sub(lambda run: f" {_pairs(run[0])} ", text)
    names = [word for word in _WORD.findall(text) if _SEAM.search(word)]
    parts = _WORD.findall(_INSIDE.sub(" ", text))
    return Asked(_each_once(parts), _each_once(names))


def _each_once(words: list[str]) -> list[str]:
    return list(dict.fromkeys(word.lower() for word in words))


def composed(text: str) -> str:
    """Each letter and its accents as one character, wide and ligated forms as plain ones.

    Half of a pair of UTF-16, which JSON can hold and no file of text, becomes a question mark.
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", text.encode(errors="replace").decode())


def _pairs(run: str) -> str:
    return " ".join(run[i : i + 2] for i in range(len(run) - 1)) if len(run) > 1 else run


def respelt(word: str) -> list[str]:
    """What a word may have been before one slip: a letter lost, added, wrong, or two swapped."""
    cuts = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    made = [before + after[1:] for before, after in cuts if after]
    made += [before + after[1] + after[0] + after[2:] for before, after in cuts if len(after) > 1]
    made += [before + letter + after[1:] for before, after in cuts if after for letter in _LETTERS]
    made += [before + letter + after for before, after in cuts for letter in _LETTERS]
    return list(dict.fromkeys(made))
