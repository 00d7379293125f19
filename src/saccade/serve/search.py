"""An index over HTTP, for workers on other machines.

    POST /v1/search      {"kind", "text", "image", "task_id", "k"} -> {"digest", "results", ...}
    POST /v1/document    {"name"} -> {"digest", "document"}; null where there is none
    GET  /v1/health      {"digest", "provider", "facts", "kinds", "documents", "waiting", ...}

`saccade.search.wire` has the format, `saccade.search.service` the client. `digest` is the hash of
all that results depend on; each answer states it. An image travels in base64, as a PNG or JPEG. A
document is asked for in a body, since the gate takes no query in a path.

All of them go through the gate (`saccade.serve.gate`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pydantic import JsonValue
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response

from saccade.client.failures import Retry
from saccade.config import Part, build
from saccade.errors import ConfigError, ImageError, ServiceError, ToolError
from saccade.search.found import Query, Results
from saccade.search.pages.shelf import IndexShelf
from saccade.search.provider import PROVIDERS, Provider
from saccade.search.requester import Requester
from saccade.search.service import DOCUMENT, HEALTH, SEARCH
from saccade.search.wire import (
    MAX_QUERY_BYTES,
    AskedDocument,
    AskedQuery,
    document_to_json,
    query_of,
    results_to_json,
)
from saccade.serve.gate import Body, Call, Endpoint, Gate, Quota, Refusal, Shape, run
from saccade.serve.search_options import SearchServeOptions

SMALL = 64 << 10
"""Largest body of a request for a document."""
DECODED = 4
"""Number of images that are decoded at a time, each of up to `MAX_QUERY_PIXELS`."""


class SearchServer:
    """The routes of a search provider."""

    def __init__(
        self,
        options: SearchServeOptions,
        *,
        provider: Provider | None = None,
        off: frozenset[str] = frozenset(),
    ) -> None:
        """Prepare; the provider starts with the application.

        Args:
            options: Of the server.
            provider: What is searched; None: what the options name.
            off: Mechanisms that are left out, in tests of what they are for: `waiting`; see `Gate`.

        Raises:
            ConfigError: nothing is served, or no token on an interface that others can reach.
            FormatError: there is no index, or it is damaged.
        """
        self.options = options
        self._provider = provider or _provider_of(options)
        self._requester = Requester(self._provider, options.requests)
        self._shelf = None if options.index is None else IndexShelf(options.index)
        self.digest = digest_of(self._provider)
        """The hash of all that results depend on."""
        self._waiting = Quota(options.searches_waiting)
        self._decoding = asyncio.Semaphore(DECODED)
        self._answered, self._off = 0, off
        self.gate = Gate(options, self._endpoints(), self._lifespan, off=off)

    async def check(self) -> None:
        """Start the provider once, ahead of the application, where an error would be logged only.

        Raises:
            ConfigError: no search can succeed.
            ServiceError: the provider cannot be reached.
        """
        await self._requester.start()
        await self._requester.close()

    def application(self) -> Starlette:
        """The routes, behind the gate."""
        return self.gate.application()

    def _endpoints(self) -> list[Endpoint]:
        large = min(self.options.body_mib << 20, MAX_QUERY_BYTES)
        return [
            Endpoint("GET", HEALTH, self._health),
            Endpoint("POST", SEARCH, self._search, Body.json(large, Shape(nodes=16, depth=1))),
            Endpoint("POST", DOCUMENT, self._document, Body.json(SMALL, Shape(nodes=4, depth=1))),
        ]

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        await self._requester.start()
        if self._shelf is not None:
            await self._shelf.start()
        yield
        await self._requester.close()
        if self._shelf is not None:
            await self._shelf.close()

    async def _health(self, call: Call) -> Response:
        return JSONResponse(
            {
                "digest": self.digest,
                "provider": self._provider.name,
                "facts": dict(self._provider.facts),
                "kinds": sorted(self._provider.kinds),
                "documents": self._shelf is not None,
                "waiting": self._waiting.used,
                "answered": self._answered,
            }
        )

    async def _search(self, call: Call) -> Response:
        self._admit(call)
        asked = await call.read(AskedQuery)
        if asked.kind not in self._provider.kinds:
            able = " or ".join(sorted(self._provider.kinds))
            raise Refusal(422, f"kind: what is served here is searched by {able}")
        try:
            query = await self._decoded(asked) if asked.image is not None else query_of(asked)
        except (ImageError, ValueError) as error:
            raise Refusal(422, f"{asked.kind}: {error}") from None
        results = await call.unless_gone(self._found(query))
        pictured = any(result.thumbnail is not None for result in results.results)
        return await self._answer(lambda: results_to_json(results), long=pictured)

    async def _decoded(self, asked: AskedQuery) -> Query:
        """A query with an image: a body of a few kilobytes can be hundreds of megabytes of it."""
        async with self._decoding:
            return await asyncio.to_thread(query_of, asked)

    async def _document(self, call: Call) -> Response:
        self._admit(call)
        wanted = await call.read(AskedDocument)
        if self._shelf is None:
            raise Refusal(422, "what is served here has no documents that can be read")
        document = await self._shelf.document(wanted.name)
        return await self._answer(lambda: document_to_json(document), long=True)

    def _admit(self, call: Call) -> None:
        """Count a request until its answer was taken: an answer is memory too.

        Raises:
            Refusal: too many wait.
        """
        share = call.client.share
        if "waiting" in self._off:
            return
        if not self._waiting.take(share):
            raise Refusal(429, "too many searches wait; try again", retry_after=1)
        call.sent.callback(self._waiting.give_back, share)

    async def _found(self, query: Query) -> Results:
        try:
            return await self._requester.search(query)
        except ToolError as error:
            raise Refusal(422, f"{query.kind}: {error}") from None
        except Retry as failure:
            raise failure.error from failure
        except ConfigError as error:  # of ours: no client can mend it
            raise ServiceError(str(error)) from error

    async def _answer(self, content: Callable[[], dict[str, JsonValue]], *, long: bool) -> Response:
        """An answer; one in which pictures are encoded, or a document, beside the event loop."""

        def written() -> bytes:
            return json.dumps({"digest": self.digest, **content()}).encode()

        data = await asyncio.to_thread(written) if long else written()
        self._answered += 1
        return Response(data, media_type="application/json")


def digest_of(provider: Provider) -> str:
    """The hash of all that the results of a provider depend on: of an index, its own."""
    facts = dict(provider.facts)
    if list(facts) == ["index"] and isinstance(facts["index"], str):
        return facts["index"]
    said = json.dumps([provider.name, facts], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def serve(
    options: SearchServeOptions, *, on_ready: Callable[[str, str], None] = lambda url, digest: None
) -> None:
    """Serve until a signal; running searches then have `drain_seconds` to end.

    Args:
        options: Of the server.
        on_ready: Told where it is, and the digest of what is served.

    Raises:
        ConfigError: nothing is served, or no token where one is needed.
        ServiceError: the provider cannot be reached.
    """
    server = SearchServer(options)
    asyncio.run(server.check())
    run(server.gate, on_ready=lambda url: on_ready(url, server.digest))


def _provider_of(options: SearchServeOptions) -> Provider:
    part = options.provider
    if options.index is not None:
        if part is not None:
            raise ConfigError("serve search: name an index or a provider, not both")
        part = Part.model_validate({"kind": "local", "index": str(options.index)})
    if part is None:
        raise ConfigError(
            "serve search: missing what is served; name an index, as in index=FOLDER (see `saccade "
            "index build`)"
        )
    made: Provider = build(part, PROVIDERS, "provider")  # type: ignore[assignment]
    return made
