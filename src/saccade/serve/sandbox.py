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

All of them go through the gate (`saccade.serve.gate`). A session belongs to the client that opened
it: to another one it is not there, whether or not it knows the id.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from pydantic import JsonValue
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response

from saccade.errors import ToolError
from saccade.sandbox.cells import Cell
from saccade.sandbox.pool import Sandbox
from saccade.sandbox.session import MAX_CODE_BYTES
from saccade.sandbox.threads import in_thread
from saccade.serve.cells import (
    FusionRun,
    JupyterCell,
    JupyterEnd,
    NewSession,
    NumberedCell,
    cell_to_json,
    fusion_answer,
    fusion_refusal,
    jupyter_answer,
    jupyter_end_refusal,
    jupyter_refusal,
    not_supported,
    png_size,
    read_png,
)
from saccade.serve.gate import Body, Call, Endpoint, Gate, Refusal, Shape, run
from saccade.serve.guests import Guest, Guests
from saccade.serve.options import ServeOptions

SMALL, CODE, PUBLISHED = 4 << 10, 4 << 20, MAX_CODE_BYTES * 3 // 2
"""Largest body of a request without code, of one with it, and of one in a published format, where
code holds images: as much as a cell takes, and half of it more for how JSON writes it."""
MOST_IMAGES = 64
"""Number of images that a session holds."""


