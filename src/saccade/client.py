"""The HTTP client of everything that talks to a chat server: policies, judges, teachers.

One place for retries, time-outs, several endpoints, a cache and a budget. It speaks the OpenAI
chat-completions format over httpx and sends and reads exactly the bytes that it is given: a body
is read up to a limit, and nothing is rewritten on the way.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from saccade.errors import (
    BudgetExceeded,
    ContextOverflow,
    ServiceError,
    ServiceTimeout,
)
from saccade.types import Record, WireCall

if TYPE_CHECKING:
    import httpx

MAX_REPLY_BYTES = 64 * 2**20
MAX_RETRY_AFTER_S = 60.0
IMAGE_TOKENS_BOUND = 16384
"""An image counts as this many prompt tokens when the cost of a request is bounded."""

_RETRY = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_OVERFLOW = (
    "context_length_exceeded",  # OpenAI
    "maximum context length",  # OpenAI, vLLM
    "longer than the maximum model length",  # vLLM
    "longer than the model's context length",  # SGLang
)


class ClientOptions(Record):
    """A chat server, or several that serve the same model."""

    base_url: str | tuple[str, ...]
    """One or more, such as "http://127.0.0.1:8000/v1"."""
    model: str = Field(min_length=1)
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable with the key; the key itself is never written anywhere."""
    server: Literal["openai", "vllm"] = "openai"
    """"vllm" (also SGLang) may be asked to keep stop strings and special tokens in the text."""
    timeout_s: float = Field(default=300.0, gt=0)
    """For one attempt."""
    max_retries: int = Field(default=4, ge=0)
    backoff_s: float = Field(default=0.5, gt=0)
    """Pause before the first retry; doubled each time, up to 30 s, with jitter."""
    cooldown_s: float = Field(default=10.0, ge=0)
    """An endpoint that failed is left alone for this long if there is another."""
    concurrency: int = Field(default=64, ge=1)
    price_in: float = Field(default=0.0, ge=0)
    """Money per million prompt tokens."""
    price_out: float = Field(default=0.0, ge=0)
    budget: float | None = Field(default=None, gt=0)
    """Most money to spend; a request that could exceed it is not sent."""
    cache: Path | None = None
    """Folder of replies by the hash of their request."""

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for url in (value,) if isinstance(value, str) else value:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"expected http://HOST/v1 or https://HOST/v1, got {url!r}")
        if not value:
            raise ValueError("at least one URL is needed")
        return value

    @property
    def urls(self) -> tuple[str, ...]:
        """The endpoints without a trailing slash."""
        several = (self.base_url,) if isinstance(self.base_url, str) else self.base_url
        return tuple(url.rstrip("/") for url in several)


class Usage(Record):
    """Tokens that a server counted."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Reply(Record):
    """What a server answered."""

    text: str
    finish: str
    """The server's `finish_reason`; "stop" where it gives none."""
    stop_reason: str | None = None
    """The stop string that ended the text, where the server says it (vLLM)."""
    tool_calls: tuple[WireCall, ...] = ()
    usage: Usage = Usage()
    model: str = ""


