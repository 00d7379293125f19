"""Any OpenAI-compatible chat server as a policy: hosted models, vLLM, SGLang, llama.cpp, ...

What is sent is what the trajectory holds. Images are data URIs: the bytes of the original file
where it fits the budget as it is, else a PNG of exactly the shown pixels, so that the size in which
boxes are meant is known. Text of the assistant goes back byte for byte.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence

from pydantic import JsonValue

from saccade.cache import ByteCache
from saccade.client.chat import ChatClient
from saccade.client.options import ClientOptions
from saccade.client.reply import Reply
from saccade.errors import ConfigError, ServiceError
from saccade.images.image import Image
from saccade.types import Completion, Message, ModelInfo, Part, Sampling, Trajectory, Turn

CACHE_BYTES = 256 * 2**20
"""Encoded images are kept up to this size: each turn sends all images again."""


class OpenAIOptions(ClientOptions):
    """The `policy` section of a run file, kind "openai"."""

    continues_prefix: bool = False
    """The server goes on from an unfinished assistant message (vLLM's continue_final_message)."""


class OpenAIPolicy:
    """Writes turns with a chat server."""

    Options = OpenAIOptions

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options
        self._client = ChatClient(options)
        self._uris: ByteCache[Image, str] = ByteCache(CACHE_BYTES, len)

    @property
    def info(self) -> ModelInfo:
        """The name that the server knows the model by; it says nothing else."""
        return ModelInfo(name=self._options.model)

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next turn.

        Raises:
            ConfigError: the dialect needs a prefilled turn that this server would not continue.
            ContextOverflow: the server says that the prompt is too long.
            ServiceError: the server failed after all retries; the episode is aborted.
        """
        if trajectory.environment.prefill and not self._options.continues_prefix:
            raise ConfigError(
                f"policy: the dialect {trajectory.environment.dialect!r} starts each turn with a "
                "given text, which most chat servers do not continue; set "
                "policy.continues_prefix=true if yours does (vLLM), or use policy.kind=hf"
            )
        started = time.monotonic()
        reply = await self._client.chat(await self._request(trajectory, sampling))
        if reply.finish == "content_filter":
            raise ServiceError(f"{self._options.model}: the provider's filter refused the turn")
        return Completion(
            text=_with_stop(reply, sampling.stop, reported=self._options.rules.names_stop),
            finish="length" if reply.finish == "length" else "stop",
            tool_calls=reply.tool_calls,
            model=reply.model or self._options.model,
            prompt_tokens=reply.usage.prompt_tokens,
            completion_tokens=reply.usage.completion_tokens,
            seconds=time.monotonic() - started,
        )

    def count_tokens(self, trajectory: Trajectory) -> None:
        return None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _request(self, trajectory: Trajectory, sampling: Sampling) -> dict[str, JsonValue]:
        if sampling.force:
            raise ConfigError("sampling.force: a chat server cannot be made to write given text")
        body: dict[str, JsonValue] = {
            "messages": await self._messages(trajectory),
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed % 2**31,
        }
        if sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if trajectory.environment.native_tools and trajectory.environment.tools:
            body["tools"] = [tool.function() for tool in trajectory.environment.tools]
        if trajectory.prefix:
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        return body

    async def _messages(self, trajectory: Trajectory) -> list[JsonValue]:
        wire = [await self._message(message) for message in trajectory.prompt]
        for turn in trajectory.turns:
            wire.append(_assistant(turn))
            wire += [await self._message(message) for message in turn.observation]
        if trajectory.prefix:
            wire.append({"role": "assistant", "content": trajectory.prefix})
        return wire

    async def _message(self, message: Message) -> JsonValue:
        sent: dict[str, JsonValue] = {
            "role": message.role,
            "content": await self._content(message.content),
        }
        if message.role == "tool":
            sent["tool_call_id"] = message.call_id or ""
        return sent

    async def _content(self, parts: Sequence[Part]) -> JsonValue:
        if all(isinstance(part, str) for part in parts):
            return "".join(part for part in parts if isinstance(part, str))
        return [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image_url", "image_url": {"url": await self._uri(part)}}
            for part in parts
        ]

    async def _uri(self, image: Image) -> str:
        """The data URI of an image; pixels are resized and encoded outside the event loop."""
        uri = self._uris.get(image)
        if uri is None:
            uri = await asyncio.to_thread(_data_uri, image)
            self._uris.put(image, uri)
        return uri


def _data_uri(image: Image) -> str:
    data, media_type = image.encoded()
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _assistant(turn: Turn) -> JsonValue:
    text = turn.prefix + turn.completion.text
    if not turn.completion.tool_calls:
        return {"role": "assistant", "content": text}
    calls: list[JsonValue] = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in turn.completion.tool_calls
    ]
    return {"role": "assistant", "content": text or None, "tool_calls": calls}


def _with_stop(reply: Reply, stops: Sequence[str], *, reported: bool) -> str:
    """The text with the stop string that ended it, which most servers cut off.

    vLLM and SGLang say which it was, if it was one (`reported`). Others do not: then the stop
    string that would close the last open tag is put back, because nothing else than it or the end
    of the turn can have come there. A model that ends its turn with an open tag is thereby read as
    if it had closed it: on a local server, name it in `server`, and format problems are exact.
    """
    text = reply.text
    if reply.finish == "length":
        return text
    if reply.stop_reason in stops:
        return text if text.endswith(reply.stop_reason or "") else text + (reply.stop_reason or "")
    if reported:
        return text
    open_at = {
        stop: text.rfind(f"<{stop[2:]}")
        for stop in stops
        if stop.startswith("</") and text.rfind(f"<{stop[2:]}") > text.rfind(stop)
    }
    return text + max(open_at, key=open_at.__getitem__) if open_at else text
