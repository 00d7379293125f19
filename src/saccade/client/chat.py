"""The HTTP client of everything that talks to a chat server: policies, judges, teachers.

Retries, time-outs, several endpoints, a cache and a budget are handled here and nowhere else. The
client speaks the OpenAI chat-completions format over httpx, in the words of the kind of server. It
sends a conversation as it is given, and reads a reply up to a limit.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import JsonValue

from saccade.client import cache
from saccade.client.endpoints import Endpoints
from saccade.client.failures import Response, Retry
from saccade.client.options import ClientOptions
from saccade.client.reply import Reply, Usage, read
from saccade.client.request import (
    body_of,
    cache_key,
    cost_bound,
    headers_of,
    not_sent,
    secrets_of,
    url_of,
)
from saccade.errors import BudgetExceeded, ContextOverflow, ServiceTimeout
from saccade.untrusted.redactor import Redactor
from saccade.untrusted.secrets import bare

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)

MAX_REPLY_BYTES = 64 * 2**20
"""Longer replies are refused."""
MAX_RETRY_AFTER_S = 60.0
"""The longest pause that a server can demand before a retry."""


class ChatClient:
    """Sends chat requests. Safe for any number of concurrent calls in one event loop.

    Args:
        options: Of the server.
        section: The section of the run file that holds them, for advice in messages.
    """

    def __init__(self, options: ClientOptions, *, section: str = "policy") -> None:
        self._options = options
        self._section = section
        self._slots = asyncio.Semaphore(options.concurrency)
        self._endpoints = Endpoints(options.urls, self._is_up, cooldown_s=options.cooldown_s)
        self._warned: set[str] = set()
        self._http: httpx.AsyncClient | None = None
        self._hidden: tuple[dict[str, str], Redactor] = ({}, Redactor({}))
        self.spent = 0.0
        """Money spent, by the server's token counts; a request under way counts with its bound."""

    @property
    def model(self) -> str:
        return self._options.model

    async def complete(
        self, system: str, user: str, *, max_tokens: int, temperature: float, seed: int
    ) -> str:
        """The text of the reply to one system and one user message; an empty one is not sent.

        A reasoning parser that does not fit the model takes a whole reply for its thought.

        Raises:
            ServiceError: as for `chat`.
        """
        messages: list[JsonValue] = [{"role": "user", "content": user}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        body = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        reply = await self.chat({"messages": messages, **body})
        swallowed = not reply.text.strip() and reply.finish != "length"
        return reply.thought or "" if swallowed else reply.text

    async def chat(self, body: Mapping[str, JsonValue]) -> Reply:
        """Send one request, and return the reply.

        Args:
            body: In the words of OpenAI's API; `model` and what the server wants are added.

        Raises:
            ConfigError: a variable of the environment that the options name is missing.
            ContextOverflow: the server says that the prompt is too long.
            BudgetExceeded: the request could cost more than what is left.
            ServiceTimeout: no attempt was answered in time.
            ServiceError: the server refuses, or fails after all retries.
        """
        self._warn(not_sent(self._options, body))
        request = body_of(self._options, body)
        data = json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
        key = cache_key(self._options, data)
        known = cache.kept(self._options.cache, key)
        if known is not None:
            return known
        limit = self._options.deadline_s
        async with self._slots:
            try:
                async with asyncio.timeout(limit) as deadline:
                    reply = await self._with_retries(data, cost_bound(self._options, request))
            except TimeoutError as error:
                if not deadline.expired():
                    raise
                late = f"{self.model}: no reply within {limit:g} s and all its attempts"
                raise ServiceTimeout(late) from error
        cache.keep(self._options.cache, key, reply)
        return reply

    async def close(self) -> None:
        """Close all connections."""
        await self._endpoints.close()
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def _warn(self, names: list[str]) -> None:
        """Say once that a parameter is dropped, which a user may take to be in force."""
        new = [name for name in names if name not in self._warned]
        self._warned.update(new)
        if new:
            where = f"{self._section}.server={self._options.server}"
            force = f'{self._section}.rename.{new[0]}="{new[0]}"'
            text = "%s: %s takes no %s: not sent (%s sends it all the same)"
            _log.warning(text, where, self.model, ", ".join(new), force)

    async def _with_retries(self, data: bytes, bound: float) -> Reply:
        options, endpoints = self._options, self._endpoints
        # A server that is gone uses up none of the retries, while there is another one.
        for attempt in range(options.max_retries + len(options.urls)):
            url = endpoints.choose()
            try:
                with endpoints.busy(url):
                    reply = await self._attempt(url, data, bound)
            except Retry as failure:
                endpoints.failed(url)
                retries = attempt + 1 - (len(options.urls) - 1)
                if retries > options.max_retries:
                    raise failure.error from failure.error.__cause__
                pause = min(30.0, options.backoff_s * 2**attempt) * random.uniform(0.5, 1.0)
                if failure.after is not None:
                    pause = max(pause, min(failure.after, MAX_RETRY_AFTER_S))
                await asyncio.sleep(0 if endpoints.others_than(url) else pause)
            else:
                endpoints.answered(url)
                return reply
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
            redact = self._redactor()
            response = await self._post(url, data, redact)
            if response.status != 200:
                cost = 0.0
            reply = read(bare(url), response, section=self._section, redact=redact)
            cost = self._price(reply.usage, bound)
        except Retry as failure:
            if not failure.sent:
                cost = 0.0
            raise
        except ContextOverflow:
            cost = 0.0  # whatever the status of the response was
            raise
        finally:
            self.spent += cost - bound
        return reply

    def _redactor(self) -> Redactor:
        """What hides the secrets that a request holds; they may change from one to the next."""
        secrets = secrets_of(self._options)
        if secrets != self._hidden[0]:
            self._hidden = (secrets, Redactor(secrets))
        return self._hidden[1]

    async def _post(self, url: str, data: bytes, redact: Redactor) -> Response:
        from saccade.client import post

        headers, address = headers_of(self._options), url_of(self._options, url)
        return await post.post(
            self._client(),
            address,
            data,
            headers,
            name=bare(url),
            timeout_s=self._options.timeout_s,
            max_bytes=MAX_REPLY_BYTES,
            redact=redact,
        )

    async def _is_up(self, url: str) -> bool:
        """Whether a server answers at all; nothing is asked of its model."""
        from saccade.client import post

        address = url_of(self._options, url).replace("/chat/completions", "/models", 1)
        return await post.answers(self._client(), address, headers_of(self._options))

    def _client(self) -> httpx.AsyncClient:
        from saccade.client import post

        if self._http is None:
            self._http = post.new_client()
        return self._http

    def _price(self, usage: Usage, bound: float) -> float:
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            return bound
        options = self._options
        tokens_in, tokens_out = usage.prompt_tokens, usage.completion_tokens
        return (tokens_in * options.price_in + tokens_out * options.price_out) / 1e6
