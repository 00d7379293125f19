"""Trajectories as the messages of Inspect AI, and such messages as trajectories.

Inspect parses the text of an assistant and writes it anew. So each assistant message carries, in
its metadata, the completion as it came; what a viewer shows of it is made from that, and what a
server is sent again is that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    Content,
    ContentReasoning,
    ContentText,
)
from inspect_ai.tool import ToolCall as InspectCall
from inspect_ai.tool import ToolCallError, ToolInfo, ToolParams
from pydantic import ValidationError

from saccade.dialects.tags import first_thought
from saccade.engines.inspect.pictures import contents, parts_of
from saccade.types import (
    Action,
    Completion,
    EnvironmentRecord,
    Message,
    ToolSpec,
    Trajectory,
    Turn,
    WireCall,
)

WRITTEN = "saccade_completion"
"""Key of a message's metadata: the completion as it came."""
PREFIX = "saccade_prefix"
"""Key of a message's metadata: the text that the turn was given to begin with."""
SCHEMA = "saccade_schema"
"""Key of a tool's options: its JSON schema, of which Inspect keeps a part."""


async def sent(trajectory: Trajectory) -> list[ChatMessage]:
    """The conversation so far as a model is to be sent it, and the given start of its turn."""
    found = [await _plain(message) for message in trajectory.prompt]
    for turn in trajectory.turns:
        found.append(assistant(turn.completion, prefix=turn.prefix))
        found += [await _plain(message) for message in turn.observation]
    if trajectory.prefix:
        found.append(ChatMessageAssistant(content=trajectory.prefix))
    return found


async def shown(trajectory: Trajectory) -> list[ChatMessage]:
    """The conversation as a viewer shows it: thoughts, calls, and beside each what came of it."""
    found = [await _plain(message) for message in trajectory.prompt]
    for number, turn in enumerate(trajectory.turns):
        calls = [result.call for result in turn.results]
        names = [f"turn{number + 1}.{place + 1}" for place in range(len(calls))]
        made = [
            InspectCall(id=name, function=call.name or "unread", arguments=dict(call.arguments))
            for name, call in zip(names, calls, strict=True)
        ]
        written = assistant(turn.completion, prefix=turn.prefix)
        text = turn.action.answer if turn.action.answer is not None else ""
        if made or turn.action.answer is not None:
            written = written.model_copy(
                update={"content": _shown(turn.action.thought, text), "tool_calls": made or None}
            )
        found.append(written)
        for name, result in zip(names, turn.results, strict=True):
            error = ToolCallError("unknown", result.error) if result.error is not None else None
            found.append(
                ChatMessageTool(
                    content=await contents(result.content),
                    tool_call_id=name,
                    function=result.call.name or None,
                    error=error,
                )
            )
    return found


def assistant(completion: Completion, *, prefix: str = "") -> ChatMessageAssistant:
    """An assistant message that carries the completion as it came."""
    calls = [
        InspectCall(id=call.id, function=call.name, **_arguments(call.arguments))
        for call in completion.tool_calls
    ]
    noted = {WRITTEN: completion.model_dump(mode="json", exclude_defaults=True)}
    return ChatMessageAssistant(
        content=_split(completion),
        tool_calls=calls or None,
        model=completion.model or None,
        source="generate",
        metadata=noted | ({PREFIX: prefix} if prefix else {}),
    )


def completion_in(message: ChatMessageAssistant) -> Completion:
    """What a model wrote: as it came where that is known and unchanged, else as it stands here."""
    noted = (message.metadata or {}).get(WRITTEN)
    if noted is not None:
        try:
            completion = Completion.model_validate(noted)
        except ValidationError:
            completion = None
        # A solver may have put other words in place of the model's.
        if completion is not None and _split(completion) == message.content:
            return completion
    thoughts: list[str] = []
    for item in [] if isinstance(message.content, str) else message.content:
        if isinstance(item, ContentReasoning):
            thoughts.append(item.reasoning)
    return Completion(
        text="".join(part for part in parts_of(message.content) if isinstance(part, str)),
        thought="".join(thoughts) or None,
        tool_calls=tuple(
            WireCall(id=call.id, name=call.function, arguments=json.dumps(call.arguments))
            for call in message.tool_calls or []
        ),
        model=message.model or "",
    )


