"""Server-sent events: a streamed chat completion, put together as if it had come whole.

Source: OpenAI API reference, the chat completion chunk object. Events are lines `data: JSON`; lines
that begin with a colon are comments (OpenRouter keeps connections alive with them).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import JsonValue

from saccade.untrusted.values import items, parsed, table, tables, word

_DONE = "[DONE]"


class BrokenStream(ValueError):
    """Events that end in the middle, or that are no JSON."""


def is_stream(content_type: str, content: bytes) -> bool:
    """Whether a response is a stream of events, whatever its request asked for."""
    if content_type.strip().lower().startswith("text/event-stream"):
        return True
    return content[:64].lstrip().startswith((b"data:", b"event:", b": "))


def assembled(content: bytes) -> dict[str, JsonValue]:
    """The chat completion that the events add up to; one with an `error` if an event holds one.

    Raises:
        BrokenStream: the stream ends before its end, or an event cannot be read.
    """
    whole = _Whole()
    for event in _events(content):
        if event == _DONE:
            whole.done = True
            break
        chunk = table(event)
        if _is_failure(chunk):
            return chunk
        whole.add(chunk)
    if not whole.done and not whole.choice.get("finish_reason"):
        raise BrokenStream("the stream ends before the reply does")
    return whole.completion()


def _is_failure(chunk: dict[str, JsonValue]) -> bool:
    """Whether an event is an error: marked as one, or a message where choices should be."""
    marked = chunk.get("error") or "error" in (chunk.get("object"), chunk.get("type"))
    return bool(
        marked or ("choices" not in chunk and (chunk.get("message") or chunk.get("detail")))
    )


def _events(content: bytes) -> Iterator[JsonValue]:
    """The value of each event; one whose JSON goes over several lines is put together.

    Errors have a name (`event: error`), or a field of their own (`error: JSON`: llama.cpp).
    """
    pending = event = ""
    for line in re.split(r"\r\n|\n|\r", content.decode("utf-8-sig", "replace")):
        name, colon, data = line.partition(":")
        if colon and name == "event":
            event = data.strip()
        if not (colon and name in ("data", "error")):
            if not line.lstrip().startswith(("{", "[")):
                continue  # a comment, another field, or the blank line after an event
            data = line
        data = f"{pending}\n{data}" if pending else data.strip()
        if data == _DONE:
            yield data
            return
        try:
            value = parsed(data)
        except ValueError:
            if data.startswith(("{", "[")):
                pending = data
                continue
            value = data  # a word that keeps the connection alive, or that says what failed
        pending = ""
        yield (
            {"error": value} if "error" in (name, event) and "error" not in table(value) else value
        )
        event = ""
    if pending:
        raise BrokenStream("an event that is no JSON")


@dataclass
class _Whole:
    """What has come so far of the first choice."""

    top: dict[str, JsonValue] = field(default_factory=dict)
    choice: dict[str, JsonValue] = field(default_factory=dict)
    parts: dict[str, list[JsonValue]] = field(default_factory=dict)
    calls: list[_Call] = field(default_factory=list)
    done: bool = False

    def add(self, chunk: dict[str, JsonValue]) -> None:
        _update(self.top, {k: v for k, v in chunk.items() if k != "choices"})
        for choice in tables(chunk.get("choices")):
            if choice.get("index") not in (None, 0):
                continue
            delta = table(choice.get("delta"))
            if not delta and not self.parts and not self.calls:
                delta = table(choice.get("message"))  # else it repeats what has come
            _update(self.choice, {k: v for k, v in choice.items() if k not in ("delta", "message")})
            for key, value in delta.items():
                if key == "tool_calls":
                    self._add_calls(tables(value))
                elif key == "function_call":
                    self._add_calls([{"index": 0, "function": value}])
                elif key != "role":
                    self.parts.setdefault(key, []).extend(items(value))

    def _add_calls(self, deltas: list[dict[str, JsonValue]]) -> None:
        """Calls are told apart by their index; some servers give none, or the same to all."""
        for delta in deltas:
            index, identity = word(delta.get("index")), word(delta.get("id"))
            function = table(delta.get("function"))
            name, arguments = word(function.get("name")), items(function.get("arguments"))
            known = [call for call in self.calls if not index or call.index == index]
            call = known[-1] if known else None
            if call is None or call.is_before(identity, name):
                call = _Call(index)
                self.calls.append(call)
            elif name and call.text and arguments == [call.text]:
                continue  # all of the call once more
            call.add(identity, name, arguments)

    def completion(self) -> dict[str, JsonValue]:
        message: dict[str, JsonValue] = dict(self.parts)
        if self.calls:
            message["tool_calls"] = [call.whole() for call in self.calls]
        if not self.choice and not message:
            return self.top | {"choices": []}
        return self.top | {"choices": [self.choice | {"message": message}]}


@dataclass
class _Call:
    index: str
    id: str = ""
    name: str = ""
    arguments: list[JsonValue] = field(default_factory=list)

    def is_before(self, identity: str, name: str) -> bool:
        """Whether a delta with this id and name begins another call."""
        if identity and self.id:
            return bool(name) and identity != self.id  # some invent an id for every delta
        return bool(name and self.arguments and _is_json(self.text))

    def add(self, identity: str, name: str, arguments: list[JsonValue]) -> None:
        """Take in a delta. A name comes whole, once or often; some send it in pieces."""
        self.id = self.id or identity
        if name.startswith(self.name):
            self.name = name
        elif name and not self.name.startswith(name) and not self.text:
            self.name += name
        self.arguments += arguments

    def whole(self) -> JsonValue:
        """Arguments that came as text are joined; of objects the last one counts."""
        objects = [piece for piece in self.arguments if not isinstance(piece, str)]
        arguments = self.text or (objects[-1] if objects else "")
        return {"id": self.id, "function": {"name": self.name, "arguments": arguments}}

    @property
    def text(self) -> str:
        """The arguments that came as text, joined."""
        return "".join(piece for piece in self.arguments if isinstance(piece, str))


def _update(known: dict[str, JsonValue], new: dict[str, JsonValue]) -> None:
    """Take over values; an empty one says nothing, but that the server knows the field."""
    for key, value in new.items():
        if value not in (None, "") or key not in known:
            known[key] = value


def _is_json(text: str) -> bool:
    try:
        parsed(text)
    except ValueError:
        return False
    return True
