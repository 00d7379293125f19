"""Connections and bodies of a real server: how many, how much, and for how long."""

import asyncio
import contextlib
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine

import httpx
import pytest
from gates import (
    AS_JSON,
    AS_PNG,
    ECHO,
    LARGE,
    gate,
    request,
    served,
    status,
)  # fmt: skip
from serving import connected, ended, gated, sent
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from waiting import Clock

from saccade.serve.gate import Call, Endpoint, Quota, Refusal
from saccade.serve.gate.gate import SLICE

Work = Callable[[], Coroutine[None, None, Response]]


def half(size: int) -> bytes:
    """A request for a body of a MiB of which so much has come."""
    whole = request("PUT /swallow", AS_PNG, f"Content-Length: {1 << 20}")
    return whole + b"x" * size


async def test_bodies_that_are_being_read_have_a_bound_in_common() -> None:
    for off, wanted in (((), 429), (("bodies",), 200)):
        async with gated(gate(*off, bodies_mib=1)) as port, connected(port) as (_, writer):
            writer.write(half(1 << 19))
            await writer.drain()
            assert status(await sent(port, half(1 << 20))) == wanted
            small = request("POST /echo", AS_JSON, body=ECHO)
            assert status(await sent(port, small)) == 200, "there is always room for a small one"


STALLED = {
    "nothing": b"",
    "a head": b"GET /who HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    "a second head": b"GET /w",
    "a body": half(1000),
    "a body that was refused": half(1000)
    .replace(b"image/png", b"image/gif")
    .replace(b"close", b"keep-alive"),
}


@pytest.mark.parametrize("off", [(), ("times",)], ids=["on", "off"])
async def test_half_a_request_is_not_waited_for(off: tuple[str, ...]) -> None:
    clock = Clock()
    async with gated(gate(*off)) as port, contextlib.AsyncExitStack() as stack:
        closed: dict[str, asyncio.Task[bytes]] = {}
        slow: list[asyncio.StreamWriter] = []
        for what, data in STALLED.items():
            reader, writer = await stack.enter_async_context(connected(port))
            if what == "a second head":
                writer.write(request("GET /who").replace(b"close", b"open"))
                await reader.readuntil(b"]")
            writer.write(data)
            await writer.drain()
            closed[what] = asyncio.create_task(ended(reader))
            slow += [writer] if "body" in what else []
        for _ in range(100):
            clock.forward(1)
            await asyncio.sleep(0.001)
            for writer in slow:
                if not writer.is_closing():
                    writer.write(b"x")  # a little now and then is not enough
        if off:
            assert not [what for what, each in closed.items() if each.done()]
        for each in closed.values():
            if off:
                each.cancel()
            else:
                await each


async def test_a_client_that_does_not_read_is_not_waited_for() -> None:
    for off in ((), ("times",)):
        clock = Clock()
        async with gated(gate(*off)) as port:
            loop, client = asyncio.get_running_loop(), socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            with client:
                client.setblocking(False)
                await loop.sock_connect(client, ("127.0.0.1", port))
                await loop.sock_sendall(client, request("GET /large"))
                client_first = await loop.sock_recv(client, 100)
                for _ in range(60):
                    clock.forward(5)
                    await asyncio.sleep(0.001)
                read, dropped = len(client_first), False
                try:
                    while part := await loop.sock_recv(client, 1 << 20):
                        read += len(part)
                except ConnectionError:
                    dropped = True  # with what the system still held for it
            assert (read > len(LARGE)) == bool(off)
            assert dropped != bool(off)