class ChatClient:
    """Sends chat requests. Safe for any number of concurrent calls in one event loop."""

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._slots = asyncio.Semaphore(options.concurrency)
        self._down_until = dict.fromkeys(options.urls, 0.0)
        self._next = 0
        self._http: httpx.AsyncClient | None = None
        self.spent = 0.0
        """Money, by the server's token counts; requests under way count with their bound."""

    @property
    def model(self) -> str:
        return self._options.model

    async def complete(
        self, system: str, user: str, *, max_tokens: int, temperature: float, seed: int
    ) -> str:
        """The text of the reply to one system and one user message.

        Raises:
            ServiceError: as for `chat`.
        """
        messages: list[JsonValue] = [
            {"role": "system", "content": system},
            {"role": "user", "content": user},
        ]
        body = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        return (await self.chat({"messages": messages, **body})).text

    async def chat(self, body: Mapping[str, JsonValue]) -> Reply:
        """Send one request; `model` is added.

        Raises:
            ContextOverflow: the server says that the prompt is too long.
            BudgetExceeded: the request could cost more than what is left.
            ServiceTimeout: no attempt was answered in time.
            ServiceError: the server refuses, or fails after all retries.
        """
        request = {"model": self._options.model, **body}
        data = json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
        kept = self._cached(data)
        if kept is not None:
            return kept
        bound = self._reserve(request)
        try:
            async with self._slots:
                reply = await self._with_retries(data)
        except (ServiceTimeout, asyncio.CancelledError):
            raise  # the server may have done the work: its bound stays spent
        except BaseException:
            self.spent -= bound
            raise
        self.spent += self._price(reply.usage, bound) - bound
        self._keep(data, reply)
        return reply

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _with_retries(self, data: bytes) -> Reply:
        options = self._options
        for attempt in range(options.max_retries + 1):
            url = self._endpoint()
            try:
                return await self._post(url, data)
            except _Retry as failure:
                self._down_until[url] = time.monotonic() + options.cooldown_s
                if attempt == options.max_retries:
                    raise failure.error from failure.error.__cause__
                others = any(
                    other != url and until <= time.monotonic()
                    for other, until in self._down_until.items()
                )
                pause = min(30.0, options.backoff_s * 2**attempt) * random.uniform(0.5, 1.0)
                if failure.after is not None:
                    pause = max(pause, min(failure.after, MAX_RETRY_AFTER_S))
                await asyncio.sleep(0 if others else pause)
        raise AssertionError("unreachable")

    async def _post(self, url: str, data: bytes) -> Reply:
        import httpx

        key = os.environ.get(self._options.api_key_env) or "EMPTY"
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        if self._http is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
            self._http = httpx.AsyncClient(timeout=None, limits=limits, follow_redirects=False)
        content = b""
        try:
            async with (
                asyncio.timeout(self._options.timeout_s),
                self._http.stream(
                    "POST", f"{url}/chat/completions", content=data, headers=headers
                ) as response,
            ):
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > MAX_REPLY_BYTES:
                        raise ServiceError(f"{url}: a reply of more than {MAX_REPLY_BYTES} bytes")
        except TimeoutError:
            late = ServiceTimeout(f"{url}: no reply within {self._options.timeout_s:g} s")
            raise _Retry(late) from None
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise _Retry(ServiceError(f"{url}: {reason}")) from error
        return _read(url, response.status_code, response.headers, content)

    def _endpoint(self) -> str:
        """The next healthy endpoint in turn; if none is, the one that recovers first."""
        urls, now = self._options.urls, time.monotonic()
        for step in range(len(urls)):
            url = urls[(self._next + step) % len(urls)]
            if self._down_until[url] <= now:
                self._next = (self._next + step + 1) % len(urls)
                return url
        return min(urls, key=self._down_until.__getitem__)

    def _reserve(self, request: Mapping[str, JsonValue]) -> float:
        """Set aside the most that a request can cost."""
        options = self._options
        if not options.price_in and not options.price_out:
            return 0.0
        size = _size(request["messages"])
        limit = request.get("max_tokens")
        out = limit if isinstance(limit, int) else IMAGE_TOKENS_BOUND
        bound = (size * options.price_in + out * options.price_out) / 1e6
        if options.budget is not None and self.spent + bound > options.budget:
            raise BudgetExceeded(
                f"{options.model}: {self.spent:.4f} of {options.budget:g} is spent and the next "
                f"request may cost {bound:.4f}; raise budget to go on"
            )
        self.spent += bound
        return bound

    def _price(self, usage: Usage, bound: float) -> float:
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            return bound
        options = self._options
        tokens_in, tokens_out = usage.prompt_tokens, usage.completion_tokens
        return (tokens_in * options.price_in + tokens_out * options.price_out) / 1e6

    def _cache_file(self, data: bytes) -> Path | None:
        folder = self._options.cache
        return folder / f"{hashlib.sha256(data).hexdigest()}.json" if folder else None

    def _cached(self, data: bytes) -> Reply | None:
        file = self._cache_file(data)
        if file is None or not file.exists():
            return None
        try:
            return Reply.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            return None  # a damaged entry is asked again and replaced

    def _keep(self, data: bytes, reply: Reply) -> None:
        file = self._cache_file(data)
        if file is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_text(reply.model_dump_json())
        part.replace(file)


class _Retry(Exception):
    """A failure that another attempt may cure."""

    def __init__(self, error: ServiceError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


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
    stop_reason: str | int | None = None


class _Counts(BaseModel):
    model_config = ConfigDict(extra="ignore")
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Body(BaseModel):
    """The part of a chat completion that is used. Source: OpenAI API reference, chat object."""

    model_config = ConfigDict(extra="ignore")
    choices: list[_Choice] = Field(min_length=1)
    usage: _Counts | None = None
    model: str = ""


_HINTS = {
    401: "is the key in the variable that api_key_env names?",
    403: "is the key in the variable that api_key_env names?",
    404: "check base_url (does it end in /v1?) and model",
}


def _read(url: str, status: int, headers: Mapping[str, str], content: bytes) -> Reply:
    """The reply in a response.

    Raises:
        _Retry: worth another attempt.
        ContextOverflow: the prompt is too long.
        ServiceError: not worth another attempt.
    """
    excerpt = content[:300].decode(errors="replace")
    if status in _RETRY:
        after = headers.get("retry-after", "")
        pause = float(after) if after.replace(".", "", 1).isdecimal() else None
        raise _Retry(ServiceError(f"{url}: status {status}: {excerpt}"), pause)
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
        raise _Retry(ServiceError(problem)) from error
    choice = body.choices[0]
    calls = choice.message.tool_calls or []
    return Reply(
        text=choice.message.content or "",
        finish=choice.finish_reason or "stop",
        stop_reason=choice.stop_reason if isinstance(choice.stop_reason, str) else None,
        tool_calls=tuple(
            WireCall(id=c.id, name=c.function.name, arguments=c.function.arguments) for c in calls
        ),
        usage=Usage.model_validate((body.usage or _Counts()).model_dump()),
        model=body.model,
    )


def _size(value: JsonValue) -> int:
    """An upper bound of prompt tokens: a token is at least a byte; an image has its own bound."""
    if isinstance(value, str):
        return IMAGE_TOKENS_BOUND if value.startswith("data:image/") else len(value.encode()) + 8
    if isinstance(value, list):
        return sum(map(_size, value))
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return 8
