"""What a server sends, as text: by its kind, in its characters, with nothing that is a command."""

from __future__ import annotations

import codecs
import json
import re

from saccade.search.pages.html import Readable, readable
from saccade.untrusted.printable import printable

MAX_CHARS = 2_000_000
"""Longer text is cut."""
BEGINNING = 1024
"""Number of bytes in which a page says its characters. Source: WHATWG, "HTML", 13.2.3.2."""

_CHARSETS = {
    "utf-8", "utf-16-le", "utf-16-be", "utf-16", "cp1252", "cp1250", "cp1251", "cp1253", "cp1254",
    "cp1255", "cp1256", "cp1257", "cp1258", "cp866", "cp874", "cp932", "koi8-r", "koi8-u",
    "mac-roman", "gb2312", "gbk", "gb18030", "big5", "big5hkscs", "euc_jp", "iso2022_jp",
    "shift_jis", "euc_kr", "tis-620", *(f"iso8859-{number}" for number in range(2, 17)),
}  # fmt: skip
"""Encodings of text, as Python calls them; it has others that are none, or slow. Source: WHATWG,
"Encoding", 4.2 Names and labels."""
_AS_WINDOWS = {"ascii", "iso8859-1", "latin-1"}
"""Names by which pages mean Windows-1252. Source: as above."""
_BYTE_ORDER = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(r"charset\s*+=\s*+[\"']?\s*+([\w.:-]{1,40})", re.ASCII | re.IGNORECASE)
_TEXT = re.compile(
    r"text/[\w.+-]+|application/(?:json|xml|javascript|x-ndjson|yaml|[\w.-]+\+(?:json|xml))"
)
_HTML = ("text/html", "application/xhtml+xml")
_LOOKS_LIKE_HTML = re.compile(
    rb"\s*+(?:<!--.{0,400}?-->\s*+)?<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_MAGIC = (
    (b"%PDF-", "a PDF"), (b"\x89PNG", "a picture"), (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"), (b"PK\x03\x04", "an archive or an office document"),
    (b"\x1f\x8b", "a packed file"), (b"\xd0\xcf\x11\xe0", "an office document"),
)  # fmt: skip
_KINDS = {"image": "a picture", "video": "a video", "audio": "a sound", "font": "a font"}
_BLANK = re.compile(r"\n(?:[ ]*+\n){2,}")
_AT_LINE_END = re.compile(r"[ ]++\n")


class NoText(Exception):
    """What was fetched is nothing that can be read; says what it is."""


def text_of(data: bytes, content_type: str, url: str) -> Readable:
    """A page as text.

    Args:
        data: The page, of bounded length.
        content_type: What the server says it is; may be empty.
        url: Where it was found; its links lead on from there.

    Raises:
        NoText: it is no text.
    """
    kind = content_type.partition(";")[0].strip().lower()
    for magic, what in _MAGIC:
        if data.startswith(magic):
            raise NoText(f"{what}, which cannot be read")
    if not kind or kind == "application/octet-stream":
        kind = "text/html" if _LOOKS_LIKE_HTML.match(data[:BEGINNING]) else "text/plain"
    if kind not in _HTML and not _TEXT.fullmatch(kind):
        what = _KINDS.get(kind.partition("/")[0], "something else than text")
        what = "a PDF" if kind == "application/pdf" else what
        raise NoText(f"{what}, which cannot be read")
    html = kind in _HTML
    text = decoded(data, content_type, declared=html)
    if "\0" in text[:BEGINNING]:
        raise NoText("something else than text, which cannot be read")
    read = readable(text, url) if html else Readable("", _indented(text, kind))
    tidy = tidied(read.text[: MAX_CHARS + 1])
    cut = read.cut or len(tidy) > MAX_CHARS
    return Readable(printable(read.title).strip(), tidy[:MAX_CHARS], cut)


def decoded(data: bytes, content_type: str, *, declared: bool) -> str:
    """Bytes as characters; those that are none in their encoding are replaced.

    The encoding is what a byte order mark says, else the server, else (`declared`) the page itself,
    else UTF-8 if it is that, else Windows-1252, as browsers take it.
    """
    for mark, name in _BYTE_ORDER:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace")
    said = [content_type]
    if declared:
        said.append(data[:BEGINNING].decode("latin-1"))
    for text in said:
        found = _DECLARED.search(text)
        if found and (charset := _charset(found[1])):
            return data.decode(charset, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        cut = error.reason == "unexpected end of data"  # within a character
        return data.decode("utf-8" if cut else "cp1252", "replace")


def _charset(label: str) -> str | None:
    """The encoding that a label names, if it is one of text."""
    try:
        name = codecs.lookup(label).name
    except LookupError:
        return None
    if name in _AS_WINDOWS:
        return "cp1252"
    return name if name in _CHARSETS else None


def _indented(text: str, kind: str) -> str:
    """JSON of one line, on several: it is shown in parts."""
    if "json" not in kind or "\n" in text.strip():
        return text
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=1)
    except (ValueError, RecursionError):
        return text


def tidied(text: str) -> str:
    """Lines without what is not printed, and with one blank line at most between them."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    return _BLANK.sub("\n\n", _AT_LINE_END.sub("\n", printable(lines) + "\n")).strip("\n").rstrip()


def parts_of(text: str, most: int) -> list[str]:
    """A text in parts that can be put together again, each of at most so many characters.

    A part ends with a paragraph, a line or a word, where one ends in its second half.
    """
    parts, start = [], 0
    while len(text) - start > most:
        floor, end = start + most - most // 2, start + most
        cuts = (text.rfind(mark, floor, end) + len(mark) for mark in ("\n\n", "\n", " "))
        cut = next((place for place in cuts if place > floor), end)
        parts.append(text[start:cut])
        start = cut
    return [*parts, text[start:]]
