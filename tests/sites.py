"""A site on this machine that pages are fetched from, and a network in which it is everything."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

HTML = "text/html; charset=utf-8"


class Page(NamedTuple):
    """What a path answers with."""

    body: bytes = b""
    kind: str = HTML
    status: int = 200
    headers: Mapping[str, str] = {}


def moved(place: str) -> Page:
    """A redirect."""
    return Page(status=302, headers={"Location": place})


class Site:
    """A server of pages, which may be changed while it runs; paths without one are 404."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pages: dict[str, Page | Callable[[], Page]] = {}
        self.asked: list[str] = []
        """Path of each request."""
        self.hosts: list[str] = []
        """Its header Host."""

    def url(self, path: str = "/", host: str = "localhost") -> str:
        return f"http://{host}:{self.port}{path}"


@contextmanager
def site() -> Iterator[Site]:
    """A site for the time of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            made.hosts.append(str(self.headers["Host"]))
            page = made.pages.get(self.path, Page(b"not here", status=404))
            page = page if isinstance(page, Page) else page()
            self.send_response(page.status)
            if page.kind:
                self.send_header("Content-Type", page.kind)
            for name, value in page.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hung up
    made = Site(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Network:
    """Every address leads to one server on this machine, and what is connected to is written down.

    Names are looked up as the machine does it, except for those that the test says.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
        self.reached: list[str] = []
        """Each address that was connected to."""
        self.looked_up: list[str] = []
        self.names: dict[str, list[list[str] | OSError]] = {}
        """Name -> the addresses that each look-up gives; the last one stays."""
        self._connect, self._look_up = socket.create_connection, socket.getaddrinfo
        self._port = port
        monkeypatch.setattr(socket, "create_connection", self._connected)
        monkeypatch.setattr(socket, "getaddrinfo", self._found)

    def _found(self, host: str, port: int, *args: object, **kinds: object) -> list[object]:
        self.looked_up.append(host)
        if host not in self.names:
            return list(self._look_up(host, port, *args, **kinds))  # type: ignore[arg-type]
        turns = self.names[host]
        answer = turns.pop(0) if len(turns) > 1 else turns[0]
        if isinstance(answer, OSError):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in answer]

    def _connected(self, address: tuple[str, int], *args: object, **more: object) -> socket.socket:
        (entry, *_) = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        self.reached.append(str(entry[4][0]))
        return self._connect(("127.0.0.1", self._port), *args, **more)  # type: ignore[arg-type]
