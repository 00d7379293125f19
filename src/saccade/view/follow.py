"""A server of a run in progress on loopback; the page asks for new data every two seconds.

Only this machine can reach it, and only under a loopback name: a page of another site that makes a
browser resolve its own name to 127.0.0.1 is refused by the `Host` header.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import unquote

from saccade.errors import ConfigError, SaccadeError
from saccade.view.page import PageBuilder

PATIENCE_S = 30.0
"""How long a connection may keep one part of a request, or of an answer, waiting."""


class _Answer(NamedTuple):
    status: HTTPStatus
    kind: str = ""
    body: bytes = b""


class FollowServer:
    """A context manager that serves the page of runs while it is open."""

    def __init__(self, runs: Sequence[Path], port: int = 0) -> None:
        """Bind to a port of the loopback interface; 0 stands for any free port.

        Raises:
            ConfigError: the port is taken or needs privileges.
        """
        self._builder = PageBuilder(runs)
        self._reading = threading.Lock()
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        except OSError as error:
            raise ConfigError(f"view: port {port} cannot be used ({error.strerror})") from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str) -> _Answer:
        """The answer to a request for a path; one request at a time reads the folders."""
        page, _, version = path.partition("?version=")
        with self._reading:
            if path == "/":
                html = self._builder.page(follow=True).html
                return _Answer(HTTPStatus.OK, "text/html; charset=utf-8", html.encode())
            if page != "/data.json":
                return _Answer(HTTPStatus.NOT_FOUND)
            if unquote(version) == self._builder.version:
                return _Answer(HTTPStatus.NO_CONTENT)
            return _Answer(HTTPStatus.OK, "application/json", self._builder.data().encode())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        follow = self

        class Handler(BaseHTTPRequestHandler):
            """Answers requests for the page and for its data."""

            timeout = PATIENCE_S

            def do_GET(self) -> None:
                host = (self.headers.get("Host") or "").rpartition(":")[0]
                if host not in ("127.0.0.1", "localhost"):
                    self.send_error(HTTPStatus.FORBIDDEN)
                    return
                try:
                    answer = follow._answer(self.path)
                except (SaccadeError, OSError):
                    self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
                    return
                if answer.status is HTTPStatus.NOT_FOUND:
                    self.send_error(answer.status)
                    return
                self.send_response(answer.status)
                if answer.status is HTTPStatus.OK:
                    self.send_header("Content-Type", answer.kind)
                    self.send_header("Content-Length", str(len(answer.body)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("X-Content-Type-Options", "nosniff")
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing: the terminal belongs to the user."""

        return Handler
