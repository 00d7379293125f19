"""A search engine of the web: one request over HTTP, and what its answer means.

What this guarantees: a redirect is not followed, since it could take the key elsewhere; a reply is
bounded and read without trust; the key is taken out of whatever comes back, before anything reads
it, and no URL is logged with its query. What fails is an error of one of three kinds (see
`Provider.search`), never an empty result. What it does not: a service that was given a key has it;
and with the debug log of `httpcore` switched on, that log has the headers of replies.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal
from urllib.parse import urlencode

from pydantic import JsonValue

from saccade.client.failures import Failure, Response, Retry, failed
from saccade.client.wordings.pause import pause
from saccade.errors import ConfigError, ServiceError, ServiceRefused
from saccade.search.found import Kind, Query, Results
from saccade.search.web.options import WebOptions
from saccade.untrusted.printable import printable
from saccade.untrusted.redactor import Redactor
from saccade.untrusted.secrets import bare
from saccade.untrusted.values import parsed

if TYPE_CHECKING:
    import httpx

MAX_REPLY_BYTES = 8 * 2**20
"""Longer replies are refused."""
REQUEST_S = 600.0
"""Seconds that a request may take where nobody who asks has a limit; `Requester` has one."""
MAX_SHOWN = 300
"""Number of characters of what a service says that are shown."""

Verdict = Literal["key", "used up", "again", "refused"]
"""What a failure means: the key is not accepted, the account has nothing left, another attempt may
succeed, or this search would fail again."""

_AGAIN = {408, 409, 425, 429}
_BY_STATUS: dict[int, Verdict] = {401: "key", 402: "used up", 403: "key"}


class WebProvider:
    """Asks one service. It may be closed and started again; subclasses know its words.

    Args:
        options: Of the service.
        key_env: The variable with its key; None where it wants none.
    """

    name: ClassVar[str]
    kinds: frozenset[Kind] = frozenset({"text"})

    def __init__(self, options: WebOptions, key_env: str | None) -> None:
        self._web, self._key_env = options, key_env
        self._http: httpx.AsyncClient | None = None
        self._hidden: tuple[str, Redactor] = ("", Redactor({}))
        self.where = f"{self.name} ({bare(options.base_url)})"
        """What it is called in messages."""

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        """What its results depend on, as far as it can be chosen."""
        return self._web.chosen

    async def start(self) -> None:
        """Look for the key; nothing is asked.

        Raises:
            ConfigError: there is none.
        """
        self._key()

    async def search(self, query: Query) -> Results:
        """Search once; see `Provider.search`."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _get(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> dict[str, JsonValue]:
        """The JSON object that a GET is answered with; errors as of `Provider.search`."""
        from saccade.client import post

        address = f"{self._web.base_url}{path}?{urlencode(query)}"
        try:
            response = await post.get(
                self._client(),
                address,
                _common(headers),
                name=self.where,
                timeout_s=REQUEST_S,
                max_bytes=MAX_REPLY_BYTES,
                redact=self._redactor(),
            )
        except ServiceError as error:
            raise ServiceRefused(str(error)) from error
        return self._body_of(response)

    async def _post(
        self, path: str, body: Mapping[str, JsonValue], headers: Mapping[str, str]
    ) -> dict[str, JsonValue]:
        """The JSON object that a POST of JSON is answered with; errors as of `Provider.search`."""
        from saccade.client import post

        try:
            response = await post.post(
                self._client(),
                f"{self._web.base_url}{path}",
                json.dumps(body).encode(),
                {"Content-Type": "application/json", **_common(headers)},
                name=self.where,
                timeout_s=REQUEST_S,
                max_bytes=MAX_REPLY_BYTES,
                redact=self._redactor(),
            )
        except ServiceError as error:
            raise ServiceRefused(str(error)) from error
        return self._body_of(response)

    def _key(self) -> str:
        """The key; empty where the service wants none.

        Raises:
            ConfigError: there is none, or it cannot be one.
        """
        if self._key_env is None:
            return ""
        key = os.environ.get(self._key_env, "").strip()
        if not key:
            raise ConfigError(
                f"{self.name}: there is no key: export {self._key_env}=..., or name another "
                "variable in key_env"
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ConfigError(
                f"{self._key_env}: the key in it has characters that no key has; copy it again"
            )
        return key

    def _verdict(self, failure: Failure, body: JsonValue) -> Verdict | None:
        """What a failure means to this service; None where its status says it all."""
        return None

    def _said(self, body: JsonValue) -> JsonValue:
        """The part of a failing reply that says what happened."""
        return body

    def _pause(self, headers: Mapping[str, str], said: str) -> float | None:
        """Seconds that it asks to wait."""
        return pause(headers, said)

    def _body_of(self, response: Response) -> dict[str, JsonValue]:
        try:
            body = parsed(response.content)
        except ValueError:
            body = None
        if response.status != 200:
            raise self._failure(response, body)
        if not isinstance(body, dict):
            said = printable(response.content[:MAX_SHOWN].decode(errors="replace"))[:100]
            raise Retry(
                ServiceError(
                    f"{self.where}: expected a JSON object, got {said!r}; a proxy or a login page "
                    "may answer in its place"
                )
            )
        return body

    def _failure(self, response: Response, body: JsonValue) -> Exception:
        failure = failed(response, self._said(body))
        assert failure is not None
        status = response.status
        verdict = self._verdict(failure, body) or _by_status(status, body)
        problem = f"{self.where}: status {status}: {printable(failure.message)[:MAX_SHOWN]}"
        if verdict == "key":
            return ConfigError(f"{problem}; is the key in {self._key_env} the right one?")
        if verdict == "used up":
            return ServiceRefused(f"{problem}; the account of {self._key_env} has nothing left")
        if verdict == "again":
            after = self._pause(response.headers, failure.message)
            return Retry(ServiceError(problem), after)
        return ServiceRefused(problem + _hint(response))

    def _redactor(self) -> Redactor:
        """What hides the key; it may change from one request to the next."""
        key = self._key()
        if self._key_env is not None and key != self._hidden[0]:
            self._hidden = (key, Redactor({self._key_env: key}))
        return self._hidden[1]

    def _client(self) -> httpx.AsyncClient:
        from saccade.client import post

        if self._http is None:
            self._http = post.new_client()
        return self._http


def words_of(query: Query) -> str:
    """The words of a query as any service can be sent them."""
    return query.text.encode("utf-8", "replace").decode()


def _common(headers: Mapping[str, str]) -> dict[str, str]:
    return {"Accept": "application/json", "User-Agent": "saccade", **headers}


def _by_status(status: int, body: JsonValue) -> Verdict:
    verdict = _BY_STATUS.get(status)
    if verdict == "key" and not isinstance(body, dict):
        return "again"  # the page of a firewall: the service itself answers in JSON
    again = status < 300 or status >= 500 or status in _AGAIN
    return verdict or ("again" if again else "refused")


def _hint(response: Response) -> str:
    if 300 <= response.status < 400:
        place = printable(bare(response.headers.get("location", "another address")))[:MAX_SHOWN]
        return f"; it sends on to {place}, where no key is sent: is base_url the right one?"
    return "; is base_url the right one?" if response.status == 404 else ""
