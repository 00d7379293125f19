"""The gate, served by a real server in the running loop, with each mechanism on and off."""

import asyncio

import pytest
from gates import (
    AS_JSON,
    CHUNKED,
    ECHO,
    VARIABLE,
    content,
    gate,
    request,
    status,
)  # fmt: skip
from serving import connected, ended, gated, sent

from saccade.errors import ConfigError
from saccade.serve.gate import Refusal
from saccade.serve.gate.headers import Headers

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
