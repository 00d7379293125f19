r"""HTML as text that can be read: headings, lists, tables, links, without what a browser hides.

    readable("<h1>Lamps</h1><p>See <a href=/a>all</a>.", "https://example.org/")
    # "# Lamps\n\nSee [all](https://example.org/a)."

Guaranteed: time and memory grow with the length of the page and no faster, and a page of more than
`MAX_TAGS` tags or `MAX_DEPTH` levels is read to that place. Not guaranteed: that all that a style
sheet or a script hides is left out; what attributes of an element hide is.

Why there is no parser of a library below: `html.parser` of Python 3.11, on which BeautifulSoup
builds, takes 72 seconds for 60 KB of "<a ", and 7 for 80 KB of "<!--".

Source: WHATWG, "HTML", 13.2.5 Tokenization; a tag or comment that never ends swallows the rest, as
it does there.
"""

from __future__ import annotations

import re
from collections import Counter
from html import unescape
from typing import NamedTuple
from urllib.parse import urljoin

MAX_TAGS = 100_000
MAX_DEPTH = 1000
MAX_ATTRIBUTES = 10_000
"""Characters of a tag in which attributes are looked for."""
MAX_LINKS = 5000
"""Number of links whose address is kept."""
MAX_LINK = 500
"""Links with more characters are left out; their text is not."""
DEEPEST_LIST = 8
"""Levels of lists that are indented."""

_TAG = re.compile(
    r"<(?P<end>/?)(?P<name>[a-zA-Z][^\s/>]*+)"
    r"(?P<rest>(?:[^>\"'=]++|=\s*+\"[^\"]*+\"|=\s*+'[^']*+'|[=\"'])*+)>"
)
_ATTRIBUTE = re.compile(r"([^\s\"'>/=]++)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'>]++)))?")
_OPENS = re.compile(r"<(?=[a-zA-Z/!?])")
"""Any other bracket is text."""
_COMMENT_END = re.compile(r"--!?>")
_LONG_NUMBER = re.compile(r"&#(?:\d{8,}+|[xX][0-9a-fA-F]{8,}+);?")
"""No character has it, and Python refuses to read one of thousands of digits."""
_SPACE = re.compile(r"\s+")
_HIDES = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)

_RAW = {"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "noscript"}
"""What is between their tags is no HTML."""
_LEFT_OUT = {"template", "svg", "math", "object", "canvas", "audio", "video", "select", "datalist"}
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source",
         "track", "wbr"}  # fmt: skip
_ENDED_BY_ITS_LIKE = {"p", "li", "dt", "dd", "td", "th", "tr", "option"}
_PARAGRAPHS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote",
               "pre", "section", "article", "header", "footer", "main", "nav", "aside", "form",
               "figure", "hr"}  # fmt: skip
_LINES = {"div", "li", "tr", "dt", "dd", "br", "figcaption", "caption", "address", "summary",
          "details", "fieldset", "legend", "option", "center"}  # fmt: skip


class Readable(NamedTuple):
    """A page as text."""

    title: str
    text: str
    cut: bool = False
    """Whether the page has more than was read."""


def readable(html: str, base: str = "") -> Readable:
    """The text of a page.

    Args:
        html: The page, of bounded length.
        base: Where it was found, from which its links lead on.
    """
    reader = _Reader(base)
    cut = reader.read(html)
    return Readable(reader.title, reader.text, cut)


