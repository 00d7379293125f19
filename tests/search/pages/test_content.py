"""What servers send, as text; and texts in parts."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.search.pages.content import MAX_CHARS, NoText, decoded, parts_of, text_of

WORD = "Stra\u00dfe"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (WORD.encode(), "text/plain"), (WORD.encode(), "text/plain; charset=UTF-8"),
        (WORD.encode("latin-1"), "text/plain; charset=iso-8859-1"),
        (WORD.encode("latin-1"), "text/plain"), (b"\xef\xbb\xbf" + WORD.encode(), "text/plain"),
        (WORD.encode("utf-16"), "text/plain"), (WORD.encode(), "application/octet-stream"),
        (WORD.encode(), ""), (WORD.encode(), "text/plain; charset=unicode_escape"),
        (WORD.encode(), "text/plain; charset=punycode"), (WORD.encode(), 'text/x; charset="what"'),
        (b"<meta charset='windows-1252'>" + WORD.encode("cp1252"), "text/html"),
        (b'<meta http-equiv=x content="text/html; charset=iso-8859-15">'
         + WORD.encode("latin-1"), "text/html"),
        (b"<html>" + WORD.encode(), ""), (b"<!-- x --> <!DOCTYPE html>" + WORD.encode(), ""),
    ],
)  # fmt: skip
def test_a_text_is_read_in_its_characters(data: bytes, kind: str) -> None:
    assert text_of(data, kind, "http://a.example/").text == WORD


def test_what_is_no_character_is_replaced() -> None:
    assert decoded(b"a\xff", "text/plain; charset=utf-8", declared=False) == "a\ufffd"
    assert decoded(b"a" * 9 + "\u00df".encode()[:1], "", declared=False) == "a" * 9 + "\ufffd"
    # What turns the direction of writing, and what a terminal would obey.
    assert text_of(b"a\x1b[2Jb\x07\r\nc\td", "text/plain", "").text == "a [2Jb\nc    d"
    assert text_of("a\u202eb".encode(), "text/plain", "").text == "a b"


@pytest.mark.parametrize(
    ("data", "kind", "what"),
    [
        (b"%PDF-1.7 x", "text/html", "a PDF"), (b"x", "application/pdf", "a PDF"),
        (b"x", "image/png", "a picture"), (b"\x89PNG", "text/plain", "a picture"),
        (b"x", "video/mp4", "a video"), (b"PK\x03\x04", "", "an archive"),
        (b"\x1f\x8bx", "text/html", "a packed file"), (b"a\0b", "text/plain", "something else"),
        (b"x", "application/wasm", "something else"), (b"x", "text", "something else"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_named(data: bytes, kind: str, what: str) -> None:
    with pytest.raises(NoText, match=what):
        text_of(data, kind, "")


def test_json_is_set_in_lines() -> None:
    value = {"name": WORD, "years": [1822, 1823]}
    text = text_of(json.dumps(value).encode(), "application/json", "").text
    assert json.loads(text) == value
    assert len(text.splitlines()) == 7
    assert text_of(b"{broken", "application/ld+json", "").text == "{broken"
    assert text_of(b"[" * 100_000, "application/json", "").text == "[" * 100_000


def test_a_text_without_end_is_cut() -> None:
    read = text_of(b"x" * (MAX_CHARS + 10), "text/plain", "")
    assert (len(read.text), read.cut) == (MAX_CHARS, True)


@given(st.text(alphabet="ab \n", max_size=200), st.integers(3, 60))
@settings(max_examples=50)
def test_parts_put_together_are_the_text(text: str, most: int) -> None:
    parts = parts_of(text, most)
    assert "".join(parts) == text
    assert all(0 < len(part) <= most for part in parts) or parts == [""]


def test_a_part_ends_where_a_paragraph_does() -> None:
    assert parts_of("one two\n\nthree four", 12) == ["one two\n\n", "three four"]
    assert parts_of("one two three four", 9) == ["one two ", "three ", "four"]
    assert parts_of("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
