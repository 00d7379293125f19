"""What servers send that lie, fail or attack: each is a function from a request to a reply.

    with ScriptedServer(lying(LIES)) as server: ...         # one after the other
    with ScriptedServer(LIES["the key in an error"]) as server: ...

A client must come to an end with each of them, show no key and no control character, and lose no
other episode.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from itertools import cycle

from pydantic import JsonValue

from saccade.testing.server import Script
from saccade.testing.wire import ScriptedReply, ScriptedRequest

HOSTILE_TEXT = (
    "\x1b]52;c;cm0gLXJm\x07\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\\x1b[2J\x1b]0;title\x07\r\x08\x7f"
    "\x9b31m\x90q\x9c\u202eevil\u2066\u200b\u2028[/red][bold]:smile:"
)
"""What a terminal, or Rich, takes for commands: clipboard, link, title, C1 controls, direction."""


def key_of(request: ScriptedRequest) -> str:
    """The key that a client has sent."""
    header = request.headers.get("authorization") or request.headers.get("api-key", "")
    return header.removeprefix("Bearer ")


def lying(lies: Mapping[str, Callable[[ScriptedRequest], ScriptedReply]]) -> Script:
    """A script that tells the lies in turn, whatever it is asked."""
    turns = cycle(lies.values())
    return lambda request: next(turns)(request)


def _error(status: int, said: str, **headers: str) -> ScriptedReply:
    body = json.dumps({"error": {"message": said}}).encode()
    return ScriptedReply(status=status, raw=body, headers=headers)


def _json(value: JsonValue) -> ScriptedReply:
    return ScriptedReply(raw=json.dumps(value).encode())


def _message(**message: JsonValue) -> ScriptedReply:
    return _json({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


LIES: Mapping[str, Callable[[ScriptedRequest], ScriptedReply]] = {
    "the key in an error": lambda r: _error(401, f"Incorrect API key provided: {key_of(r)}"),
    "the key in a header": lambda r: ScriptedReply(
        status=302, raw=b"", headers={"Location": f"http://127.0.0.1:9/?key={key_of(r)}"}
    ),
    "the key in a text": lambda r: ScriptedReply(key_of(r)),
    "a text of escapes": lambda r: ScriptedReply("\\" * 50_000),
    "what is packed twice": lambda r: ScriptedReply(
        raw=gzip.compress(gzip.compress(b"{}")), headers={"Content-Encoding": "gzip, gzip"}
    ),
    "commands for a terminal": lambda r: ScriptedReply(HOSTILE_TEXT),
    "commands in an error": lambda r: _error(400, HOSTILE_TEXT),
    "a redirect to itself": lambda r: ScriptedReply(
        status=307, raw=b"", headers={"Location": "/v1/chat/completions"}
    ),
    "no JSON": lambda r: ScriptedReply(raw=b"\xff\xfe<html>\x00"),
    "nothing": lambda r: ScriptedReply(raw=b""),
    "JSON that is nested too deeply": lambda r: ScriptedReply(raw=b'{"choices":' + b"[" * 100_000),
    "a number that no float holds": lambda r: ScriptedReply(
        raw=b'{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":1e999}}'
    ),
    "no choices": lambda r: _json({"choices": []}),
    "choices of another kind": lambda r: _json({"choices": {"0": [None, "x"]}}),
    "an empty message": lambda r: _message(content=None),
    "calls without names, with the same id": lambda r: _message(
        content=None, tool_calls=[{"id": "a"}, {"id": "a", "function": {"name": 3}}, None, 7]
    ),
    "token ids that are none": lambda r: _json(
        {"choices": [{"message": {"content": "x"}, "token_ids": [-1, 1.5, True, "x", 2**80]}]}
    ),
    "a stream that is cut": lambda r: ScriptedReply("x" * 100, fail="cut"),
    "a length that is too small": lambda r: ScriptedReply("x" * 100, fail="short"),
    "a closed connection": lambda r: ScriptedReply(fail="drop"),
    "a status that is none": lambda r: ScriptedReply(status=299, raw=b"{}"),
}
"""What comes to its end by itself."""

SLOW: Mapping[str, Callable[[ScriptedRequest], ScriptedReply]] = {
    "silence": lambda r: ScriptedReply(fail="hang"),
    "a byte at a time": lambda r: ScriptedReply("x", fail="drip"),
}
"""What only a time-out ends."""

ENDLESS: Mapping[str, Callable[[ScriptedRequest], ScriptedReply]] = {
    "a body without an end": lambda r: ScriptedReply(raw=b" " * 65536, fail="endless"),
    "a stream without an end": lambda r: ScriptedReply(
        raw=b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n' * 500,
        fail="endless",
        headers={"Content-Type": "text/event-stream"},
    ),
}
"""What only a bound on bytes ends."""