class SandboxServer:
    """The routes of a sandbox."""

    def __init__(self, options: ServeOptions, *, off: frozenset[str] = frozenset()) -> None:
        """Prepare; the sandbox starts with the application.

        Args:
            options: Of the server.
            off: Mechanisms that are left out, in tests of what they are for; see `Gate`, `Guests`.

        Raises:
            ConfigError: no token on an interface that others can reach.
        """
        self.options = options
        self._sandbox = Sandbox(options.sandbox)
        self._guests = Guests(options, self._sandbox, off=off)
        self.gate = Gate(options, self._endpoints(), self._lifespan, off=off)

    async def start(self) -> None:
        """Start the sandbox ahead of the application, where an error would be logged only.

        Raises:
            ConfigError: this machine cannot isolate.
        """
        await self._sandbox.start()

    def application(self) -> Starlette:
        """The routes, behind the gate."""
        return self.gate.application()

    def _endpoints(self) -> list[Endpoint]:
        one, large = "/v1/sessions/{session}", self.options.body_mib << 20
        small, code = Body.json(SMALL), Body.json(CODE)
        published = Body.json(min(large, PUBLISHED), Shape(nodes=1024))
        return [
            Endpoint("GET", "/v1/health", self._health),
            Endpoint("POST", "/v1/sessions", self._open, small),
            Endpoint("DELETE", one, self._close),
            Endpoint("PUT", one + "/images/{name}", self._give, Body.png(large)),
            Endpoint("POST", one + "/cells", self._run, code),
            Endpoint("POST", "/jupyter_sandbox", self._jupyter, published, jupyter_refusal),
            Endpoint("POST", "/clear_session", self._clear, small, jupyter_end_refusal),
            Endpoint("POST", "/run_code", self._fusion, published, fusion_refusal),
        ]

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self._sandbox:
            sweeper = asyncio.create_task(self._guests.sweep())
            yield
            sweeper.cancel()
            await self._guests.end_all()

    async def _health(self, call: Call) -> Response:
        counts = {"sessions": self._guests.sessions, "waiting": self._guests.waiting}
        return JSONResponse({"sandbox": self._sandbox.facts(), **counts})

    async def _open(self, call: Call) -> Response:
        wanted = await call.read(NewSession)
        name = secrets.token_hex(16)
        self._guests.admit(name, call.client, seed=wanted.seed, after_kill=wanted.after_kill)
        facts = {"idle_seconds": self.options.idle_seconds, "sandbox": self._sandbox.facts()}
        return JSONResponse({"id": name, **facts}, 201)

    async def _close(self, call: Call) -> Response:
        self._guest(call)
        await self._guests.end(call.params["session"], call.client)
        return JSONResponse({})

    async def _give(self, call: Call) -> Response:
        guest, name = self._guest(call), call.params["name"]
        if not re.fullmatch(r"image_[0-9]{1,4}", name):
            raise Refusal(422, "an image is named image_1, image_2, ...")
        data = bytes(await call.body())
        size = await in_thread(lambda: png_size(data))
        async with self._guests.turn(guest, call):
            images = sum(what.startswith("image_") for what in guest.held)
            if name not in guest.held and images >= MOST_IMAGES:
                raise Refusal(413, f"a session holds {MOST_IMAGES} images at most")
            self._guests.hold(guest, name, 3 * size.width * size.height)
            image = await in_thread(lambda: read_png(data))
            try:
                await guest.notebook.give(name, image)
            except ToolError as error:  # more than a session of the sandbox takes
                raise Refusal(413, str(error)) from None
        return JSONResponse({})

    async def _run(self, call: Call) -> Response:
        guest, wanted = self._guest(call), await call.read(NumberedCell)
        async with self._guests.turn(guest, call, sys.getsizeof(wanted.code)):
            if wanted.number < guest.number:
                raise Refusal(409, f"a later cell was run; the next is {guest.number + 1}")
            if wanted.number > guest.number:
                guest.notebook.count_from(wanted.number)  # it draws as it did at another host
                answer = await self._cell(guest, wanted.code, wanted.seconds, cell_to_json)
                guest.number, guest.answer = wanted.number, None
                with suppress(Refusal):  # too large to keep; it is answered once
                    self._guests.hold(guest, "answer", len(answer))
                    guest.answer = answer
                return _json(answer)
            if guest.answer is None:
                raise Refusal(503, "what this cell did is not known any more")
            return _json(guest.answer)

    async def _jupyter(self, call: Call) -> Response:
        """DeepEyesV2: a session begins with its first cell; an exception is a success there."""
        wanted = await call.read(JupyterCell)
        name = f"jupyter:{wanted.session_id}"
        if not self._guests.has(name, call.client):
            self._guests.admit(name, call.client)
        guest = self._guests.find(name, call.client)
        async with self._guests.turn(guest, call, sys.getsizeof(wanted.code)):
            return _json(await self._cell(guest, wanted.code, wanted.timeout, jupyter_answer))

    async def _clear(self, call: Call) -> Response:
        wanted = await call.read(JupyterEnd)
        await self._guests.end(f"jupyter:{wanted.session_id or ''}", call.client)
        return JSONResponse({"status": "success"})

    async def _fusion(self, call: Call) -> Response:
        """SandboxFusion: a program in a session of its own, which nobody can ask for again."""
        wanted = await call.read(FusionRun)
        if what := not_supported(wanted):
            return JSONResponse(fusion_refusal(f"not supported here: {what}"))
        return _json(await call.unless_gone(self._program(call, wanted)))

    async def _program(self, call: Call, wanted: FusionRun) -> bytes:
        name = f"run:{secrets.token_hex(16)}"
        guest = self._guests.admit(name, call.client)
        try:
            async with self._guests.turn(guest, call):
                return await self._cell(guest, wanted.code, wanted.run_timeout, fusion_answer)
        finally:
            await self._guests.end(name, call.client)

    async def _cell(
        self,
        guest: Guest,
        code: str,
        seconds: float | None,
        written: Callable[[Cell], dict[str, JsonValue]],
    ) -> bytes:
        """Run a cell, whose code the session keeps; what it did, in one of the formats."""
        self._guests.hold_more(guest, "code", sys.getsizeof(code))
        cell = await self._guests.run(guest, code, seconds)
        if not cell.images:
            return json.dumps(written(cell)).encode()
        return await in_thread(lambda: json.dumps(written(cell)).encode())

    def _guest(self, call: Call) -> Guest:
        return self._guests.find(call.params["session"], call.client)


def serve(options: ServeOptions, *, on_ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until a signal; running cells then have `drain_seconds` to end.

    Raises:
        ConfigError: no token where one is needed; or this machine cannot isolate.
    """
    server = SandboxServer(options)
    asyncio.run(server.start())
    run(server.gate, on_ready=on_ready)


def _json(data: bytes) -> Response:
    return Response(data, media_type="application/json")
