"""The routes of a server, and what stands before all of them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from pydantic import JsonValue
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saccade.errors import ServiceError
from saccade.serve.gate.call import Body, Call
from saccade.serve.gate.clients import Clients, reachable
from saccade.serve.gate.headers import Headers, Names, check_framing, check_origin, check_path
from saccade.serve.gate.options import GateOptions
from saccade.serve.gate.quota import Quota
from saccade.serve.gate.refusal import Gone, Refusal, plain

SLICE = 64 << 10
"""Bytes of an answer that are handed over at a time; the next ones wait until these are taken."""
CLIENT = "saccade.client"
"""Where a request carries who sent it, once that is known."""
SAID_OF_ALL = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]

_log = logging.getLogger("uvicorn.error")
"""Where the server writes what is wrong with us."""

Handler = Callable[[Call], Awaitable[ASGIApp]]
Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


class Endpoint(NamedTuple):
    """A route: a method, a path, and what answers it."""

    method: str
    path: str
    """As Starlette writes it: `/v1/sessions/{session}`."""
    handler: Handler
    """Makes the answer: a response, or whatever else speaks ASGI."""
    body: Body | None = None
    """What it takes; None takes no body."""
    refused: Callable[[str], JsonValue] = plain
    """How a refusal reads to the clients of this route; paths without parameters only."""


class Gate:
    """Everything that all requests go through."""

    def __init__(
        self,
        options: GateOptions,
        endpoints: Sequence[Endpoint],
        lifespan: Lifespan | None = None,
        *,
        off: frozenset[str] = frozenset(),
    ) -> None:
        """Prepare.

        Args:
            options: Of the server.
            endpoints: Its routes.
            lifespan: What is open while it serves.
            off: Mechanisms that are left out, in tests of what they are for: `host`, `origin`,
                `framing`, `path`, `type`, `shape`, `bodies`, `slices`, `connections`, `times`,
                `sent`, `gone`.

        Raises:
            ConfigError: no token on an interface that others can reach, or an option that is none.
        """
        self.options, self.off = options, off
        self.clients = Clients(options)
        self._names = Names(options.host, options.allowed_hosts, local=not reachable(options.host))
        self._bodies = Quota(options.bodies_mib << 20)
        self._endpoints, self._lifespan = endpoints, lifespan
        self._formats = {each.path: each.refused for each in endpoints}

    def application(self) -> Starlette:
        """The routes behind the gate."""
        application = Starlette(
            routes=[self._route(endpoint) for endpoint in self._endpoints],
            middleware=[Middleware(_Front, gate=self)],
            exception_handlers={HTTPException: _unknown, 500: _fault},
            lifespan=self._lifespan,
        )
        application.router.redirect_slashes = False  # it would repeat the path in its answer
        return application

    def refused(self, scope: Scope, refusal: Refusal) -> Response:
        """A refusal as the clients of a route read it."""
        return refusal.answer(self._formats.get(scope["path"], plain)(refusal.error))

    def check(self, scope: Scope) -> None:
        """Look at the head of a request.

        Raises:
            Refusal: it goes no further.
        """
        headers = Headers(scope)
        headers.check_size()
        if "host" not in self.off:
            self._names.check(headers)
        if "origin" not in self.off:
            check_origin(headers)
        if "framing" not in self.off:
            check_framing(headers)
        scope[CLIENT] = self.clients.client(scope, headers)
        if "path" not in self.off:
            check_path(scope)
            if scope["query_string"]:
                raise Refusal(400, "no query is taken; a token belongs into Authorization")

    def _route(self, endpoint: Endpoint) -> Route:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            call = Call(scope, receive, scope[CLIENT], endpoint.body, self._bodies, off=self.off)
            with call.sent:
                try:
                    made = await endpoint.handler(call)
                finally:
                    call.end()
                if "sent" in self.off:
                    call.sent.close()
                await made(scope, receive, send)

        route = Route(endpoint.path, _Answering(answer), methods=[endpoint.method])
        route.methods = {endpoint.method}  # HEAD is not taken for GET
        return route


class _Answering:
    """An ASGI application: a function would be taken for one of requests."""

    def __init__(self, answer: ASGIApp) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope, receive, send)


class _Front:
    """The gate as middleware: it checks the head, and turns refusals into answers."""

    def __init__(self, app: ASGIApp, *, gate: Gate) -> None:
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, sliced="slices" not in self._gate.off)
        try:
            self._gate.check(scope)
            await self._app(scope, receive, answer)
        except Gone:
            return
        except ServiceError as error:
            _log.error("%s", error)  # it may name what is on this machine
            refusal = Refusal(503, "what this needs has failed; the log of the server says why")
        except Refusal as error:
            refusal = error
        else:
            return
        if Headers(scope).all(b"expect"):  # what comes next may be its body, or may be a request
            refusal.close = True
        await self._gate.refused(scope, refusal)(scope, receive, answer)


class _Answer:
    """Sends an answer in slices, so that a client that does not read it holds only one of them."""

    def __init__(self, send: Send, *, sliced: bool) -> None:
        self._send, self._sliced = send, sliced

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *SAID_OF_ALL]}
        body = memoryview(message.get("body", b""))
        if message["type"] != "http.response.body" or len(body) <= SLICE or not self._sliced:
            await self._send(message)
            return
        more = message.get("more_body", False)
        for start in range(0, len(body), SLICE):
            part = bytes(body[start : start + SLICE])
            last = start + SLICE >= len(body)
            await self._send({**message, "body": part, "more_body": more or not last})


async def _unknown(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    what = "there is nothing here" if error.status_code == 404 else "another method is needed"
    answer = Refusal(error.status_code, what).answer(plain(what))
    answer.headers.update(error.headers or {})
    return answer


async def _fault(request: Request, error: Exception) -> Response:
    """A mistake of ours; the server logs it when this has been sent."""
    return Refusal(500, "").answer(plain("the server made a mistake; its log says which"))
