"""A sandbox over HTTP: sessions for trainers on other machines.

    POST   /v1/sessions                   {"seed", "after_kill"} -> {"id", "sandbox"}; 429 when full
    PUT    /v1/sessions/ID/images/NAME    a PNG
    POST   /v1/sessions/ID/cells          {"number", "code", "seconds"} -> what the cell did
    DELETE /v1/sessions/ID
    GET    /v1/health                     {"sandbox", "sessions", "waiting"}

`sandbox` is what cells find: mode, limits, versions of libraries. A cell's number makes a repeated
request harmless: the last answer is kept. Two published formats are spoken beside it, so that
existing trainers need no change: `POST /jupyter_sandbox` of DeepEyesV2, and `POST /run_code` of
SandboxFusion, for Python.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import Field, JsonValue, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from saccade.errors import ConfigError, ServiceError
from saccade.sandbox.cells import Cell
from saccade.sandbox.options import SandboxOptions
from saccade.sandbox.pool import AfterKill, Notebook, Sandbox
from saccade.serve.cells import (
    FusionRun,
    JupyterCell,
    NewSession,
    NumberedCell,
    Refusal,
    cell_to_json,
    fusion_answer,
    fusion_refusal,
    jupyter_answer,
    not_supported,
    read_png,
)
from saccade.types import Record

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ServeOptions(Record):
    """How a sandbox is served."""

    sandbox: SandboxOptions = SandboxOptions()
    """How cells are confined, and how many sessions and cells there may be."""
    host: str = "127.0.0.1"
    """Address of the interface to serve on; 0.0.0.0 is all of them."""
    port: int = Field(default=8787, ge=0, le=65535)
    """Port to serve on; 0 takes a free one, and the first line that is printed names it."""
    token_env: str = "SACCADE_SANDBOX_TOKEN"
    """Name of the environment variable with the token that clients must show; it may be empty on
    the loopback interface only."""
    sessions_per_client: int = Field(default=128, ge=1)
    """Number of sessions that clients of one address may have at the same time."""
    cells_waiting: int = Field(default=64, ge=1)
    """Number of cells that may run or wait at the same time; further ones are answered with 429."""
    idle_seconds: float = Field(default=600.0, gt=0)
    """Time after which a session that nobody uses ends."""
    body_mib: int = Field(default=64, ge=1)
    """Largest body of a request; a larger one is answered with 413."""
    drain_seconds: float = Field(default=30.0, ge=0)
    """Time that running cells have to end after the signal that stops the server."""


@dataclass
class _Guest:
    """A session of a client."""

    notebook: Notebook
    client: str
    used: float = field(default_factory=time.monotonic)
    number: int = 0
    answer: dict[str, JsonValue] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


T = TypeVar("T", bound=Record)
Handler = Callable[[Request], Awaitable[Response]]


class SandboxServer:
    """The sessions of all clients."""

    def __init__(self, options: ServeOptions) -> None:
        """Prepare; the sandbox starts with the application.

        Raises:
            ConfigError: no token on an interface that others can reach.
        """
        self.options = options
        self._token = os.environ.get(options.token_env, "")
        if not self._token and options.host not in LOOPBACK:
            raise ConfigError(
                f"serve: {options.host} can be reached from outside, so clients must show a token: "
                f"set {options.token_env}, or serve on 127.0.0.1"
            )
        self._sandbox = Sandbox(options.sandbox)
        self._guests: dict[str, _Guest] = {}
        self._waiting = 0

    def application(self) -> Starlette:
        """The routes."""
        one = "/v1/sessions/{session}"
        routes = [
            ("/v1/health", "GET", self._health),
            ("/v1/sessions", "POST", self._open),
            (one, "DELETE", self._close),
            (one + "/images/{name}", "PUT", self._give),
            (one + "/cells", "POST", self._run),
            ("/jupyter_sandbox", "POST", self._jupyter),
            ("/clear_session", "POST", self._clear),
            ("/run_code", "POST", self._fusion),
        ]
        return Starlette(
            routes=[Route(path, self._guarded(h), methods=[method]) for path, method, h in routes],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self._sandbox:
            sweeper = asyncio.create_task(self._sweep())
            yield
            sweeper.cancel()
            for name in list(self._guests):
                await self._end(name)

    def _guarded(self, handler: Handler) -> Handler:
        """With the token checked, and refusals turned into answers."""

        async def guarded(request: Request) -> Response:
            try:
                shown = request.headers.get("authorization", "")
                wanted = f"Bearer {self._token}"
                if self._token and not hmac.compare_digest(shown.encode(), wanted.encode()):
                    raise Refusal(401, "the token is missing or wrong (Authorization: Bearer ...)")
                return await handler(request)
            except Refusal as refusal:
                after = refusal.retry_after
                headers = {"Retry-After": str(after)} if after else None
                return JSONResponse({"error": refusal.error}, refusal.status, headers)
            except ServiceError as error:
                return JSONResponse({"error": str(error)}, 503)

        return guarded

    async def _health(self, request: Request) -> Response:
        counts = {"sessions": len(self._guests), "waiting": self._waiting}
        return JSONResponse({"sandbox": self._sandbox.facts(), **counts})

    async def _open(self, request: Request) -> Response:
        wanted = await self._body(request, NewSession)
        name = secrets.token_hex(16)
        self._admit(name, _client(request), seed=wanted.seed, after_kill=wanted.after_kill)
        facts = {"idle_seconds": self.options.idle_seconds, "sandbox": self._sandbox.facts()}
        return JSONResponse({"id": name, **facts}, 201)

    async def _close(self, request: Request) -> Response:
        self._guest(request)
        await self._end(request.path_params["session"])
        return JSONResponse({})

    async def _give(self, request: Request) -> Response:
        guest, name = self._guest(request), request.path_params["name"]
        if not re.fullmatch(r"image_\d{1,4}", name):
            raise Refusal(422, "an image is named image_1, image_2, ...")
        data = await self._read(request)
        image = await asyncio.to_thread(read_png, data)
        async with guest.turn:
            await guest.notebook.give(name, image)
        return JSONResponse({})

    async def _run(self, request: Request) -> Response:
        guest, wanted = self._guest(request), await self._body(request, NumberedCell)
        async with guest.turn:
            if wanted.number == guest.number:  # the client asks again
                return JSONResponse(guest.answer)
            if wanted.number < guest.number:
                raise Refusal(409, f"cell {wanted.number} was run; the next is {guest.number + 1}")
            cell = await self._cell(guest.notebook, wanted.code, wanted.seconds)
            guest.number, guest.answer = wanted.number, cell_to_json(cell)
            guest.used = time.monotonic()
            return JSONResponse(guest.answer)

    async def _jupyter(self, request: Request) -> Response:
        """DeepEyesV2: a session begins with its first cell; an exception is a success there."""
        wanted = await self._body(request, JupyterCell)
        client = _client(request)
        name = f"jupyter:{client}:{wanted.session_id}"
        if name not in self._guests:
            self._admit(name, client)
        guest = self._guests[name]
        async with guest.turn:
            guest.used = time.monotonic()
            cell = await self._cell(guest.notebook, wanted.code, wanted.timeout)
        return JSONResponse(jupyter_answer(cell))

    async def _clear(self, request: Request) -> Response:
        wanted = json.loads(await self._read(request) or b"{}")
        name = wanted.get("session_id") if isinstance(wanted, dict) else None
        await self._end(f"jupyter:{_client(request)}:{name}")
        return JSONResponse({"status": "success"})

    async def _fusion(self, request: Request) -> Response:
        """SandboxFusion: a program in a session of its own."""
        wanted = await self._body(request, FusionRun)
        if what := not_supported(wanted):
            return JSONResponse(fusion_refusal(what))
        async with self._sandbox.notebook() as notebook:
            cell = await self._cell(notebook, wanted.code, wanted.run_timeout)
        return JSONResponse(fusion_answer(cell))

    async def _cell(self, notebook: Notebook, code: str, seconds: float | None) -> Cell:
        if self._waiting >= self.options.cells_waiting:
            raise Refusal(429, "too many cells wait; try again", retry_after=1)
        self._waiting += 1
        try:
            return await notebook.run(code, seconds=seconds)
        finally:
            self._waiting -= 1

    def _admit(
        self, name: str, client: str, *, seed: int = 0, after_kill: AfterKill = "replay"
    ) -> None:
        if len(self._guests) >= self.options.sandbox.max_sessions:
            raise Refusal(429, "all sessions are taken; try again", retry_after=1)
        own = sum(guest.client == client for guest in self._guests.values())
        if own >= self.options.sessions_per_client:
            raise Refusal(429, f"{own} sessions are yours already; close some", retry_after=1)
        self._guests[name] = _Guest(
            Notebook(self._sandbox, seed=seed, after_kill=after_kill), client
        )

    def _guest(self, request: Request) -> _Guest:
        guest = self._guests.get(request.path_params["session"])
        if guest is None:
            raise Refusal(404, "there is no such session; it may have been idle for too long")
        guest.used = time.monotonic()
        return guest

    async def _end(self, name: str) -> None:
        guest = self._guests.pop(name, None)
        if guest is not None:
            await guest.notebook.close()

    async def _sweep(self) -> None:
        """End sessions that nobody uses."""
        while True:
            await asyncio.sleep(min(10.0, self.options.idle_seconds / 2))
            late = time.monotonic() - self.options.idle_seconds
            for name, guest in list(self._guests.items()):
                if guest.used < late and not guest.turn.locked():
                    await self._end(name)

    async def _read(self, request: Request) -> bytes:
        """The body, at most `body_mib`."""
        most, read = self.options.body_mib << 20, bytearray()
        async for chunk in request.stream():
            read += chunk
            if len(read) > most:
                raise Refusal(413, f"a body of more than {self.options.body_mib} MiB")
        return bytes(read)

    async def _body(self, request: Request, kind: type[T]) -> T:
        try:
            return kind.model_validate_json(await self._read(request) or b"{}")
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "body"
            raise Refusal(422, f"{where}: {first['msg']}") from None


def serve(options: ServeOptions, *, on_ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until a signal; running cells then have `drain_seconds` to end.

    Raises:
        ConfigError: no token where one is needed; or this machine cannot isolate.
    """
    import uvicorn

    class ReadyServer(uvicorn.Server):
        async def startup(self, sockets: list | None = None) -> None:  # type: ignore[type-arg]
            await super().startup(sockets)
            if self.started:
                port = self.servers[0].sockets[0].getsockname()[1]
                on_ready(f"http://{options.host}:{port}")

    server = SandboxServer(options)
    config = uvicorn.Config(
        server.application(), host=options.host, port=options.port, log_level="warning",
        timeout_graceful_shutdown=round(options.drain_seconds),
    )  # fmt: skip
    with suppress(KeyboardInterrupt):
        ReadyServer(config).run()


def _client(request: Request) -> str:
    return request.client.host if request.client else "unknown"
