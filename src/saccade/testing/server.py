"""The server itself: one thread a connection, a script that answers, a likeness that refuses."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import JsonValue

from saccade.client.servers import ServerKind
from saccade.testing import strict
from saccade.testing.wire import Fail, ScriptedReply, ScriptedRequest, completion, streamed

MAX_REQUEST_BYTES = 512 * 2**20
DRIP_S = 0.02
"""Seconds between two bytes of a reply that drips."""

Script = Callable[[ScriptedRequest], "str | ScriptedReply"]


class ScriptedServer:
    """A context manager that answers requests in parallel while it is open.

    Leaving it raises what the script raised, so that a mistake in a script is not taken for a
    server that fails.

    Args:
        answer: The script, from a request to the reply.
        like: The kind of server whose refusals and marks it takes on; None refuses nothing.
    """

    def __init__(self, answer: Script, *, like: ServerKind | None = None) -> None:
        self.requests: list[ScriptedRequest] = []
        """Every request that came, also those that were refused."""
        self.mistake: BaseException | None = None
        self._answer = answer
        self._like = like
        self._stopped = threading.Event()
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.script = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.005,), daemon=True)

    @property
    def url(self) -> str:
        """The `base_url` of clients."""
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def answer(self, request: ScriptedRequest) -> ScriptedReply:
        """The reply to a request."""
        self.requests.append(request)
        refused = strict.refusal(self._like, request)
        if refused is not None:
            return refused
        reply = self._answer(request)
        return ScriptedReply(reply) if isinstance(reply, str) else reply

    def completion(self, request: ScriptedRequest, reply: ScriptedReply) -> dict[str, JsonValue]:
        """The chat completion that holds a reply."""
        sent, signature = strict.as_sent(self._like, request, reply)
        return completion(request.body, sent, signature)

    def wait_until_stopped(self) -> None:
        """Block until the server stops, for a request that hangs."""
        self._stopped.wait()

    def stopped(self, wait_s: float) -> bool:
        """Whether the server stops within so many seconds."""
        return self._stopped.wait(wait_s)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stopped.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        if self.mistake is not None and kind is None:
            raise self.mistake


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    script: ScriptedServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep what the script raised; a client that goes away within a request is no mistake."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.script.mistake = self.script.mistake or error


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._send(200, b'{"object": "list", "data": [{"id": "script", "object": "model"}]}', {})

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", "0"))
        if size > MAX_REQUEST_BYTES:
            self._send(413, b"{}", {})
            return
        content = self.rfile.read(size)
        if len(content) < size:  # the client went away while it wrote
            self.close_connection = True
            return
        url = urlsplit(self.path)
        if not url.path.endswith("/chat/completions"):
            self._send(404, b'{"error": {"message": "Not Found"}}', {})
            return
        request = ScriptedRequest(
            json.loads(content),
            {name.lower(): value for name, value in self.headers.items()},
            dict(parse_qsl(url.query, keep_blank_values=True)),
        )
        self._reply(request, self.server.script.answer(request))

    def _reply(self, request: ScriptedRequest, reply: ScriptedReply) -> None:
        if reply.fail == "hang":
            self.server.script.wait_until_stopped()
        if reply.fail in ("hang", "drop"):
            self._hang_up()
            return
        headers, sent = reply.headers, reply.raw
        if sent is None:
            whole = self.server.script.completion(request, reply)
            sent = json.dumps(whole).encode()
            if request.body.get("stream") is True:
                wanted = request.body.get("stream_options")
                usage = isinstance(wanted, dict) and wanted.get("include_usage") is True
                sent = streamed(whole, usage=usage)
                headers = {"Content-Type": "text/event-stream", **headers}
        if reply.fail in ("drip", "endless"):
            self._go_on(reply.status, sent, headers, drip=reply.fail == "drip")
        else:
            self._send(reply.status, sent, headers, fail=reply.fail)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: requests are kept in `ScriptedServer.requests`."""

    def _send(
        self, status: int, content: bytes, headers: dict[str, str], *, fail: Fail = ""
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        length = len(content) // 2 if fail == "short" else len(content)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if fail == "cut" else content)
        if fail:
            self.wfile.flush()
            self._hang_up()

    def _go_on(self, status: int, content: bytes, headers: dict[str, str], *, drip: bool) -> None:
        """A body without an end, until the server stops or the client leaves."""
        self.close_connection = True  # and no length: what comes until then is the body
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        rest = iter(content)
        while not self.server.script.stopped(DRIP_S if drip else 0):
            self.wfile.write(bytes([next(rest, 0x20)]) if drip else content or b" ")
            self.wfile.flush()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
