"""Yes or no, from an answer in words; what says neither is undecided, never no."""

from __future__ import annotations

import re
from typing import Literal

YesNo = Literal["yes", "no"]

_MARKUP = re.compile(r"</?\w+>|[*_`\"']")
_WORD = re.compile(r"\b(yes|no)\b")
_OPENING = re.compile(
    r"\W*(?:(?:the\s+)?(?:final\s+)?answer(?:\s+is|\s*:)\W*)?(yes|no)\b(?![.\s]*\d)"
)
_CLOSING = re.compile(r"\b(?:answer(?:\s+is|\s*:)|so|therefore|thus|hence)\W*(yes|no)\W*$")
_NONE_THERE = re.compile(r"\W*(?:there\s+(?:is|are)|i\s+(?:can\s+)?see)\s+no\s")
_IDIOMS = re.compile(
    r"\bno\s+(?:doubt|question|denying|idea|clue|problem|longer|matter|way\s+to\s+(?:tell|know|say)|"
    r"information|evidence|image|one\s+can|answer)\b|\byes\s*(?:/|or)\s*no\b"
)


def yes_or_no(answer: str) -> YesNo | None:
    """Which of both an answer says; None where it says neither, or both."""
    text = " ".join(_MARKUP.sub("", answer).lower().split())
    if _IDIOMS.search(text) or text.endswith(("?", "\uff1f")):
        return None
    said = set(_WORD.findall(text))
    if len(said) != 1:
        return None
    if _OPENING.match(text) or _CLOSING.search(text):
        return "yes" if "yes" in said else "no"
    return "no" if said == {"no"} and _NONE_THERE.match(text) else None
