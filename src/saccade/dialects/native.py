"""The format of chat servers and of Qwen's own template: calls in a field, answers as plain text.

From a server, calls come in `tool_calls` and go back as `tool` messages; images of a result follow
in a user message, because a tool message cannot carry them. From a local model the same calls are
text, in the form of Qwen's tool template:

    <tool_call>
    {"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [88, 58, 99, 69]}}
    </tool_call>

A turn without calls is the answer, all of it but the thought. The thought may be closed without
being opened: with chat templates that open it, that is the form of the model, and no problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from saccade.dialects import tags
from saccade.dialects.base import (
    Prompts,
    Seam,
    Seams,
    TextDialect,
    content_of,
    fill_system,
    merged,
)
from saccade.dialects.whole import put_together
from saccade.images.geometry import CoordSpace
from saccade.images.image import Image
from saccade.types import (
    Action,
    Completion,
    Message,
    Part,
    Problem,
    ProblemKind,
    ToolCall,
    ToolResult,
    ToolSpec,
    WireCall,
)

SEAMS = Seams(
    thought=Seam("<think>", "</think>"),
    call=Seam("\n<tool_call>\n", "\n</tool_call>"),
    answer=None,
)

PROMPTS = Prompts(
    system=(
        "You answer questions about images. An image may be shown to you smaller than it is; "
        "with your tools you can look again at any part of it. Images are counted in order of "
        "appearance, those that tools return included: image_1, image_2, and so on. {coords} "
        "Call a tool when you need to see something better; otherwise reply with the answer "
        "alone."
    ),
    user="{question}",
    without_tools=Prompts(
        system=(
            "You answer questions about images. An image may be shown to you smaller than it is. "
            "Images are counted in order of appearance: image_1, image_2, and so on. {coords} "
            "Reply with the answer alone."
        ),
        user="{question}",
    ),
)

MAX_CALLS = 8
"""Calls that count in one turn."""


class Native(TextDialect):
    """The dialect of native tool calls."""

    name: ClassVar[str] = "native"
    native_tools: ClassVar[bool] = True

    default_prompts: ClassVar[Prompts] = PROMPTS
    seams: ClassVar[Seams] = SEAMS

    prompts: Prompts = PROMPTS

    def system(self, tools: Sequence[ToolSpec], coords: CoordSpace) -> Message | None:
        """Without the tools: the server or the renderer adds them."""
        return fill_system(self.prompts.system, "", coords)

    def parse_behind(self, thought: str | None, text: str) -> Action:
        """Calls in Qwen's text form, or else an answer; never raises."""
        found = tags.scan(text, thought=thought, template_opens=True)
        calls, bad = tags.calls_of(found, at_most=MAX_CALLS)
        return _action(found, calls, [*found.problems, *bad])

    def read(self, completion: Completion, prefix: str) -> Action:
        """Calls from their own field if there are any, else from the text."""
        if not completion.tool_calls:
            return super().read(completion, prefix)
        whole = put_together(self, completion, prefix)
        text = whole.prefix + completion.text
        found = tags.scan(text, thought=completion.thought, template_opens=True)
        calls, bad = _native_calls(completion.tool_calls)
        return _action(found, calls, [*found.problems, *bad])

    def write(self, action: Action) -> str:
        """The text form, as a local model writes it."""
        text = "" if action.thought is None else f"<think>{action.thought}</think>"
        for call in action.calls:
            text += f"\n<tool_call>\n{tags.write_call(call)}\n</tool_call>"
        return text + (action.answer or "")

    def observe(self, results: Sequence[ToolResult]) -> tuple[Message, ...]:
        """A tool message for each result, then the images in a user message."""
        messages: list[Message] = []
        images: list[Part] = []
        for result in results:
            shown = content_of(result)
            pictures = [part for part in shown if isinstance(part, Image)]
            texts = [part for part in shown if isinstance(part, str)]
            if pictures:
                texts.append(f"({len(pictures)} image(s) follow)")
            messages.append(
                Message(role="tool", content=("\n".join(texts),), call_id=result.call.id)
            )
            images += pictures
        if images or self.prompts.observation:
            content = merged([*images, self.prompts.observation])
            messages.append(Message(role="user", content=content))
        return tuple(messages)


def as_user_turn(observation: Sequence[Message]) -> tuple[Message, ...]:
    """An observation as one user turn, for a server that is not sent the calls as such.

    A tool message is valid behind a native call only. Where the calls were text, results are sent
    as the text that they become in the end.

    Source: the chat template of Qwen2.5 and Qwen3-VL, role `tool`.
    """
    parts: list[Part] = []
    for message in observation:
        content: tuple[Part, ...] = message.content
        if message.role == "tool":
            content = ("<tool_response>\n", *content, "\n</tool_response>\n")
        parts += content
    return (Message(role="user", content=merged(parts)),)


def _native_calls(wires: Sequence[WireCall]) -> tags.Calls:
    """The calls that can be read, with their ids; of too many the last ones count."""
    counted = wires[-MAX_CALLS:]
    calls: list[ToolCall] = []
    problems: list[Problem] = []
    if len(wires) > len(counted):
        detail = f"{len(wires)} calls, {len(counted)} counted"
        problems.append(Problem(kind=ProblemKind.SEVERAL_CALLS, detail=detail))
    for wire in counted:
        read = tags.read_call(tags.call_text(wire.name, wire.arguments))
        if isinstance(read, Problem):
            problems.append(read.model_copy(update={"call_id": wire.id}))
        else:
            calls.append(read.model_copy(update={"id": wire.id}))
    return tags.Calls(tuple(calls), tuple(problems))


def _action(found: tags.Scan, calls: tuple[ToolCall, ...], problems: list[Problem]) -> Action:
    thought = tags.thought_of(found)
    tried = any(problem.kind is ProblemKind.BAD_CALL for problem in problems)
    if calls or tried:
        return Action(thought=thought, calls=calls, problems=tuple(problems))
    # An <answer> that a model writes out of habit is an answer like any other text.
    tagged, odd = tags.answer_of(found, ())
    answer = tagged or found.outside.strip() or None
    problems += odd
    if answer is None:
        problems.append(Problem(kind=ProblemKind.EMPTY_ANSWER))
    elif not tagged and len(answer) >= tags.MAX_ANSWER_CHARS:
        problems.append(Problem(kind=ProblemKind.LONG_ANSWER, detail=str(len(answer))))
    return Action(thought=thought, answer=answer, problems=tuple(problems))
