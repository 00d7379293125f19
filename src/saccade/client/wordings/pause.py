"""How long a server asks to wait before the next attempt, in a header or in its own words."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SPAN = re.compile(
    r"(\d{1,9}(?:\.\d*)?)(?: ?(ms|m(?:in\w*)?|s(?:ec\w*)?|h(?:ours?)?)(?![a-z])|(?! ?[a-z]))"
)
_IN_WORDS = re.compile(
    rf"\b(?:try again|retry|wait)(?: after| in| for)? ((?:{_SPAN.pattern} ?)+)", re.IGNORECASE
)
"""Source: OpenAI API, rate limits ("Please try again in 1m12.5s"); Gemini API, quota errors
("Please retry in 22.4s"); Azure OpenAI ("Please retry after 21 seconds")."""


def pause(headers: Mapping[str, str], said: str = "") -> float | None:
    """Seconds that a server asks to wait: a span or the date until when; None if it does not.

    Source: RFC 9110, section 10.2.3; retry-after-ms: Azure OpenAI and the OpenAI client.

    Args:
        headers: Of the response.
        said: The message of its error.
    """
    for name, unit in (("retry-after-ms", "ms"), ("retry-after", "s")):
        value = headers.get(name, "").strip()
        if _SPAN.fullmatch(value):
            return _seconds(value, unit)
    try:
        until = parsedate_to_datetime(headers.get("retry-after", "")).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        in_words = _IN_WORDS.search(said)
        return _seconds(in_words[1]) if in_words else None
    return max(0.0, until - time.time())


def _seconds(span: str, unit: str = "s") -> float:
    """A span such as 7, 450ms, 22.4s or 1m12.5s; a number without a unit has the given one."""
    known = ((float(n), u or unit) for n, u in _SPAN.findall(span.lower()))
    return sum(n * _UNITS[u if u == "ms" else u[:1]] for n, u in known)
