"""What a failing response says, and which error follows from it.

An error may come with its own status, in a 200, in an event of a stream, as an object, a text or a
list. Only what the server says itself is read, never what it repeats of the request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import JsonValue

from saccade.client.wordings.advice import advice
from saccade.client.wordings.overflow import context_is_full, output_alone_is_too_long
from saccade.client.wordings.pause import pause
from saccade.errors import ContextOverflow, ServiceError
from saccade.untrusted.printable import printable
from saccade.untrusted.secrets import bare
from saccade.untrusted.values import items, table, tables, texts, word

MAX_MESSAGE_CHARS = 2000
"""So much of a server's message is looked at."""
MAX_SHOWN_CHARS = 300
"""So much of it is shown."""

_RETRIED = {408, 409, 425, 429}
_NEVER_FULL = {401, 402, 403, 404, 429}
"""Statuses that say something else, whatever their text mentions."""

_STATUS_OF = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "INVALID_REQUEST_ERROR": 400,
    "BADREQUESTERROR": 400,
    "AUTHENTICATION_ERROR": 401,
    "PERMISSION_ERROR": 403,
    "NOT_FOUND_ERROR": 404,
    "RATE_LIMIT_ERROR": 429,
    "RATE_LIMIT_EXCEEDED": 429,
    "OVERLOADED_ERROR": 529,
}
"""Source: google.rpc.Code and its HTTP mapping; OpenAI and Anthropic API references, errors."""

_RATE = re.compile(
    r"\bper (second|minute|min|hour|day)\b|\b[TR]P[MD]\b|rate[ _-]?limit|too[ _]many[ _]requests"
    r"|throttl|overloaded|queue is full",
    re.IGNORECASE,
)
_NO_MONEY = re.compile(
    r"insufficient[_ ](quota|balance|credits?|funds)|billing_|credit balance is too low|arrearage"
    r"|余额不足|欠费",
    re.IGNORECASE,
)
"""Source: OpenAI, DeepSeek, OpenRouter and Anthropic API references, errors; Alibaba Cloud, error
codes (Arrearage); Z.ai API reference, error 1113 (in Chinese)."""
_MODERATED = re.compile(
    r"moderation|flagged|inappropriate|content (management )?policy|content_filter", re.IGNORECASE
)
"""Source: OpenRouter docs, "Errors" (403); Alibaba Cloud, error codes (DataInspectionFailed); Azure
OpenAI, "Content filtering"."""
_TOO_MANY_BYTES = re.compile(
    r"(payload|entity|body|request)( size)?( is)? too large|request_too_large|(payload|body) size "
    r"exceeds|exceeds the maximum (request|payload|body) size|length limit exceeded",
    re.IGNORECASE,
)

_ECHO = re.compile(r"; messages = \[|,? ?input_value=|,? ?['\"]input['\"]: ")
"""Where a message goes on with what was sent. Source: ggml-org/llama.cpp issue 12947; pydantic."""

_SAID = ("message", "detail", "msg", "error_msg", "status_msg", "Message")
"""Fields of an error with its text. Source: OpenAI API reference; FastAPI (detail); Baidu Qianfan
(error_msg) and MiniMax (base_resp.status_msg) API references; AWS (Message)."""

_HINTS = {
    401: "is the key in the variable that api_key_env names?",
    402: "is the account of the key in credit?",
    403: "is the key in the variable that api_key_env names?",
    404: "check base_url (does it end in /v1?) and model",
}


class Response(NamedTuple):
    """A response of any status, whose body was read to the end."""

    status: int
    headers: Mapping[str, str]
    """Their names are in lower case."""
    content: bytes