def conversation(
    messages: Sequence[ChatMessage], tools: Sequence[ToolInfo], *, stop: Sequence[str] = ()
) -> Trajectory:
    """Messages as the trajectory that they are, for a policy to go on with.

    Raises:
        FormatError: an image is no data URI, or not readable.
    """
    prefix, whole = "", list(messages)
    if whole and isinstance(whole[-1], ChatMessageAssistant):
        prefix = whole.pop().text
    prompt: list[Message] = []
    turns: list[Turn] = []
    seen = prompt
    for message in whole:
        if isinstance(message, ChatMessageAssistant):
            if turns:
                turns[-1] = turns[-1].model_copy(update={"observation": tuple(seen)})
            seen = []
            given = str((message.metadata or {}).get(PREFIX) or "")
            written = completion_in(message)
            turns.append(Turn(prefix=given, completion=written, action=Action()))
        else:
            seen += _messages(message)
    if turns:
        turns[-1] = turns[-1].model_copy(update={"observation": _images_last(seen)})
    turns = [t.model_copy(update={"observation": _images_last(t.observation)}) for t in turns]
    record = EnvironmentRecord(
        fingerprint="",
        dialect="inspect",
        prompts="",
        tools=tuple(map(_spec, tools)),
        native_tools=bool(tools),
        stop=tuple(stop),
        prefill=bool(prefix),
    )
    return Trajectory(
        id="inspect", task_id="inspect", environment=record, prompt=tuple(prompt),
        turns=tuple(turns), prefix=prefix,
    )  # fmt: skip


def tool_info(spec: ToolSpec) -> ToolInfo:
    """A tool as Inspect describes it to models."""
    properties = spec.parameters.get("properties")
    required = spec.parameters.get("required")
    known = {"properties": properties or {}, "required": required or []}
    return ToolInfo(
        name=spec.name,
        description=spec.description,
        parameters=ToolParams.model_validate(known),
        options={SCHEMA: spec.parameters},
    )


def _spec(tool: ToolInfo) -> ToolSpec:
    own = (tool.options or {}).get(SCHEMA)
    parameters = own if isinstance(own, dict) else tool.parameters.model_dump(exclude_none=True)
    return ToolSpec(name=tool.name, description=tool.description, parameters=parameters)


async def _plain(message: Message) -> ChatMessage:
    content = await contents(message.content)
    match message.role:
        case "system":
            return ChatMessageSystem(content=content)
        case "tool":
            return ChatMessageTool(content=content, tool_call_id=message.call_id)
        case "assistant":
            return ChatMessageAssistant(content=content)
    return ChatMessageUser(content=content)


def _messages(message: ChatMessage) -> list[Message]:
    role, content = message.role, parts_of(message.content)
    if not isinstance(message, ChatMessageTool):
        return [Message(role=role, content=content)]
    if message.error is not None:
        content = (f"Error: {message.error.message}",)
    return [Message(role="tool", content=content, call_id=message.tool_call_id)]


def _images_last(observation: Sequence[Message]) -> tuple[Message, ...]:
    """Results without their images, which follow in a user message: few servers take them there."""
    images = [p for m in observation if m.role == "tool" for p in m.content if not _is_text(p)]
    if not images:
        return tuple(observation)
    texts = [
        m.model_copy(update={"content": tuple(filter(_is_text, m.content))})
        if m.role == "tool" else m
        for m in observation
    ]  # fmt: skip
    last = max(place for place, m in enumerate(texts) if m.role == "tool") + 1
    return (*texts[:last], Message(role="user", content=tuple(images)), *texts[last:])


def _is_text(part: object) -> bool:
    return isinstance(part, str)


def _split(completion: Completion) -> str | list[Content]:
    """What a viewer shows of a completion: its thought apart from the rest."""
    if completion.thought is not None:
        return _shown(completion.thought, completion.text)
    found = first_thought(completion.text)
    return completion.text if found is None else _shown(*found)


def _shown(thought: str | None, text: str) -> str | list[Content]:
    if not thought:
        return text
    return [ContentReasoning(reasoning=thought), ContentText(text=text)]


def _arguments(text: str) -> dict[str, object]:
    """The arguments of a native call as Inspect takes them."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {"arguments": {}, "parse_error": str(error)[:200]}
    if not isinstance(value, dict):
        return {"arguments": {}, "parse_error": "no JSON object"}
    return {"arguments": cast("dict[str, object]", value)}
