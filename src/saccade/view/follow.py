"""A run in progress, served on loopback: the page asks for news every two seconds.

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
from typing import Self

from saccade.errors import SaccadeError
from saccade.view.page import as_json, make_page, page_data


class FollowServer:
    """Serves the page of runs while it is open. Use it as a context manager."""

    def __init__(self, runs: Sequence[Path], port: int = 0) -> None:
        """Bind to a port of the loopback interface; 0 takes a free one.

        Raises:
            OSError: the port is taken.
        """
        self._runs = tuple(runs)
        self._pages = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
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

    def _content(self, path: str) -> tuple[str, bytes] | None:
        """Media type and body of a path; one request at a time reads the folders."""
        with self._pages:
            if path == "/":
                return "text/html; charset=utf-8", make_page(self._runs, follow=True).html.encode()
            if path == "/data.json":
                content, pictures = page_data(self._runs)
                content["pictures"] = {name: pictures.data_uri(name) for name in pictures.files}
                return "application/json", as_json(content).encode()
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        follow = self

        class Handler(BaseHTTPRequestHandler):
            """Answers for two paths."""

            def do_GET(self) -> None:
                host = (self.headers.get("Host") or "").rpartition(":")[0]
                if host not in ("127.0.0.1", "localhost"):
                    self.send_error(HTTPStatus.FORBIDDEN)
                    return
                try:
                    found = follow._content(self.path)
                except (SaccadeError, OSError):
                    self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
                    return
                if found is None:
                    self.send_error(HTTPStatus.NOT_FOUND)
                    return
                kind, body = found
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("X-Content-Type-Options", "nosniff")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """The terminal stays free."""

        return Handler