async def test_an_answer_in_parts_does_not_wait_anew_for_each() -> None:
    for off in ((), ("times",)):
        clock, part, taken = Clock(), 6 << 20, asyncio.Event()

        async def parts(call: Call, size: int = part, taken: asyncio.Event = taken) -> Response:
            async def made() -> AsyncIterator[bytes]:
                for _ in range(4):
                    yield b"x" * size
                    await taken.wait()
                    taken.clear()

            return StreamingResponse(made())

        parted = served(Endpoint("GET", "/parts", parts), *off)
        async with gated(parted) as port, connected(port) as (reader, writer):
            writer.write(request("GET /parts"))
            await reader.readuntil(b"\r\n\r\n")
            left = False
            for _ in range(4):
                for _ in range(20):  # so long for each part, less than the limit
                    clock.forward(2)
                    await asyncio.sleep(0.001)
                try:
                    await reader.readexactly(len(f"{SLICE:x}\r\n\r\n") * (part // SLICE) + part)
                except (ConnectionError, asyncio.IncompleteReadError):
                    left = True
                    break
                for _ in range(4):  # the server sees that nothing waits
                    clock.forward(2)
                    await asyncio.sleep(0.001)
                taken.set()
            assert left == (not off)


async def test_an_answer_that_nobody_reads_is_not_kept_for_each_of_them() -> None:
    async def held(*off: str) -> int:
        async with gated(gate(*off)) as port:
            loop = asyncio.get_running_loop()
            clients = [socket.socket() for _ in range(6)]
            tracemalloc.start()
            for client in clients:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
                client.setblocking(False)
                await loop.sock_connect(client, ("127.0.0.1", port))
                await loop.sock_sendall(client, request("GET /large"))
                await loop.sock_recv(client, 100)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            for client in clients:
                client.close()
            return peak

    assert await held() < 3 << 20
    assert await held("slices") > 12 << 20


async def test_what_an_answer_takes_is_taken_until_it_was_read() -> None:
    for off, wanted in ((), 429), (("sent",), 200):
        room = Quota(1, 1)

        async def kept(call: Call, room: Quota = room) -> Response:
            if not room.take("all"):
                raise Refusal(429, "no room")
            call.sent.callback(room.give_back, "all")
            return PlainTextResponse(LARGE)

        keeping = served(Endpoint("GET", "/kept", kept), *off)
        async with gated(keeping) as port, connected(port) as (reader, writer):
            writer.write(request("GET /kept"))
            await reader.readuntil(b"\r\n\r\n")
            assert status(await sent(port, request("GET /kept"))) == wanted
            await ended(reader)
            assert status(await sent(port, request("GET /kept"))) == 200


async def test_work_for_a_client_that_left_ends() -> None:
    for off in ((), ("gone",)):
        begun, left, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def work(begun: asyncio.Event = begun, over: asyncio.Event = over) -> Response:
            begun.set()
            await over.wait()
            return JSONResponse("done")

        async def long(call: Call, work: Work = work, left: asyncio.Event = left) -> Response:
            try:
                return await call.unless_gone(work())
            finally:
                left.set()

        async with gated(served(Endpoint("GET", "/long", long), *off)) as port:
            async with connected(port) as (_, writer):
                writer.write(request("GET /long"))
                await begun.wait()
            if off:
                await sent(port, request("GET /nowhere"))
                assert not left.is_set()
                over.set()
            await left.wait()


async def test_connections_are_limited_for_each_address_and_in_all() -> None:
    async with gated(gate(connections=3, connections_per_client=2)) as port:
        async with connected(port) as (first, _), connected(port), connected(port) as (third, _):
            assert status(await ended(third)) == 503
            transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2", verify=False)
            async with httpx.AsyncClient(transport=transport, trust_env=False) as other:
                assert (await other.get(f"http://127.0.0.1:{port}/who")).json()[0] == "127.0.0.2"
                async with connected(port) as (fourth, _):
                    assert status(await ended(fourth)) == 503
            assert not first.at_eof()
        assert status(await sent(port, request("GET /who"))) == 200
    async with (
        gated(gate("connections", connections=1)) as port, connected(port), connected(port)
    ):  # fmt: skip
        assert status(await sent(port, request("GET /who"))) == 200


async def test_a_request_that_does_not_wait_for_the_answer_before_is_not_kept() -> None:
    async with gated(gate()) as port:
        one = request("GET /who").replace(b"Connection: close\r\n", b"")
        answer = await sent(port, one * 3 + b"GET /" + b"x" * 300_000)
        assert answer.count(b"HTTP/1.1 ") <= 4


async def test_a_server_that_stops_does_not_wait_for_half_a_request() -> None:
    async with contextlib.AsyncExitStack() as stack:
        begun = time.thread_time()
        async with gated(gate(drain_seconds=3600)) as port:
            for data in STALLED.values():
                _, writer = await stack.enter_async_context(connected(port))
                writer.write(data)
            assert status(await sent(port, request("GET /who"))) == 200
        assert time.thread_time() - begun < 10
