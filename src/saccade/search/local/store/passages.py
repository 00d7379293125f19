"""Documents cut into passages: what is found, and what is shown of a document that was found."""

from __future__ import annotations

import re
from collections.abc import Iterator

WORDS = 200
"""Words of a passage, about."""
MAX_WORD = 200
"""Characters of a word; what is longer (base64, a table without blanks) counts as several."""

_END = re.compile(r"""[.!?\u2026\u3002\uff01\uff1f]["'\u201d\u2019)\]]*\s+|\n\s*\n""")


def passages_of(text: str, words: int = WORDS) -> Iterator[str]:
    """A text in pieces of about as many words, which end where a sentence or a paragraph ends.

    Every word of the text is in exactly one of them, and in order. A sentence that is longer than
    a passage is cut between words, and a word without end within. A last piece of less than a
    quarter of a passage joins the one before it.

    Args:
        text: Of a document.
        words: How many words a passage has, about: it is ended before the sentence that would
            make it longer.
    """
    held: list[str] = []
    count = 0
    last: list[str] = []
    for sentence in _sentences(text, words):
        size = _size(sentence)
        if held and count + size > words:
            if last:
                yield " ".join(last)
            last, held, count = held, [], 0
        held.append(sentence)
        count += size
    if last and count * 4 < words:
        held = last + held
    elif last:
        yield " ".join(last)
    if held:
        yield " ".join(held)


def _sentences(text: str, words: int) -> Iterator[str]:
    """Sentences on single lines; none of more words than a passage."""
    start = 0
    for end in (*(found.end() for found in _END.finditer(text)), len(text)):
        pieces = text[start:end].split()
        if end - start > MAX_WORD and len(max(pieces, key=len, default="")) > MAX_WORD:
            pieces = [
                word[at : at + MAX_WORD] for word in pieces for at in range(0, len(word), MAX_WORD)
            ]
        start = end
        for at in range(0, len(pieces), words):
            yield " ".join(pieces[at : at + words])


def _size(sentence: str) -> int:
    return sentence.count(" ") + 1
