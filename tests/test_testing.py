"""The loopback server that answers like a chat server, or fails like one."""

import socket
from urllib.parse import urlsplit

import pytest
from waiting import LIMIT_S

from saccade.testing import ScriptedRequest, ScriptedServer


def send(url: str, body: bytes, *, promised: int) -> bytes:
    """Post `body` under a header that promises so many bytes, then stop writing."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=LIMIT_S) as connection:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {promised}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(65536)


@pytest.mark.parametrize("written", [0, 5])
def test_a_client_that_goes_away_in_mid_request_is_no_mistake(written: int) -> None:
    with ScriptedServer(lambda _: "hello") as server:
        assert send(server.url, b'{"messages": []}'[:written], promised=16) == b""
    assert server.requests == []


def test_a_mistake_in_the_script_is_raised_at_the_end() -> None:
    def answer(_: ScriptedRequest) -> str:
        raise KeyError("a script that is wrong")

    with pytest.raises(KeyError, match="a script that is wrong"), ScriptedServer(answer) as server:
        send(server.url, b'{"messages": []}', promised=16)
