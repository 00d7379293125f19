"""`service`: an index that other machines offer over HTTP (`saccade serve search`).

    tools.text_search = { provider = { kind = "service", digest = "7c0f...", urls = [
        "http://10.0.0.5:8788", "http://10.0.0.6:8788"] } }

Every host has the same index, which `digest` names. A query goes to the healthy host with the
fewest requests under way. One that does not answer, fails, or answers with something else than a
search server does is avoided for a while, and the query goes to another one. A host that says that
it is full is asked again later.

Guaranteed: a result comes from an index of the named digest, which each answer states; a host that
dies costs its queries another attempt, and none of them its result. Not guaranteed: that a host
that lies about its digest is found out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pydantic import ConfigDict, Field, JsonValue, field_validator

from saccade.client.endpoints import Endpoints
from saccade.client.wordings.pause import pause
from saccade.errors import ConfigError, ServiceError, ServiceRefused
from saccade.search.found import Kind, Query, Results
from saccade.search.local.store.document import Document
from saccade.search.wire import Untrue, document_of, query_to_json, results_of
from saccade.types import Record
from saccade.untrusted.printable import one_line
from saccade.untrusted.redactor import Redactor
from saccade.untrusted.secrets import check_address, check_variable
from saccade.untrusted.values import parsed, table, word

if TYPE_CHECKING:
    import httpx

MAX_ANSWER_BYTES = 64 << 20
LARGE = 64 << 10
"""Bytes of an answer that are read beside the event loop."""
MAX_REASON = 300
"""Number of characters of what a host gives as a reason."""
LONGEST_PAUSE_S = 10.0
"""The longest time for which a full host is left alone before it is asked again."""
CONNECT_S = 5.0
"""Seconds until a host must have taken a connection."""
SEARCH, DOCUMENT, HEALTH = "/v1/search", "/v1/document", "/v1/health"

T = TypeVar("T")
Answer = Mapping[str, JsonValue]

_log = logging.getLogger(__name__)


class _Lost(Exception):
    """A host that does not answer, or with something else than a search server does."""


class _Full(Exception):
    """A host that takes no more for the moment."""

    def __init__(self, after: float) -> None:
        super().__init__()
        self.after = after


class _Open(NamedTuple):
    """What is open while hosts are asked."""

    client: httpx.AsyncClient
    endpoints: Endpoints


class ServiceOptions(Record):
    """Servers that offer one index."""

    model_config = ConfigDict(hide_input_in_errors=True)  # somebody may have put a token there

    urls: tuple[str, ...] = Field(min_length=1)
    """Addresses of the hosts, such as "http://10.0.0.5:8788"."""
    digest: str = Field(pattern=r"^[0-9A-Za-z_.:-]{8,128}$")
    """The hash of the index that they offer; `saccade serve search` says it when it starts."""
    token_env: str = "SACCADE_SEARCH_TOKEN"
    """Name of the environment variable with the token that the hosts want."""
    timeout_s: float = Field(default=10.0, gt=0)
    """Seconds in which a host must answer a request; afterwards another one is asked."""
    cooldown_s: float = Field(default=10.0, ge=0)
    """Seconds for which a host that failed is avoided while another one is healthy."""

    @field_validator("urls")
    @classmethod
    def _are_http(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            check_address(url, "token_env")
        return urls

    @field_validator("token_env")
    @classmethod
    def _is_a_variable(cls, value: str) -> str:
        check_variable(value)
        return value


class Service:
    """Searches an index on other machines. For one event loop at a time."""

    Options = ServiceOptions
    name = "service"
    kinds: frozenset[Kind] = frozenset({"text", "image"})
    """What can be asked; an index without pictures refuses an image."""

    def __init__(self, options: ServiceOptions) -> None:
        """Remember the options; `start` or the first query asks the hosts."""
        self._options = options
        self._urls = tuple(dict.fromkeys(url.rstrip("/") for url in options.urls))
        self._token = os.environ.get(options.token_env, "").strip()
        if not (self._token.isascii() and self._token.isprintable()) or " " in self._token:
            raise ConfigError(
                f"{options.token_env}: a client shows one token, of letters that can be sent"
            )
        self._hide = Redactor({options.token_env: self._token})
        self._open: _Open | None = None

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        """The hash of the index; not where the hosts are."""
        return {"index": self._options.digest}

    async def start(self) -> None:
        """Ask each host what it offers; those that do not answer are avoided for a while.

        Raises:
            ConfigError: a host offers another index, or does not take the token.
            ServiceError: no host answers.
        """
        if self._open is not None:
            return
        opened = self._opened()
        said = await asyncio.gather(*map(self._health, self._urls), return_exceptions=True)
        lost: list[_Lost] = []
        for url, answer in zip(self._urls, said, strict=True):
            if isinstance(answer, _Lost):
                opened.endpoints.failed(url)
                lost.append(answer)
            elif isinstance(answer, BaseException):
                await self.close()
                raise answer
        if len(lost) == len(self._urls):
            await self.close()
            raise ServiceError(f"search: none of {len(lost)} hosts answers; the last: {lost[-1]}")

    async def search(self, query: Query) -> Results:
        """Search at one host after the other, until one answers.

        Raises:
            ConfigError: a host offers another index, or does not take the token.
            ServiceRefused: the index cannot be searched so.
            ServiceError: no host answers.
        """
        if query.image is None:
            body = json.dumps(query_to_json(query)).encode()
        else:
            body = await asyncio.to_thread(lambda: json.dumps(query_to_json(query)).encode())
        return await self._asked(SEARCH, body, lambda said: results_of(said, query.k, self._hide))

    async def document(self, name: str) -> Document | None:
        """A document of the index; None where there is none of this id or URL.

        Raises:
            ConfigError: a host offers another index, or does not take the token.
            ServiceRefused: what is served has no documents that can be read.
            ServiceError: no host answers.
        """
        body = json.dumps({"name": name}).encode()
        return await self._asked(DOCUMENT, body, lambda said: document_of(said, self._hide))

    async def close(self) -> None:
        """Close all connections."""
        opened, self._open = self._open, None
        if opened is not None:
            await opened.endpoints.close()
            await opened.client.aclose()

    async def _asked(self, path: str, body: bytes, read: Callable[[Answer], T]) -> T:
        """The answer of the first host that gives one."""
        endpoints = self._opened().endpoints
        for _ in self._urls:
            url = endpoints.choose()
            try:
                with endpoints.busy(url):
                    answer = await self._when_not_full(url, path, body, read)
            except _Lost as lost:
                endpoints.failed(url)
                last = lost
                if not endpoints.others_than(url):
                    break
            else:
                endpoints.answered(url)
                return answer
        raise ServiceError(f"search: no host answers; the last: {last}")

    async def _when_not_full(
        self, url: str, path: str, body: bytes, read: Callable[[Answer], T]
    ) -> T:
        """An answer of a host, which is asked again for as long as it is full.

        How long that may be, is for whoever waits to say: a full host is a healthy one.
        """
        while True:
            try:
                return read(await self._attempt(url, path, body))
            except Untrue as error:
                raise _Lost(f"{url}: {error}") from error
            except _Full as full:
                await asyncio.sleep(min(LONGEST_PAUSE_S, full.after) * random.uniform(0.5, 1.5))

    async def _attempt(self, url: str, path: str, body: bytes | None) -> Answer:
        """One request, and its answer if it comes of the right index."""
        import httpx

        from saccade.client.post import unpacked

        client, limit = self._opened().client, self._options.timeout_s
        method = "GET" if body is None else "POST"
        try:
            async with asyncio.timeout(limit):
                status, headers, data = await unpacked(
                    client, method, url + path, body, "application/json", max_bytes=MAX_ANSWER_BYTES
                )
        except ServiceError as error:
            raise _Lost(str(error)) from None
        except TimeoutError:
            raise _Lost(f"{url}: no answer within {limit:g} s") from None
        except httpx.HTTPError as error:
            raise _Lost(f"{url}: {type(error).__name__}") from None
        if status == 429:
            raise _Full(pause(headers) or 1.0)
        if status >= 500 or status == 408:
            raise _Lost(f"{url}: HTTP {status}: {self._said(data)}")
        if status != 200:
            raise self._refusal(url, status, data)
        try:
            large = len(data) > LARGE
            answer = table(await asyncio.to_thread(parsed, data) if large else parsed(data))
        except ValueError:
            raise _Lost(f"{url}: an answer that is no JSON") from None
        digest = answer.get("digest")
        if not isinstance(digest, str):
            raise _Lost(f"{url}: an answer that does not say of which index it is")
        if digest != self._options.digest:
            shown = one_line(self._hide(digest[:128])) or "without a name"
            raise ConfigError(
                f"search: {url} offers the index {shown}, and this run says "
                f"{self._options.digest}; serve the same index everywhere, or correct digest"
            )
        return answer

    def _refusal(self, url: str, status: int, data: bytes) -> ConfigError | ServiceRefused:
        said = f"search: {url}: HTTP {status}: {self._said(data)}"
        if status in (413, 422):
            return ServiceRefused(said)
        hint = f"; the token is read from {self._options.token_env}" if status == 401 else ""
        return ConfigError(f"{said}{hint}")

    def _said(self, data: bytes) -> str:
        """The reason that a host gives, as a message may hold it."""
        try:
            reason = word(table(parsed(data[:4096])).get("error"))
        except ValueError:
            reason = ""
        return one_line(self._hide(reason))[:MAX_REASON] or "no reason"

    async def _health(self, url: str) -> None:
        await self._attempt(url, HEALTH, None)

    async def _is_up(self, url: str) -> bool:
        """Whether a host that failed answers again, and with the right index."""
        try:
            await self._health(url)
        except (_Lost, _Full):
            return False
        except ConfigError as error:
            _log.warning("%s", error)
            return False
        return True

    def _opened(self) -> _Open:
        if self._open is None:
            import httpx

            from saccade.client.post import trusted_certificates

            token = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            client = httpx.AsyncClient(
                headers=token, trust_env=False, follow_redirects=False,
                timeout=httpx.Timeout(None, connect=CONNECT_S), verify=trusted_certificates(),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            )  # fmt: skip
            endpoints = Endpoints(self._urls, self._is_up, cooldown_s=self._options.cooldown_s)
            self._open = _Open(client, endpoints)
        return self._open
