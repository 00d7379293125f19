"""Connections: how many, and how long each part of a request or an answer may take.

uvicorn limits none of this: it waits for the rest of a head or a body for as long as the client
likes, and for a client that does not read. Its protocol is kept, and watched.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import defaultdict
from typing import ClassVar, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from saccade.serve.gate.clients import Clients, address_of, share_of
from saccade.serve.gate.options import GateOptions
from saccade.serve.gate.quota import Quota

HEAD_BYTES = 16 << 10
"""Largest head of a request; also how much is parsed at a time."""
WATCH_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 20
"""How long a connection may be idle between requests: longer than clients keep theirs, or they
would send into one that is being closed."""

Stage = Literal["idle", "head", "body", "unwanted", "answering", "writing", "closing"]

_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER of a socket that is closed without sending what the system still holds for it."""


class Wire:
    """The connections of a server."""

    def __init__(self, options: GateOptions, clients: Clients, off: frozenset[str]) -> None:
        self._clients, self._off = clients, off
        self._open = Quota(options.connections, options.connections)
        self._of_clients = Quota(options.connections, options.connections_per_client)
        whole, part = options.request_seconds, options.request_seconds / 6
        self._seconds: dict[Stage, float] = {
            "idle": KEEP_ALIVE_SECONDS, "head": part, "body": whole, "unwanted": part,
            "writing": whole, "closing": part,
        }  # fmt: skip
        self.protocols: set[BoundedProtocol] = set()

    def admit(self, peer: str) -> str | None:
        """Whom a new connection is counted against; None if there are too many."""
        address = address_of(peer)
        owner = share_of(address)
        if "connections" in self._off:
            return owner
        if not self._open.take(owner):
            return None
        if not self._clients.is_proxy(address) and not self._of_clients.take(owner):
            self._open.give_back(owner)
            return None
        return owner

    def leave(self, peer: str, owner: str) -> None:
        """A connection has ended."""
        if "connections" not in self._off:
            self._open.give_back(owner)
            if not self._clients.is_proxy(address_of(peer)):
                self._of_clients.give_back(owner)

    async def watch(self) -> None:
        """End the connections that stay where they are for too long."""
        while "times" not in self._off:
            await asyncio.sleep(WATCH_SECONDS)
            now = asyncio.get_running_loop().time()
            for protocol in list(self.protocols):
                stage, spent = protocol.look(now)
                if spent > self._seconds.get(stage, float("inf")):
                    protocol.expire(stage)


class BoundedProtocol(H11Protocol):
    """A connection that is watched. A subclass names its wire."""

    wire: ClassVar[Wire]
    _owner: str | None = None
    _seen: tuple[Stage, RequestResponseCycle | None] = ("idle", None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or close it at once."""
        super().connection_made(transport)
        self._spent: defaultdict[Stage, float] = defaultdict(float)
        self._looked = self.loop.time()
        self._owner = self.wire.admit(self._peer)
        self.wire.protocols.add(self)
        if self._owner is None:
            self._refuse(503, "too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self.wire.protocols.discard(self)
        if self._owner is not None:
            self.wire.leave(self._peer, self._owner)
            self._owner = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse a little at a time, so that a head is never longer than its limit."""
        for start in range(0, len(data), HEAD_BYTES):
            if self.transport.is_closing():
                return
            if self._is_answering:  # sent before the answer has come: the client must ask again
                self.cycle.keep_alive = False
                self.flow.pause_reading()
                return
            super().data_received(data[start : start + HEAD_BYTES])

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP: answered where it can be, and closed."""
        self._refuse(400, "this is no HTTP request, or one with a head that is too large")

    def shutdown(self) -> None:
        """The server stops: nobody waits for the rest of a request."""
        if self.stage in ("head", "body"):
            self._refuse(503, "the server stops")
        else:
            super().shutdown()

    @property
    def stage(self) -> Stage:
        """Where it is."""
        if self.transport.is_closing():
            return "closing"
        if self.flow.write_paused:
            return "writing"
        if self.conn.their_state is h11.SEND_BODY:
            return "unwanted" if self.cycle.response_complete else "body"
        if self._is_answering:
            return "answering"
        return "head" if self.conn.trailing_data[0] else "idle"

    def look(self, now: float) -> tuple[Stage, float]:
        """Where it is, and how long it was there with this request, all times together."""
        stage, (before, cycle) = self.stage, self._seen
        if cycle is not self.cycle:
            self._spent.clear()
        elif stage == before:
            self._spent[stage] += now - self._looked
        self._seen, self._looked = (stage, self.cycle), now
        return stage, self._spent[stage]

    def expire(self, stage: Stage) -> None:
        """End it."""
        if stage in ("head", "body"):
            self._refuse(408, "the request did not come in time")
        elif stage == "idle":
            self.transport.close()
        else:
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self.transport.abort()

    @property
    def _peer(self) -> str:
        return self.client[0] if self.client else ""

    @property
    def _is_answering(self) -> bool:
        """Whether the request is here and its answer is not complete."""
        whole = self.conn.their_state is not h11.SEND_BODY
        return whole and self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int, error: str) -> None:
        """Answer outside of the application, and close."""
        begun = False
        if self.cycle is not None and not self.cycle.response_complete:
            begun = self.cycle.response_started
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not begun and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            content = json.dumps({"error": error}).encode()
            headers = [
                (b"content-type", b"application/json"), (b"connection", b"close"),
                (b"content-length", str(len(content)).encode()),
            ]  # fmt: skip
            for event in (
                h11.Response(status_code=status, headers=headers, reason=b""),
                h11.Data(data=content),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