class Retry(Exception):
    """A failure after which another attempt may succeed."""

    def __init__(
        self, error: ServiceError, after: float | None = None, *, sent: bool = True
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after
        self.sent = sent
        """Whether the server may have received the request."""


class Failure(NamedTuple):
    """An error as the server tells it."""

    status: int
    """Its own status, where it carries one; else that of the response."""
    message: str
    codes: str = ""
    """Its type and code, for machines."""
    parameters: tuple[str, ...] = ()
    """The parameters that it is about, where it names them in a field."""

    @property
    def text(self) -> str:
        return f"{self.message} {self.codes}"


def failed(response: Response, body: JsonValue) -> Failure | None:
    """The failure that a response holds, or None for a reply.

    Args:
        response: Of any status.
        body: Its JSON; None where it is none.
    """
    told = _told(body)
    if response.status == 200:
        return None if told is None else told._replace(status=_own_status(body) or 500)
    if told is None:
        said = response.content[:MAX_MESSAGE_CHARS].decode(errors="replace")
        return Failure(response.status, said)
    return told._replace(status=response.status)


def error_of(url: str, failure: Failure, headers: Mapping[str, str], section: str) -> Exception:
    """The error for a failure: `Retry`, `ContextOverflow`, or `ServiceError` with advice."""
    status, said = failure.status, printable(failure.message)[:MAX_SHOWN_CHARS]
    problem = f"{url}: status {status}: {said}"
    if _NO_MONEY.search(failure.text):
        return ServiceError(f"{problem}; {_HINTS[402]}")
    if status == 429 or _RATE.search(failure.text):
        return Retry(ServiceError(problem), pause(headers, failure.message))
    if status not in _NEVER_FULL and context_is_full(failure.text):
        if output_alone_is_too_long(failure.text):
            limit = "environment.limits.max_turn_tokens"
            return ServiceError(f"{problem}; one turn may be longer than all: lower {limit}")
        return ContextOverflow(f"{url}: {said}")
    known = advice(failure.message, failure.parameters, section)
    if known and status not in (502, 503, 504):
        return ServiceError(f"{problem}; {known}")
    if status in _RETRIED or status >= 500:
        return Retry(ServiceError(problem), pause(headers, failure.message))
    if status == 413 or _TOO_MANY_BYTES.search(failure.text):
        return ServiceError(
            f"{problem}; the request has too many bytes for the server, and its context is not "
            f'full: lower environment.view.max_pixels, or set {section}.image_format="jpeg"'
        )
    hint = _hint(failure, headers)
    return ServiceError(f"{problem}{'; ' if hint else ''}{hint}")


def _hint(failure: Failure, headers: Mapping[str, str]) -> str:
    """What to look at."""
    if 300 <= failure.status < 400:
        place = printable(bare(headers.get("location", "another address")))[:MAX_SHOWN_CHARS]
        return f"it sends on to {place}, where the key is not sent: is base_url the right one?"
    if _MODERATED.search(failure.text):
        return "the provider refuses what is in the question"
    return _HINTS.get(failure.status, "")


def _told(body: JsonValue) -> Failure | None:
    """The error in a body, without a status."""
    for whole in tables(body):
        error = _error_in(whole)
        if not error and (whole.get("object") == "error" or not whole.get("choices")):
            error = next((whole for name in _SAID if whole.get(name)), None)
        if error:
            return _as_failure(error)
    return None


def _error_in(whole: Mapping[str, JsonValue]) -> JsonValue:
    """The field with the error, of the whole or of its first choice (OpenRouter)."""
    choices = tables(whole.get("choices"))
    of_choice = choices[0].get("error") if choices else None
    base = table(whole.get("base_resp"))
    failed_base = base if base.get("status_code") else None
    return whole.get("error") or whole.get("errors") or of_choice or failed_base


def _as_failure(error: JsonValue) -> Failure:
    """An error is an object, a text, or a list of either."""
    first = items(error)[0] if items(error) else error
    if not isinstance(first, dict):
        return Failure(0, word(first)[:MAX_MESSAGE_CHARS] or "an error without a message")
    inner = table(first.get("error")) or first
    names = [word(inner.get("param"))] if word(inner.get("param")) else []
    said = next(filter(None, (word(inner.get(name)) for name in _SAID)), "")
    for detail in _details(inner):
        said = said or word(detail) or word(table(detail).get("msg"))
        place = items(table(detail).get("loc"))
        if place and "extra" in word(table(detail).get("type")):
            names.append(word(place[-1]))
    codes = " ".join(word(inner.get(key)) for key in ("type", "code", "status", "error_type"))
    said = said or word(inner.get("error")) or codes.strip() or "an error without a message"
    said = _ECHO.split(said + _behind(inner))[0]
    return Failure(0, said[:MAX_MESSAGE_CHARS], codes.strip(), tuple(filter(None, names)))


def _behind(error: Mapping[str, JsonValue]) -> str:
    """What the provider behind OpenRouter said. Source: OpenRouter docs, "Errors", metadata.raw."""
    raw = texts(table(error.get("metadata")).get("raw"), "error", "message", "code")
    return f" ({raw})" if raw else ""


def _details(error: Mapping[str, JsonValue]) -> list[JsonValue]:
    """FastAPI's list of what is wrong; Mistral puts it into the message."""
    return items(error.get("detail")) or items(table(error.get("message")).get("detail"))


def _own_status(body: JsonValue) -> int | None:
    """The status that an error carries in its fields, as a number or a name."""
    for whole in tables(body):
        first = items(_error_in(whole))
        error = table(first[0]) if first else whole
        for key in ("code", "status", "status_code", "statusCode", "type"):
            value = error.get(key)
            if re.fullmatch(r"[45][0-9][0-9]", word(value)):
                return int(word(value))
            if word(value).upper() in _STATUS_OF:
                return _STATUS_OF[word(value).upper()]
    return None