class _Reader:
    """Reads a page once, from its beginning to its end."""

    def __init__(self, base: str) -> None:
        self.title = ""
        self._base = base
        self._pieces: list[str] = []
        self._open: list[str] = []
        self._names: Counter[str] = Counter()
        """How many elements of each name are open."""
        self._hidden: int | None = None
        """Number of elements around the one that hides what is being read."""
        self._lists: list[int] = []
        """For each list that is open: the number of its last item, or -1 if it has no numbers."""
        self._link: tuple[str, int] | None = None
        """Where the link leads that is open, and which piece it begins with."""
        self._links = 0
        """Number of those that were written."""
        self._breaks = 2
        """Number of line ends that the text ends with."""
        self._space = False
        """Whether the text ends with a space that is written if more follows."""

    @property
    def text(self) -> str:
        return "".join(self._pieces).strip()

    def read(self, html: str) -> bool:
        """Read; whether something was left out at the end."""
        place = tags = 0
        while (opens := _OPENS.search(html, place)) is not None:
            start = opens.start()
            self._say(html[place:start])
            if html[start + 1] in "!?":
                place = self._end_of_comment(html, start)
            elif (tag := _TAG.match(html, start)) is not None:
                tags += 1
                if tags > MAX_TAGS or len(self._open) > MAX_DEPTH:
                    return True
                place = self._tag(html, tag)
            elif html[start + 1] == "/" and not html[start + 2 : start + 3].isalpha():
                place = html.find(">", start) + 1 or len(html)  # "</3>" is a comment
            else:
                place = len(html)
        self._say(html[place:])
        return False

    def _end_of_comment(self, html: str, start: int) -> int:
        if html.startswith("<!--", start):
            found = _COMMENT_END.search(html, start + 2)
            return found.end() if found else len(html)
        return html.find(">", start) + 1 or len(html)

    def _tag(self, html: str, tag: re.Match[str]) -> int:
        """Take in a tag; where reading goes on."""
        name = tag["name"].lower()
        if tag["end"]:
            self._ended(name)
            return tag.end()
        if name in _RAW:
            return self._raw(html, name, tag.end())
        self._began(name, tag["rest"])
        return tag.end()

    def _raw(self, html: str, name: str, start: int) -> int:
        found = _RAW_END[name].search(html, start)
        inner = html[start : found.start() if found else len(html)]
        if name == "title" and not self.title and self._hidden is None:
            self.title = _SPACE.sub(" ", _unescaped(inner[:2000])).strip()
        return found.end() if found else len(html)

    def _began(self, name: str, rest: str) -> None:
        if name in _ENDED_BY_ITS_LIKE and self._open and self._open[-1] == name:
            self._ended(name)
        if name == "a" and self._link is not None:  # links are not in each other
            self._ended("a")
        attributes = _attributes(name, rest)
        hides = name in _LEFT_OUT or _is_hidden(attributes)
        if name not in _VOID:
            if hides and self._hidden is None:
                self._hidden = len(self._open)
            self._open.append(name)
            self._names[name] += 1
        if self._hidden is not None or hides:
            return
        self._break(name)
        if name in ("ul", "ol"):
            self._lists.append(0 if name == "ol" else -1)
        elif name == "li":
            self._say_item()
        elif name in ("td", "th"):
            self._write("" if self._breaks else " | ")
        elif name in _HEADINGS:
            self._write("#" * int(name[1]) + " ")
        elif name == "img" and attributes.get("alt", "").strip():
            self._say(f"[image: {attributes['alt'].strip()}]")
        elif name == "a":
            self._link = attributes.get("href", ""), len(self._pieces)

    def _ended(self, name: str) -> None:
        """Close an element, and those within it that have no end of their own."""
        if not self._names[name]:
            return
        while self._open:
            inner = self._open.pop()
            self._names[inner] -= 1
            if self._hidden is None:
                if inner == "a" and self._link is not None:
                    self._linked(*self._link)
                    self._link = None
                elif inner in ("ul", "ol") and self._lists:
                    self._lists.pop()
                self._break(inner)
            elif len(self._open) <= self._hidden:
                self._hidden = None
            if inner == name:
                return

    def _linked(self, href: str, first: int) -> None:
        """Write where the text since a piece leads."""
        if self._links >= MAX_LINKS:
            return
        text = "".join(self._pieces[first:])
        label = text.strip()
        address = _absolute(self._base, href)
        if label and address and "\n" not in label:
            self._links += 1
            lead = text[: len(text) - len(text.lstrip())]
            self._pieces[first:] = [lead, f"[{label}]({address})"]

    def _say_item(self) -> None:
        indent = "  " * (min(len(self._lists), DEEPEST_LIST) - 1)
        if self._lists and self._lists[-1] >= 0:
            self._lists[-1] += 1
            self._write(f"{indent}{self._lists[-1]}. ")
        else:
            self._write(f"{indent}- ")

    def _say(self, text: str) -> None:
        """Text of the page; white space is one space, except where it was set in lines."""
        if not text or self._hidden is not None:
            return
        text = _unescaped(text)
        if self._names["pre"]:
            self._write(text)
            return
        words = _SPACE.sub(" ", text)
        self._space |= words[0] == " " and not self._breaks
        if inner := words.strip():
            self._write((" " if self._space else "") + inner)
            self._space = words[-1] == " "

    def _write(self, text: str) -> None:
        if not text:
            return
        self._pieces.append(text)
        self._space = False
        self._breaks = len(text) - len(text.rstrip("\n"))

    def _break(self, name: str) -> None:
        wanted = 2 if name in _PARAGRAPHS else 1 if name in _LINES else 0
        if name in ("ul", "ol") and len(self._lists) > 0:
            wanted = 1  # a list within a list
        if wanted > self._breaks:
            self._pieces.append("\n" * (wanted - self._breaks))
            self._breaks = wanted
            self._space = False


_HEADINGS = {f"h{level}" for level in range(1, 7)}
_RAW_END = {name: re.compile(rf"</{name}(?=[\s/>])[^>]*+>?", re.IGNORECASE) for name in _RAW}


def _attributes(name: str, rest: str) -> dict[str, str]:
    """Those of an element that say something here; the first of a name counts."""
    if name not in ("a", "img") and "hidden" not in rest.lower() and "none" not in rest.lower():
        return {}
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(rest[:MAX_ATTRIBUTES]):
        value = next((group for group in match.groups()[1:] if group is not None), "")
        found.setdefault(match[1].lower(), _unescaped(value))
    return found


def _is_hidden(attributes: dict[str, str]) -> bool:
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden", "").lower() == "true"
        or bool(_HIDES.search(attributes.get("style", "")))
    )


def _absolute(base: str, href: str) -> str:
    """Where a link leads; empty if it is to its own page, or to what is no page."""
    href = href.strip()
    if not href or href.startswith("#") or len(href) > MAX_LINK:
        return ""
    try:
        address = urljoin(base, href)
    except ValueError:
        return ""
    if not address.lower().startswith(("http://", "https://")) or len(address) > MAX_LINK:
        return ""
    return _SPACE.sub("%20", address).replace("(", "%28").replace(")", "%29")


def _unescaped(text: str) -> str:
    return unescape(_LONG_NUMBER.sub("\ufffd", text)) if "&" in text else text
