r"""An answer as tokens: markup removed, letters of every kind of type made plain.

What is drawn over a letter (a combining stroke, `~~B~~`, `\\cancel{B}`) may take it back, so it is
kept as a token that nobody knows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum, auto
from typing import NamedTuple

_LETTER_OF_SQUARES = {
    first + i: chr(ord("A") + i) for first in (0x1F150, 0x1F170) for i in range(26)
}
"""Negative circled and negative squared letters, which NFKC leaves alone."""
_PLAIN = {
    **_LETTER_OF_SQUARES,
    **dict.fromkeys(map(ord, "\u2018\u2019\u02bc"), "'"),
    **dict.fromkeys(map(ord, "\u2212\u2010\u2011"), "-"),
    0xFE0F: None,  # "show as an emoji"
}
_FONTS = (
    r"text|textbf|textit|textrm|textsf|texttt|mathrm|mathbf|mathit|mathsf|mathtt|mathbb|mathcal|"
    r"boldsymbol|bm|bf|rm|it|emph|underline|operatorname|left|right|large|Large|displaystyle|quad"
)
_DROPPED = re.compile(
    rf"\\(?:{_FONTS})(?![A-Za-z])|\\[()\[\],;:! ]|</?(?:b|strong|i|em|u|code|p|br|span)\s*/?>|"
    r"```\w*|^[ \t]*(?:\#+|[>*+-])(?=\s)|\$(?!\d)|\\(?=[%_*&#])|"
    r"[*_`\"\u201c\u201d\u00ab\u00bb\u300c\u300d]+",
    re.MULTILINE,
)
_SPECIAL = re.compile(r"<\|[A-Za-z_]{2,}\|>")
"""The token that ends a turn, where a server lets it through."""
_ARROW = re.compile(r"[-=]+>")
_MINUS = re.compile(
    r"(^[ \t]*|[:=(\[{][ \t]*)[-\u2013\u2014][ \t]*(?=[.\d])|(?<=\s)[\u2013\u2014](?=\d)", re.M
)
"""A dash that may be the sign of a number, though it may be one of a list as well."""
_MINUS_OF_LETTER = re.compile(r"(?<![\w)\]}:-])-(?=[A-Za-z(\\])")
_NOT = re.compile(r"!=|/=|<>|!(?=\w)|(?<![^\s(\[{])!(?=\S)")
_BESIDE = re.compile(r"(?<=\b[A-Za-z])[ \t]?[+|][ \t]?(?=[A-Za-z]\b)")
_WORDS = r"[^\W\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
_TOKEN = re.compile(
    rf"""
    (?P<box>\\(?:boxed|fbox)\s*\{{|<\s*answer\s*>)
    |(?P<word>\\[A-Za-z]+ | (?:[A-Za-z]\.){{2,}} | {_WORDS}+(?:'{_WORDS}+)+ |
        {_WORDS}{{2,}}(?:[-']{_WORDS}+)* | [\uac00-\ud7af]+ | [\u3040-\u30ff\u3400-\u9fff])
    |(?P<letter>{_WORDS})
    |(?P<number>(?:(?<![\w)\]])[+-])?
        (?:(?:\d{{1,3}}(?:,\d{{3}})+(?!\d) | \d+)(?:\.\d+)? | (?<!\w)\.\d+))
    |(?P<hard>[.!;\n\u3002\u2026])
    |(?P<soft>[,\u3001])
    |(?P<open>[(\[{{\u3010\u3014\u3008\u300a\u300e])
    |(?P<close>[)\]}}\u3011\u3015\u3009\u300b\u300f]|</\s*answer\s*>)
    |(?P<neutral>[:=\u2013\u2014\u2192\u21d2'-])
    |(?P<space>\s+)
    |(?P<symbol>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class Form(Enum):
    """What a token looks like."""

    BOX = auto()
    WORD = auto()
    LETTER = auto()
    NUMBER = auto()
    HARD = auto()
    SOFT = auto()
    OPEN = auto()
    CLOSE = auto()
    NEUTRAL = auto()
    SYMBOL = auto()


class Token(NamedTuple):
    """A piece of text without spaces."""

    form: Form
    text: str
    """In lower case; a number as it is written shortest."""
    upper: bool = False
    """Whether it is written in capital letters."""
    capital: bool = False
    """Whether it begins with one."""


PUNCTUATION = (Form.HARD, Form.SOFT, Form.OPEN, Form.CLOSE, Form.NEUTRAL)


def plain(text: str) -> str:
    """The text without markup and what is not seen, letters of every kind of type made plain."""
    text = unicodedata.normalize("NFKC", text.translate(_PLAIN)).translate(_PLAIN)
    seen = (c for c in text if unicodedata.category(c) != "Cf")
    signed = _MINUS.sub(r"\1-", _ARROW.sub("\u2192", _SPECIAL.sub("", "".join(seen))))
    unmarked = _DROPPED.sub("", _MINUS_OF_LETTER.sub("\u2212", signed))
    return _NOT.sub("\u2260 ", _BESIDE.sub(" & ", unmarked))


def tokens(text: str) -> list[Token]:
    """The tokens of a text, in time linear in its length."""
    return list(_tokens(plain(text)))


def _tokens(text: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(text):
        kind, found = str(match.lastgroup), match.group()
        if kind == "space":
            continue
        form = Form[kind.upper()]
        if form is Form.NUMBER:
            yield Token(form, _shortest(found))
        else:
            yield Token(form, found.casefold(), found.isupper(), found[:1].isupper())


def _shortest(digits: str) -> str:
    """One spelling for numbers of one value; of very long ones every spelling is its own."""
    if len(digits) > 40:
        return digits
    return format(Decimal(digits.replace(",", "")).normalize(), "f")
