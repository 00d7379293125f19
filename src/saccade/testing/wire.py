"""What a scripted server receives and sends: requests, replies, and their bytes."""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.config import check_choice

CHUNK_CHARS = 7
"""Number of characters in a chunk of a streamed text."""

Fail = Literal["", "hang", "drop", "cut", "drip", "endless", "short"]


@dataclass(frozen=True)
class ScriptedRequest:
    """A request that a client sent."""

    body: dict[str, JsonValue]
    headers: Mapping[str, str] = field(default_factory=dict)
    """Their names are in lower case."""
    query: Mapping[str, str] = field(default_factory=dict)
    """The decoded query of the URL."""

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

    @property
    def image_urls(self) -> list[str]:
        """The images as they were named, in order: data URIs and links."""
        return [url for m in self.messages for url in _urls(m.get("content"))]

    @cached_property
    def image_bytes(self) -> list[bytes]:
        """The images as they were sent, in order; links are left out."""
        return [_decoded(url) for url in self.image_urls if url.startswith("data:image/")]

    @cached_property
    def images(self) -> list[PILImage.Image]:
        """The images, decoded as a server would."""
        return [PILImage.open(io.BytesIO(data)).convert("RGB") for data in self.image_bytes]


@dataclass(frozen=True)
class ScriptedReply:
    """The reply of the server: an answer, or a failure of a given kind."""

    text: str = ""
    thought: str = ""
    """Sent in the field in which the server sends thoughts, `reasoning_content` by default."""
    tool_calls: list[JsonValue] = field(default_factory=list)
    finish: str = "stop"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """Sent instead of a chat completion."""
    fail: Fail = ""
    """hang: no reply until the server stops; drop: closes at once; cut: closes within the body;
    drip: a byte at a time, without an end; endless: a body that goes on until the client leaves;
    short: says that the body is shorter than it is."""

    def __post_init__(self) -> None:
        """Check `fail`.

        Raises:
            ConfigError: it is none of the ways in which a server fails.
        """
        check_choice("fail", self.fail, get_args(Fail))


class Signature(NamedTuple):
    """What a kind of server adds to its completions, by which it can be told."""

    thought_field: str = "reasoning_content"
    choice: Mapping[str, JsonValue] = MappingProxyType({})
    whole: Mapping[str, JsonValue] = MappingProxyType({})


def completion(
    body: Mapping[str, JsonValue], reply: ScriptedReply, signature: Signature
) -> dict[str, JsonValue]:
    """A chat completion. Source: OpenAI API reference, the chat completion object."""
    message: dict[str, JsonValue] = {"role": "assistant", "content": reply.text}
    if reply.thought:
        message[signature.thought_field] = reply.thought
    if reply.tool_calls:
        message["tool_calls"] = reply.tool_calls
    choice = {"index": 0, "message": message, "finish_reason": reply.finish, **signature.choice}
    usage: JsonValue = {
        "prompt_tokens": len(json.dumps(body)) // 4,
        "completion_tokens": len(reply.text) // 4 + 1,
    }
    return {
        "id": "chatcmpl-script",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model", "script"),
        "choices": [choice],
        "usage": usage,
        **signature.whole,
    }


def streamed(whole: dict[str, JsonValue], *, usage: bool) -> bytes:
    """A chat completion as server-sent events.

    Source: OpenAI API reference, the chat completion chunk object: deltas, the reason of the end in
    the last choice, the usage in a chunk without choices if it was asked for, and `[DONE]`.

    Args:
        whole: The completion, whose first choice is sent.
        usage: Whether the request asked for the usage.
    """
    choices = whole["choices"]
    choice = choices[0] if isinstance(choices, list) else {}
    assert isinstance(choice, dict)
    message = choice["message"]
    assert isinstance(message, dict)
    common = {k: v for k, v in whole.items() if k not in ("choices", "usage")}
    common["object"] = "chat.completion.chunk"
    ends = {k: v for k, v in choice.items() if k != "message"}
    events: list[dict[str, JsonValue]] = [
        common | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in _deltas(message)
    ]
    events.append(common | {"choices": [{"delta": {}, **ends}]})
    if usage:
        events.append(common | {"choices": [], "usage": whole["usage"]})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


def _deltas(message: Mapping[str, JsonValue]) -> Iterator[dict[str, JsonValue]]:
    """What each chunk adds: texts in pieces, a call's name first and its arguments after it."""
    yield {"role": "assistant", "content": ""}
    for name, value in message.items():
        if name != "role" and isinstance(value, str):
            for start in range(0, len(value), CHUNK_CHARS):
                yield {name: value[start : start + CHUNK_CHARS]}
    calls = message.get("tool_calls")
    for index, call in enumerate(calls if isinstance(calls, list) else []):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(function, dict):
            continue
        opened: JsonValue = {**call, "index": index, "function": {**function, "arguments": ""}}
        yield {"tool_calls": [opened]}
        rest: JsonValue = {"index": index, "function": {"arguments": function.get("arguments")}}
        yield {"tool_calls": [rest]}


def _texts(content: JsonValue) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return [text for text in texts if isinstance(text, str)]


def _urls(content: JsonValue) -> list[str]:
    found = []
    for part in content if isinstance(content, list) else []:
        link = part.get("image_url") if isinstance(part, dict) else None
        url = link.get("url") if isinstance(link, dict) else None
        if isinstance(url, str):
            found.append(url)
    return found


def _decoded(url: str) -> bytes:
    try:
        return base64.b64decode(url.partition(",")[2], validate=True)
    except binascii.Error as error:
        raise ValueError("an image_url that is no base64 data URI") from error
