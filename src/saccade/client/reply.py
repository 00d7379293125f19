"""The reading of a chat server's response: a reply, a reason to retry, or a refusal.

The format is OpenAI chat completions, with what vLLM and SGLang add to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from saccade.errors import ContextOverflow, ServiceError
from saccade.types import Record, WireCall

_RETRY = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_OVERFLOW = (
    "context_length_exceeded",  # OpenAI
    "maximum context length",  # OpenAI, vLLM
    "longer than the maximum model length",  # vLLM
    "longer than the model's context length",  # SGLang
    "Multimodal prompt is too long",  # SGLang
    "exceeds the available context size",  # llama.cpp
)


class Usage(Record):
    """The token counts of a server."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Reply(Record):
    """The part of a chat completion that is used here."""

    text: str
    finish: str
    """The server's `finish_reason`; "stop" where it gives none."""
    stop_reason: str | None = None
    """The stop string that ended the text, where the server names it (vLLM, SGLang)."""
    tool_calls: tuple[WireCall, ...] = ()
    usage: Usage = Usage()
    model: str = ""


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


class Response(NamedTuple):
    """A response of any status, whose body was read to the end."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class _Function(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str
    arguments: str = "{}"


class _Call(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: str
    function: _Function


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")
    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(BaseModel):
    model_config = ConfigDict(extra="ignore")
    message: _Message
    finish_reason: str | None = None
    stop_reason: str | int | None = None  # vLLM
    matched_stop: str | int | None = None  # SGLang


class _Counts(BaseModel):
    model_config = ConfigDict(extra="ignore")
    prompt_tokens: int | None = Field(default=None, ge=0)
    completion_tokens: int | None = Field(default=None, ge=0)


class _Body(BaseModel):
    """The JSON of a chat completion. Source: OpenAI API reference, the chat completion object."""

    model_config = ConfigDict(extra="ignore")
    choices: list[_Choice] = Field(min_length=1)
    usage: _Counts | None = None
    model: str | None = None


_HINTS = {
    401: "is the key in the variable that api_key_env names?",
    403: "is the key in the variable that api_key_env names?",
    404: "check base_url (does it end in /v1?) and model",
}


def read(url: str, response: Response) -> Reply:
    """The reply in a response.

    Raises:
        Retry: another attempt may succeed.
        ContextOverflow: the prompt is too long.
        ServiceError: another attempt would fail as well.
    """
    status, headers, content = response
    excerpt = content[:300].decode(errors="replace")
    if status in _RETRY:
        after = headers.get("retry-after", "")
        pause = float(after) if after.replace(".", "", 1).isdecimal() else None
        raise Retry(ServiceError(f"{url}: status {status}: {excerpt}"), pause)
    if status == 400 and any(mark in content.decode(errors="replace") for mark in _OVERFLOW):
        raise ContextOverflow(f"{url}: {excerpt}")
    if status != 200:
        hint = _HINTS.get(status, "")
        raise ServiceError(f"{url}: status {status}: {excerpt}{'; ' if hint else ''}{hint}")
    try:
        body = _Body.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{url}: not a chat completion ({first['msg']}): {excerpt}"
        raise Retry(ServiceError(problem)) from error
    choice = body.choices[0]
    if choice.finish_reason in ("abort", "error"):
        raise Retry(ServiceError(f"{url}: the server broke off: {choice.finish_reason}"))
    stopped_by = choice.stop_reason or choice.matched_stop
    calls = choice.message.tool_calls or []
    return Reply(
        text=choice.message.content or "",
        finish=choice.finish_reason or "stop",
        stop_reason=stopped_by if isinstance(stopped_by, str) else None,
        tool_calls=tuple(
            WireCall(id=c.id, name=c.function.name, arguments=c.function.arguments) for c in calls
        ),
        usage=Usage.model_validate((body.usage or _Counts()).model_dump()),
        model=body.model or "",
    )
