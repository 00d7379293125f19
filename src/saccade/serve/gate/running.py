"""Serving a gate until a signal."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from saccade.serve.gate.gate import Gate
from saccade.serve.gate.wire import HEAD_BYTES, KEEP_ALIVE_SECONDS, BoundedProtocol, Wire


class GateServer(uvicorn.Server):
    """uvicorn with connections that are watched, and nothing of proxies that nobody named."""

    def __init__(self, gate: Gate, on_ready: Callable[[str], None] = lambda url: None) -> None:
        connections = Wire(gate.options, gate.clients, gate.off)

        class Protocol(BoundedProtocol):
            wire = connections

        options = gate.options
        super().__init__(
            uvicorn.Config(
                gate.application(), host=options.host, port=options.port, http=Protocol, ws="none",
                loop="asyncio", log_level="error", access_log=False,
                proxy_headers=False, server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS, h11_max_incomplete_event_size=HEAD_BYTES,
                timeout_graceful_shutdown=round(options.drain_seconds),
            )
        )  # fmt: skip
        self._host, self._wire, self._on_ready = options.host, connections, on_ready
        self._watching: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where, once it is so."""
        await super().startup(sockets)
        if self.started:
            self._watching = asyncio.create_task(self._wire.watch())
            port = self.servers[0].sockets[0].getsockname()[1]
            host = f"[{self._host}]" if ":" in self._host else self._host
            self._on_ready(f"http://{host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let running requests end; connections are watched until then."""
        await super().shutdown(sockets)
        if self._watching is not None:
            self._watching.cancel()


def run(gate: Gate, *, on_ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until a signal; running requests then have `drain_seconds` to end."""
    with suppress(KeyboardInterrupt):
        GateServer(gate, on_ready).run()
