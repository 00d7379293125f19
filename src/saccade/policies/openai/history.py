"""A trajectory as the messages of a chat request.

What is sent is what the trajectory holds, in a form that strict servers take: text is never null,
each call has exactly one tool message, in order and by its id, and arguments are JSON objects. What
the model wrote instead stays in the trajectory; the tool message says what was wrong with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from pydantic import JsonValue

from saccade.dialects.native import as_user_turn
from saccade.dialects.tags import MAX_DEPTH, finite, nesting, refuse_constant
from saccade.images.image import Image
from saccade.policies.openai.options import OpenAIOptions
from saccade.policies.openai.pictures import Pictures
from saccade.types import Message, Part, Trajectory, Turn
from saccade.untrusted.inert import kept_apart

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Source: OpenAI API reference, function names of tool calls."""


class History:
    """Writes trajectories as messages, for one server."""

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options
        self._pictures = Pictures(options)

    async def messages(self, trajectory: Trajectory) -> list[JsonValue]:
        """The conversation so far, the given beginning of the next turn included."""
        tools = {tool.name for tool in trajectory.environment.tools}
        wire = [await self._message(message) for message in trajectory.prompt]
        for turn in trajectory.turns:
            wire.append(_assistant(turn, self._options.send_thought, tools))
            wire += [await self._message(message) for message in self._observation(turn)]
        if trajectory.prefix:
            wire.append({"role": "assistant", "content": trajectory.prefix})
        return wire

    def _observation(self, turn: Turn) -> Sequence[Message]:
        answered = any(message.role == "tool" for message in turn.observation)
        if answered and not turn.completion.tool_calls:
            return as_user_turn(turn.observation)
        return with_images(turn) if self._options.tool_images == "tool" else turn.observation

    async def _message(self, message: Message) -> JsonValue:
        content = await self._content(message.content)
        sent: dict[str, JsonValue] = {"role": message.role, "content": content}
        if message.role == "tool":
            sent["tool_call_id"] = message.call_id or ""
        return sent

    async def _content(self, content: Sequence[Part]) -> JsonValue:
        # What a dialect of the user's own, or a moved image, leaves side by side.
        parts = kept_apart(content)
        if all(isinstance(part, str) for part in parts):
            return "".join(part for part in parts if isinstance(part, str))
        return [
            {"type": "text", "text": part} if isinstance(part, str) else await self._image(part)
            for part in parts
        ]

    async def _image(self, image: Image) -> JsonValue:
        link: dict[str, JsonValue] = {"url": await self._pictures.url(image)}
        if self._options.image_detail is not None:
            link["detail"] = self._options.image_detail
        return {"type": "image_url", "image_url": link}


def with_images(turn: Turn) -> tuple[Message, ...]:
    """The observation of a turn with the images of each result in its own tool message.

    A dialect writes a tool message for each result and all images after them, in order.
    """
    tool = [message for message in turn.observation if message.role == "tool"]
    others = [message for message in turn.observation if message.role != "tool"]
    left = [part for message in others for part in message.content if isinstance(part, Image)]
    shown = [[part for part in r.content if isinstance(part, Image)] for r in turn.results]
    if len(tool) != len(shown) or left != [image for images in shown for image in images]:
        return turn.observation  # another order than that of the built-in dialect
    moved = [
        message.model_copy(update={"content": (*message.content, *images)})
        for message, images in zip(tool, shown, strict=True)
    ]
    kept = [_without_images(message) for message in others]
    return (*moved, *(message for message in kept if message.content))


def _without_images(message: Message) -> Message:
    texts = tuple(part for part in message.content if isinstance(part, str))
    return message.model_copy(update={"content": texts})


def _assistant(turn: Turn, thought_field: str, tools: set[str]) -> JsonValue:
    completion = turn.completion
    sent: dict[str, JsonValue] = {"role": "assistant", "content": turn.prefix + completion.text}
    calls: list[JsonValue] = [
        {
            "id": call.id,
            "type": "function",
            "function": {
                "name": call.name if call.name in tools else _valid_name(call.name),
                "arguments": _valid_arguments(call.arguments),
            },
        }
        for call in completion.tool_calls
    ]
    # DeepSeek refuses a turn with a call that lacks the field, even if nothing was thought.
    if thought_field != "no" and (completion.thought or calls):
        sent[thought_field] = completion.thought or ""
    if calls:
        sent["tool_calls"] = calls
    return sent


def _valid_name(name: str) -> str:
    """The name of a tool that does not exist, with the letters that such a name may have."""
    if _NAME.fullmatch(name):
        return name
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:64] or "unknown"


def _valid_arguments(text: str) -> str:
    """The text as it is, if every server can read it as a JSON object; else an empty one.

    What the model wrote must not fail the next request: numbers beyond the largest float, halves of
    surrogate pairs and deep nesting are JSON to Python, and errors to other parsers.
    """
    try:
        value = json.loads(
            text, parse_constant=refuse_constant, parse_float=finite, parse_int=_portable
        )
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return "{}"
    return text if isinstance(value, dict) and nesting(value) <= MAX_DEPTH else "{}"


def _portable(text: str) -> int:
    finite(text)
    return int(text)
