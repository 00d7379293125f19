"""A server on this machine that answers what a test wrote down, and keeps what it was asked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Asked(NamedTuple):
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Their names are in lower case."""
    body: Any
    """JSON; None where there is none."""


class Reply(NamedTuple):
    """An answer; what is no bytes is sent as JSON."""

    content: Any = b""
    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - a default that nobody writes to
    fail: Literal["", "cut", "drop", "hang"] = ""


class Answering:
    """A context manager; answers come from a list, the last one for ever, or from a function."""

    def __init__(self, *replies: Reply, by: Callable[[Asked], Reply] | None = None) -> None:
        self.replies, self.by, self.asked = list(replies), by, list[Asked]()
        self._over = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]  # it hung up
        self._http.answering = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def reply(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        if self.by is not None:
            return self.by(asked)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def __enter__(self) -> Answering:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def hold(self) -> None:
        self._over.wait()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length", "0"))
        content = self.rfile.read(size)
        url = urlsplit(self.path)
        answering: Answering = self.server.answering  # type: ignore[attr-defined]
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        body = json.loads(content) if content else None
        reply = answering.reply(Asked(self.command, url.path, query, headers, body))
        if reply.fail in ("hang", "drop"):
            if reply.fail == "hang":
                answering.hold()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        sent = reply.content
        if not isinstance(sent, bytes):
            sent = json.dumps(sent).encode()
        self.send_response(reply.status)
        fields = {"Content-Type": "application/json", "Content-Length": str(len(sent))}
        for name, value in {**fields, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent[: len(sent) // 2] if reply.fail == "cut" else sent)
        if reply.fail:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass
