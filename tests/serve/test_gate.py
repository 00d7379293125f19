"""The gate, served by a real server in the running loop, with each mechanism on and off."""

import asyncio
import contextlib
import json
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator

import httpx
import pytest
from serving import connected, ended, gated, sent
from starlette.responses import (
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from waiting import Clock

from saccade.errors import ConfigError, ServiceError
from saccade.serve.gate import Body, Call, Endpoint, Gate, GateOptions, Refusal, Shape
from saccade.serve.gate.gate import SLICE
from saccade.serve.gate.headers import Headers
from saccade.types import Record

VARIABLE = "SACCADE_TESTS_TOKEN"
LARGE = b"x" * (8 << 20)


class Word(Record):
    word: str = ""


async def who(call: Call) -> Response:
    return JSONResponse(list(call.client))


async def echo(call: Call) -> Response:
    return JSONResponse((await call.read(Word)).model_dump())


async def swallow(call: Call) -> Response:
    return JSONResponse(len(await call.body()))


async def large(call: Call) -> Response:
    return PlainTextResponse(LARGE)


async def broken(call: Call) -> Response:
    raise RuntimeError("a mistake of ours")


async def failing(call: Call) -> Response:
    raise ServiceError("/path/of/this/machine is full")


ENDPOINTS = [
    Endpoint("GET", "/who", who),
    Endpoint("POST", "/echo", echo, Body.json(8 << 20, Shape(8, 2, 9))),
    Endpoint("PUT", "/swallow", swallow, Body.png(1 << 20)), Endpoint("GET", "/large", large),
    Endpoint("GET", "/broken", broken), Endpoint("GET", "/failing", failing),
]  # fmt: skip


def gate(*off: str, **options: object) -> Gate:
    return Gate(
        GateOptions.model_validate({"port": 0, "token_env": VARIABLE, **options}), ENDPOINTS,
        off=frozenset(off),
    )  # fmt: skip


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    """A request whose connection ends with its answer."""
    names = [header.partition(":")[0].lower() for header in headers]
    own = [] if "host" in names else ["Host: 127.0.0.1"]
    if body and "content-length" not in names:
        own.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([f"{line} HTTP/1.1", *own, "Connection: close", *headers])
    return head.encode("latin-1") + b"\r\n\r\n" + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def content(answer: bytes) -> object:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


AS_JSON, AS_PNG = "Content-Type: application/json", "Content-Type: image/png"
ECHO = b'{"word": "hi"}'
CHUNKED = b"e\r\n" + ECHO + b"\r\n0\r\n\r\n"
SAME_KEYS = b"{" + b", ".join([b'"word": ""'] * 5) + b"}"
HEADS = [
    ("host", 421, request("GET /who", "Host: evil.example")),
    ("origin", 403, request("GET /who", "Origin: http://evil.example")),
    ("origin", 403, request("GET /who", "Sec-Fetch-Site: cross-site")),
    ("type", 415, request("POST /echo", "Content-Type: text/plain", body=ECHO)),
    ("type", 415, request("POST /echo", body=ECHO)),
    ("framing", 415, request("POST /echo", AS_JSON, "Content-Encoding: gzip", body=ECHO)),
    ("framing", 411, request("POST /echo", AS_JSON, "Content-Length: 14",
                             "Transfer-Encoding: chunked", body=CHUNKED)),
    ("path", 404, request("GET /%77ho")),
    ("path", 400, request("GET /who?token=x")),
    ("shape", 422, request("POST /echo", AS_JSON, body=SAME_KEYS)),
    ("nothing", 400, b"GET /who HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n"),
    ("nothing", 400, b"GET /who HTTP/1.0\r\n\r\n"),
    ("nothing", 400, request("POST /echo", AS_JSON, "Content-Length: 14", "Content-Length: 2",
                            body=ECHO)),
    ("nothing", 400, request("POST /echo", AS_JSON, "Content-Length: -1", body=ECHO)),
    ("nothing", 413, request("POST /echo", AS_JSON, f"Content-Length: {9 << 20}", body=ECHO)),
    ("nothing", 413, request("GET /who", "Content-Length: 1", body=b"x")),
    ("nothing", 415, request("PUT /swallow", "Content-Type: image/jpeg", body=b"x")),
    ("nothing", 400, request("GET /who", "X: " + "x" * 40_000)),
    ("nothing", 431, request("GET /who", *["X: y"] * 200)),
    ("nothing", 400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("nothing", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 40),
    ("nothing", 417, request("POST /echo", AS_JSON, "Expect: the moon", body=ECHO)),
    ("nothing", 404, request("GET http://evil.example/who")),
]  # fmt: skip


async def test_a_request_that_is_not_for_us_goes_no_further() -> None:
    async with gated(gate()) as port:
        fine = request("POST /echo", AS_JSON, "Origin: http://127.0.0.1", body=ECHO)
        assert content(await sent(port, fine)) == {"word": "hi"}
        for mechanism, wanted, data in HEADS:
            answer = await sent(port, data)
            assert status(answer) == wanted, (mechanism, data[:200], answer)
            said = content(answer)
            assert isinstance(said, dict)
            assert list(said) == ["error"]
            assert b"evil" not in answer


async def test_without_its_check_it_does() -> None:
    for off in ("host", "origin", "type", "framing", "path", "shape"):
        async with gated(gate(off)) as port:
            for mechanism, wanted, data in HEADS:
                if mechanism == off:
                    assert status(await sent(port, data)) != wanted, data


async def test_a_mistake_of_ours_is_logged_once_and_not_told(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async with gated(gate()) as port:
        for path, wanted in (("broken", 500), ("failing", 503)):
            answer = await sent(port, request(f"GET /{path}"))
            assert status(answer) == wanted
            assert b"of ours" not in answer
            assert b"/path" not in answer
    said = capfd.readouterr().err
    assert said.count("RuntimeError: a mistake of ours") == 1
    assert said.count("/path/of/this/machine is full") == 1


async def test_a_body_that_is_expected_to_be_refused_is_not_sent() -> None:
    async with gated(gate()) as port, connected(port) as (reader, writer):
        head = request("POST /echo", AS_JSON, "Expect: 100-continue", "Content-Length: 14")
        writer.write(head.replace(b"Connection: close\r\n", b""))
        assert (await reader.readline()).startswith(b"HTTP/1.1 100")
        writer.write(ECHO)
        assert b'{"word":"hi"}' in await reader.readuntil(b"}")
        writer.write(
            head.replace(b"application/json", b"text/plain").replace(b"close", b"keep-alive")
        )
        assert b" 415 " in await ended(reader), "closed: what follows could be a body or a request"


SCANNED = [
    (b'{"word": "%s"}' % (b'\\"[{,:' * 50_000), 200),
    (b'{"word": "%s"}' % (b"\\\\" * 70_000), 200),
    (b" " * 500_000 + b'{"word": "a"}', 200), (b'{"word": ' + b"1" * 500_000 + b"}", 422),
    (b"[" * 100_000, 422), (b"]" * 100_000, 422), (b"[]" * 100_000, 422), (b'""' * 100_000, 422),
    (b"1," * 100_000, 422), (b'{"word": [[[]]]}', 422), (b'{"a":0,"b":0,"c":0,"d":0,"e":0}', 422),
]  # fmt: skip


async def test_json_is_counted_however_it_comes_in_parts() -> None:
    async with gated(gate()) as port:
        for body, wanted in SCANNED:
            assert status(await sent(port, request("POST /echo", AS_JSON, body=body))) == wanted
        body = b'{"word": "\\\\ \\" ] 1"}'
        async with connected(port) as (reader, writer):
            writer.write(request("POST /echo", AS_JSON, f"Content-Length: {len(body)}"))
            for byte in body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            assert content(await ended(reader)) == {"word": '\\ " ] 1'}


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

        parted = Gate(
            GateOptions(port=0, token_env=VARIABLE), [Endpoint("GET", "/parts", parts)],
            off=frozenset(off),
        )  # fmt: skip
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


def scope_of(peer: str, *forwarded: str) -> dict[str, object]:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    return {"client": (peer, 1), "headers": headers}


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "name"),
    [
        ((), "127.0.0.1", ("9.9.9.9",), "127.0.0.1"),
        (("127.0.0.1",), "127.0.0.1", ("9.9.9.9",), "9.9.9.9"),
        (("127.0.0.1",), "127.0.0.1", ("1.1.1.1, 9.9.9.9",), "9.9.9.9"),
        (("127.0.0.1",), "127.0.0.1", ("1.1.1.1", "9.9.9.9"), "9.9.9.9"),
        (("127.0.0.1", "10.0.0.0/8"), "127.0.0.1", ("1.1.1.1, 9.9.9.9, 10.3.2.1",), "9.9.9.9"),
        (("127.0.0.1",), "127.0.0.1", (), "127.0.0.1"),
        (("127.0.0.1",), "10.0.0.1", ("9.9.9.9",), "10.0.0.1"),
        (("127.0.0.1",), "::ffff:127.0.0.1", ("::ffff:9.9.9.9",), "9.9.9.9"),
        (("127.0.0.1",), "127.0.0.1", ("1.1.1.1, evil",), 400),
    ],
)
def test_only_a_trusted_proxy_names_the_client(
    proxies: tuple[str, ...], peer: str, forwarded: tuple[str, ...], name: str | int
) -> None:
    scope = scope_of(peer, *forwarded)
    clients = gate(trusted_proxies=proxies).clients
    if isinstance(name, int):
        with pytest.raises(Refusal) as refused:
            clients.client(scope, Headers(scope))
        assert refused.value.status == name
    else:
        assert clients.client(scope, Headers(scope)).name == name


def test_a_network_of_ipv6_counts_as_one_client_whose_sessions_are_apart() -> None:
    clients = gate().clients
    one, other = (
        clients.client(scope, Headers(scope))
        for scope in (scope_of("2001:db8::1"), scope_of("2001:db8::ffff:2"))
    )
    assert one.share == other.share
    assert one.name != other.name


async def test_each_token_is_a_client_and_none_is_taken_from_a_query(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, " first\nsecond  ")
    async with gated(gate()) as port:
        for shown, name in (("Bearer first", "token 1"), ("bearer second", "token 2")):
            answer = await sent(port, request("GET /who", f"Authorization: {shown}"))
            assert content(answer) == [name, name]
        for wrong in ("Bearer", "Bearer first second", "Bearer firs", "Basic first", "Bearer \xff",
                      "first", "Bearer token 1"):  # fmt: skip
            answer = await sent(port, request("GET /who", f"Authorization: {wrong}"))
            assert status(answer) == 401, wrong
        assert status(await sent(port, request("GET /who?token=first"))) == 401
        assert status(await sent(port, request("GET /nowhere"))) == 401
        several = ["Authorization: Bearer first"] * 2
        assert status(await sent(port, request("GET /who", *several))) == 400


def test_what_others_can_reach_wants_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, " \t ")
    for host in ("0.0.0.0", "::", "10.255.255.1"):
        with pytest.raises(ConfigError, match=f"{host} can be reached from outside"):
            gate(host=host)
    with pytest.raises(ConfigError, match="no address of this machine"):
        gate(host="no such host")
    with pytest.raises(ConfigError, match="trusted_proxies"):
        gate(trusted_proxies=["proxy"])
    assert gate(host="localhost").clients


async def test_names_that_were_allowed_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "t")
    token = "Authorization: Bearer t"
    async with gated(gate(host="0.0.0.0", allowed_hosts=["Node7"])) as port:
        for host, wanted in (
            ("node7:80", 200), ("10.1.2.3", 200), ("[2001:db8::1]:80", 200), ("127.0.0.1", 200),
            ("localhost:80", 200),
            ("evil.example", 421), ("node7.evil", 421),
        ):  # fmt: skip
            answer = await sent(port, request("GET /who", f"Host: {host}", token))
            assert status(answer) == wanted, host
