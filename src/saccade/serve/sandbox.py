"""A sandbox over HTTP: sessions for trainers on other machines.

    POST   /v1/sessions                   {"seed", "after_kill"} -> {"id"}; 429 when full
    PUT    /v1/sessions/ID/images/NAME    a PNG
    POST   /v1/sessions/ID/cells          {"number", "code", "seconds"} -> what the cell did
    DELETE /v1/sessions/ID
    GET    /v1/health                     mode, versions, sessions

A cell's number makes a repeated request harmless: the last answer is kept. Two published formats
are spoken beside it, so that existing trainers need no change: `POST /jupyter_sandbox` of
DeepEyesV2, and `POST /run_code` of SandboxFusion, for Python.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import io
import json
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from PIL import Image as PILImage
from pydantic import Field, JsonValue, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from saccade.errors import ConfigError, ServiceError
from saccade.tools.sandbox.cells import Cell
from saccade.tools.sandbox.options import SandboxOptions
from saccade.tools.sandbox.pool import AfterKill, Notebook, Sandbox
from saccade.types import Record

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MAX_IMAGE_PIXELS = 64_000_000
MAX_SESSION_NAME = 200


class ServeOptions(Record):
    """How a sandbox is served."""

    sandbox: SandboxOptions = SandboxOptions()
    host: str = "127.0.0.1"
    port: int = Field(default=8787, ge=0, le=65535)
    token_env: str = "SACCADE_SANDBOX_TOKEN"
    """Name of the environment variable with the token that clients must show; may be empty on the
    loopback interface only."""
    sessions_per_client: int = Field(default=128, ge=1)
    """By the address of the client."""
    cells_waiting: int = Field(default=64, ge=1)
    """Beyond the running ones; more are sent away with 429."""
    idle_seconds: float = Field(default=600.0, gt=0)
    """After which an unused session ends."""
    body_mib: int = Field(default=64, ge=1)
    drain_seconds: float = Field(default=30.0, ge=0)
    """That running cells have when the server is told to stop."""


class _Session(Record):
    seed: int = Field(default=0, ge=0, lt=2**63)
    after_kill: AfterKill = "replay"


class _Cell(Record):
    number: int = Field(ge=1)
    code: str
    seconds: float | None = Field(default=None, gt=0)


class _JupyterCell(Record):
    """Source: DeepEyesV2, `deepeyesv2.py`, request of its sandbox."""

    session_id: str = Field(min_length=1, max_length=MAX_SESSION_NAME)
    code: str
    timeout: float | None = Field(default=None, gt=0)


class _FusionRun(Record):
    """Source: SandboxFusion, `sandbox/server/sandbox_api.py`, `RunCodeRequest`."""

    code: str
    language: str
    compile_timeout: float = 10
    run_timeout: float = Field(default=10, gt=0)
    memory_limit_MB: int = -1
    stdin: str | None = None
    files: dict[str, str | None] = Field(default_factory=dict)
    fetch_files: list[str] = Field(default_factory=list)
    args: list[str] = Field(default_factory=list)


@dataclass
class _Guest:
    """A session of a client."""

    notebook: Notebook
    client: str
    used: float = field(default_factory=time.monotonic)
    number: int = 0
    answer: dict[str, JsonValue] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Refusal(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, error: str, retry_after: int | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.retry_after = status, error, retry_after


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
        facts = {**self._sandbox.facts(), "sessions": len(self._guests), "waiting": self._waiting}
        return JSONResponse(facts)

    async def _open(self, request: Request) -> Response:
        wanted = await self._body(request, _Session)
        name = secrets.token_hex(16)
        self._admit(name, _client(request), seed=wanted.seed, after_kill=wanted.after_kill)
        return JSONResponse({"id": name, "idle_seconds": self.options.idle_seconds}, 201)

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
        guest, wanted = self._guest(request), await self._body(request, _Cell)
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
        wanted = await self._body(request, _JupyterCell)
        client = _client(request)
        name = f"jupyter:{client}:{wanted.session_id}"
        if name not in self._guests:
            self._admit(name, client)
        guest = self._guests[name]
        async with guest.turn:
            guest.used = time.monotonic()
            cell = await self._cell(guest.notebook, wanted.code, wanted.timeout)
        fine = cell.status in ("ok", "error")
        output = {
            "result": cell.value or "",
            "stdout": cell.stdout,
            "stderr": cell.stderr + (cell.error or ""),
            "images": [png(image) for image in cell.images],
            "debug_info": {},
        }
        status = "success" if fine else "error"
        told = {"output": output, "status": status, "execution_time": cell.seconds}
        return JSONResponse(told)

    async def _clear(self, request: Request) -> Response:
        wanted = json.loads(await self._read(request) or b"{}")
        name = wanted.get("session_id") if isinstance(wanted, dict) else None
        await self._end(f"jupyter:{_client(request)}:{name}")
        return JSONResponse({"status": "success"})

    async def _fusion(self, request: Request) -> Response:
        """SandboxFusion: a program in a session of its own."""
        wanted = await self._body(request, _FusionRun)
        unknown = [
            name for name in ("stdin", "files", "fetch_files", "args") if getattr(wanted, name)
        ]
        if wanted.language != "python" or unknown:
            what = f"language {wanted.language!r}" if not unknown else ", ".join(unknown)
            told = {"status": "SandboxError", "message": f"not supported here: {what}"}
            return JSONResponse({**told, "compile_result": None, "run_result": None, "files": {}})
        async with self._sandbox.notebook() as notebook:
            cell = await self._cell(notebook, wanted.code, wanted.run_timeout)
        late = cell.status == "timeout"
        run = {
            "status": "TimeLimitExceeded" if late else "Finished",
            "execution_time": cell.seconds,
            "return_code": None if late else int(cell.status != "ok"),
            "stdout": cell.stdout,
            "stderr": cell.stderr + (cell.error or ""),
        }
        answer: dict[str, object] = {
            "status": "Success" if cell.status == "ok" else "Failed",
            "message": "",
            "compile_result": None,
            "run_result": run,
            "executor_pod_name": None,
            "files": {},
        }
        return JSONResponse(answer)

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


def read_png(data: bytes) -> PILImage.Image:
    """A PNG of limited size.

    Raises:
        Refusal: it is none.
    """
    try:
        image = PILImage.open(io.BytesIO(data), formats=["PNG"])
        if image.width * image.height > MAX_IMAGE_PIXELS:
            raise Refusal(413, f"{image.width}x{image.height} are too many pixels")
        return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, PILImage.DecompressionBombError) as error:
        raise Refusal(422, f"not a PNG: {error}") from None


def cell_to_json(cell: Cell) -> dict[str, JsonValue]:
    """A cell as it travels; images as PNG in base64."""
    return {
        "status": cell.status,
        "stdout": cell.stdout,
        "stderr": cell.stderr,
        "value": cell.value,
        "error": cell.error,
        "images": [png(image) for image in cell.images],
        "notes": list(cell.notes),
        "seconds": cell.seconds,
    }


def png(image: PILImage.Image) -> str:
    """Base64."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


def serve(options: ServeOptions, *, on_ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until a signal; running cells then have `drain_seconds` to end.

    Raises:
        ConfigError: no token where one is needed; or this machine cannot isolate.
    """
    import uvicorn

    class Told(uvicorn.Server):
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
        Told(config).run()


def _client(request: Request) -> str:
    return request.client.host if request.client else "unknown"
