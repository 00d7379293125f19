"""A scripted chat server: a Python function behind a real socket, in place of a model.

It speaks enough of the OpenAI format to test an agent end to end without a GPU, decodes the images
that it receives, and can fail in the ways in which servers fail. It listens on the loopback
interface only.

    def answer(request):
        return "Let me look closer." if request.turn == 0 else "The answer is B."

    with ScriptedServer(answer) as server:
        policy = OpenAIPolicy(OpenAIOptions(base_url=server.url, model="script"))

Where no socket is needed, `saccade.policies.replay:ReplayPolicy` is the scripted policy: it takes
the turns of each task, or a function from a trajectory to the next text.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self

from PIL import Image as PILImage
from pydantic import JsonValue

MAX_REQUEST_BYTES = 512 * 2**20


@dataclass(frozen=True)
class ScriptedRequest:
    """A request that a client sent."""

    body: dict[str, JsonValue]

    @property
    def messages(self) -> list[dict[str, JsonValue]]:
        """The conversation as it was sent."""
        messages = self.body.get("messages")
        return [m for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []

    @property
    def turn(self) -> int:
        """Number of assistant messages so far, without one that is to be continued."""
        return sum(message.get("role") == "assistant" for message in self.messages[:-1])

    @property
    def text(self) -> str:
        """All text of the conversation."""
        return "\n".join(t for m in self.messages for t in _texts(m.get("content")))

    @cached_property
    def image_bytes(self) -> list[bytes]:
        """The images as they were sent, in order."""
        return [b for m in self.messages for b in _images(m.get("content"))]

    @cached_property
    def images(self) -> list[PILImage.Image]:
        """The images, decoded as a server would."""
        return [PILImage.open(io.BytesIO(data)).convert("RGB") for data in self.image_bytes]


@dataclass(frozen=True)
class ScriptedReply:
    """The reply of the server: an answer, or a failure of a given kind."""

    text: str = ""
    tool_calls: list[JsonValue] = field(default_factory=list)
    finish: str = "stop"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """Sent instead of a chat completion."""
    fail: Literal["", "hang", "drop", "cut"] = ""
    """hang: no reply until the server stops; drop: closes at once; cut: closes within the body."""


Script = Callable[[ScriptedRequest], "str | ScriptedReply"]


class ScriptedServer:
    """A context manager that answers requests in parallel while it is open.

    Leaving it raises what the script raised, so that a mistake in a script is not taken for a
    server that fails.
    """

    def __init__(self, answer: Script) -> None:
        self.requests: list[ScriptedRequest] = []
        self.mistake: BaseException | None = None
        self._answer = answer
        self._stopped = threading.Event()
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.script = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The `base_url` of clients."""
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def answer(self, body: dict[str, JsonValue]) -> ScriptedReply:
        """The reply to a request."""
        request = ScriptedRequest(body)
        self.requests.append(request)
        reply = self._answer(request)
        return ScriptedReply(reply) if isinstance(reply, str) else reply

    def wait_until_stopped(self) -> None:
        """Block until the server stops, for a request that hangs."""
        self._stopped.wait()

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
        body = json.loads(content)
        reply = self.server.script.answer(body)
        if reply.fail == "hang":
            self.server.script.wait_until_stopped()
        if reply.fail in ("hang", "drop"):
            self._hang_up()
            return
        sent = _completion(body, reply) if reply.raw is None else reply.raw
        self._send(reply.status, sent, reply.headers, cut=reply.fail == "cut")

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: requests are kept in `ScriptedServer.requests`."""

    def _send(
        self, status: int, content: bytes, headers: dict[str, str], *, cut: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.wfile.flush()
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _completion(body: dict[str, JsonValue], reply: ScriptedReply) -> bytes:
    """A chat completion. Source: OpenAI API reference, the chat completion object."""
    message: dict[str, JsonValue] = {"role": "assistant", "content": reply.text}
    if reply.tool_calls:
        message["tool_calls"] = reply.tool_calls
    usage: JsonValue = {
        "prompt_tokens": len(json.dumps(body)) // 4,
        "completion_tokens": len(reply.text) // 4 + 1,
    }
    completion: JsonValue = {
        "id": "chatcmpl-script",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model", "script"),
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish}],
        "usage": usage,
    }
    return json.dumps(completion).encode()


def _texts(content: JsonValue) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return [text for text in texts if isinstance(text, str)]


def _images(content: JsonValue) -> list[bytes]:
    found = []
    for part in content if isinstance(content, list) else []:
        link = part.get("image_url") if isinstance(part, dict) else None
        url = link.get("url") if isinstance(link, dict) else None
        if isinstance(url, str) and url.startswith("data:image/"):
            try:
                found.append(base64.b64decode(url.partition(",")[2], validate=True))
            except binascii.Error as error:
                raise ValueError("an image_url that is no base64 data URI") from error
    return found
