"""The HTTP client of everything that talks to a chat server: policies, judges, teachers.

Retries, time-outs, several endpoints, a cache and a budget are handled here and nowhere else. The
client speaks the OpenAI chat-completions format over httpx. It sends a request as it is given, and
reads a reply up to a limit.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import random
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from saccade.client.reply import Reply, Response, Retry, Usage, read
from saccade.errors import (
    BudgetExceeded,
    ConfigError,
    ServiceError,
    ServiceTimeout,
)
from saccade.types import Record

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)

MAX_REPLY_BYTES = 64 * 2**20
"""Longer replies are refused."""
MAX_RETRY_AFTER_S = 60.0
"""The longest pause that a server can demand before a retry."""
IMAGE_TOKENS_BOUND = 16384
"""Number of prompt tokens that an image counts for when the cost of a request is bounded."""

_NO_PROXY = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
"""Requests to this machine bypass a proxy of the environment, which could not reach it."""


class ClientOptions(Record):
    """A chat server, or several that serve the same model."""

    base_url: str | tuple[str, ...]
    """One endpoint or more, such as "http://127.0.0.1:8000/v1"."""
    model: str = Field(min_length=1)
    """Name of the model on the server."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable with the key; the key itself is never written anywhere."""
    server: Literal["openai", "vllm", "sglang"] = "openai"
    """Kind of the server: vllm and sglang can keep stop strings and special tokens in the text."""
    timeout_s: float = Field(default=300.0, gt=0)
    """Seconds that one attempt may take."""
    deadline_s: float = Field(default=1200.0, gt=0)
    """Seconds that a request may take, with all its attempts and the pauses between them."""
    max_retries: int = Field(default=4, ge=0)
    """Number of attempts after the first one."""
    backoff_s: float = Field(default=0.5, gt=0)
    """Seconds before the first retry; the pause doubles each time, up to 30 s, with jitter."""
    cooldown_s: float = Field(default=10.0, ge=0)
    """Seconds for which an endpoint that failed is avoided while another one is healthy."""
    concurrency: int = Field(default=64, ge=1)
    """Number of requests that may be under way at the same time; further requests wait."""
    price_in: float = Field(default=0.0, ge=0)
    """Price of a million prompt tokens."""
    price_out: float = Field(default=0.0, ge=0)
    """Price of a million completion tokens."""
    budget: float | None = Field(default=None, gt=0)
    """Money that may be spent; a request that could exceed it is not sent."""
    cache: Path | None = None
    """Folder that keeps replies by the hash of their request."""

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for url in (value,) if isinstance(value, str) else value:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"expected http://HOST/v1 or https://HOST/v1, got {url!r}")
            if parts.username or parts.password:
                raise ValueError("a URL with a password; name its variable in api_key_env")
            _ = parts.port  # refuses what is no port number
        if not value:
            raise ValueError("at least one URL is needed")
        return value

    @model_validator(mode="after")
    def _budget_has_prices(self) -> Self:
        if self.budget is not None and not self.price_in and not self.price_out:
            raise ValueError("budget needs price_in and price_out: without them nothing is counted")
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """The endpoints without a trailing slash."""
        several = (self.base_url,) if isinstance(self.base_url, str) else self.base_url
        return tuple(url.rstrip("/") for url in several)


class ChatClient:
    """Sends chat requests. Safe for any number of concurrent calls in one event loop."""

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._slots = asyncio.Semaphore(options.concurrency)
        self._down_until = dict.fromkeys(options.urls, 0.0)
        self._next = 0
        self._http: httpx.AsyncClient | None = None
        self.spent = 0.0
        """Money spent, by the server's token counts; a request under way counts with its bound."""

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
        """Send one request, to which `model` is added, and return the reply.

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
        limit = self._options.deadline_s
        async with self._slots:
            try:
                async with asyncio.timeout(limit) as deadline:
                    reply = await self._with_retries(data, self._bound(request))
            except TimeoutError as error:
                if not deadline.expired():
                    raise
                late = f"{self.model}: no reply within {limit:g} s and all its attempts"
                raise ServiceTimeout(late) from error
        self._keep(data, reply)
        return reply

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _with_retries(self, data: bytes, bound: float) -> Reply:
        options = self._options
        for attempt in range(options.max_retries + 1):
            url = self._endpoint()
            try:
                return await self._attempt(url, data, bound)
            except Retry as failure:
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

    async def _attempt(self, url: str, data: bytes, bound: float) -> Reply:
        """One attempt, which the budget pays for unless the server refuses it.

        A reply that was lost is paid for as well: the server may have billed it.
        """
        budget = self._options.budget
        if budget is not None and self.spent + bound > budget:
            raise BudgetExceeded(
                f"{self.model}: {self.spent:.4f} of {budget:g} is spent and the next request may "
                f"cost {bound:.4f}; raise budget to go on"
            )
        self.spent += bound
        cost = bound
        try:
            response = await self._post(url, data)
            if response.status != 200:
                cost = 0.0
            reply = read(url, response)
            cost = self._price(reply.usage, bound)
        except Retry as failure:
            if not failure.sent:
                cost = 0.0
            raise
        finally:
            self.spent += cost - bound
        return reply

    async def _post(self, url: str, data: bytes) -> Response:
        import httpx

        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key()}"}
        if self._http is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
            self._http = httpx.AsyncClient(
                timeout=None, limits=limits, follow_redirects=False, mounts=_NO_PROXY
            )
        content = bytearray()
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
            raise Retry(late) from None
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            sent = not isinstance(error, httpx.ConnectError)
            raise Retry(ServiceError(f"{url}: {reason}"), sent=sent) from error
        return Response(response.status_code, response.headers, bytes(content))

    def _key(self) -> str:
        name = self._options.api_key_env
        key = os.environ.get(name, "").strip() or "EMPTY"
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(
                f"{name}: the key in it has characters that no key has; copy it again"
            )
        return key

    def _endpoint(self) -> str:
        """The next healthy endpoint in turn; if there is none, the one that recovers first."""
        urls, now = self._options.urls, time.monotonic()
        for step in range(len(urls)):
            url = urls[(self._next + step) % len(urls)]
            if self._down_until[url] <= now:
                self._next = (self._next + step + 1) % len(urls)
                return url
        return min(urls, key=self._down_until.__getitem__)

    def _bound(self, request: Mapping[str, JsonValue]) -> float:
        """The most that one attempt can cost."""
        options = self._options
        if not options.price_in and not options.price_out:
            return 0.0
        size = _size(dict(request))
        limit = request.get("max_tokens")
        out = limit if isinstance(limit, int) else IMAGE_TOKENS_BOUND
        return (size * options.price_in + out * options.price_out) / 1e6

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
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=file.parent, suffix=".part", delete=False
            ) as part:
                part.write(reply.model_dump_json())
            os.replace(part.name, file)
        except OSError as error:  # the reply is paid for: a full disk must not lose it
            _log.warning("%s: the reply is not cached: %s", file, error)


def _size(value: JsonValue) -> int:
    """An upper bound of the prompt tokens: a token has at least a byte, an image its own bound."""
    if isinstance(value, str):
        return len(value.encode()) + 8
    if isinstance(value, list):
        return sum(map(_size, value))
    if isinstance(value, dict):
        if value.get("type") == "image_url":
            return IMAGE_TOKENS_BOUND
        return sum(_size(key) + _size(inner) for key, inner in value.items())
    return 8
