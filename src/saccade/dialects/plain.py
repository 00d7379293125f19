"""A dialect that any instruction-following model can speak: three kinds of lines.

    Thought: The mug is too small to read.
    Call: image_zoom_in_tool {"bbox_2d": [88, 58, 99, 69]}

    user: Result: (image)

    Thought: It says SIGGRAPH.
    Answer: A

No tags and no control tokens, so that it survives servers and models that know neither. A turn
holds one call or one answer; a thought and an answer may run over several lines. A thinking model
marks its own thought with `<think>` and `</think>`, or with the latter alone, all the same: no line
in it is a call or an answer, and what follows it is the answer if it starts with no key word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

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
from saccade.images.geometry import CoordSpace
from saccade.types import (
    Action,
    Message,
    Part,
    Problem,
    ProblemKind,
    ToolCall,
    ToolResult,
    ToolSpec,
)

SEAMS = Seams(thought=None, call=Seam("Call: ", ""), answer=Seam("Answer: ", ""))

PROMPTS = Prompts(
    system=(
        "You answer questions about images. An image may be shown to you smaller than it is; "
        "with tools you can look again at any part of it. Images are counted in order of "
        "appearance, those that tools return included: image_1, image_2, and so on.\n\n"
        "The tools, with the JSON schema of their arguments:\n{tools}\n\n{coords}\n\n"
        "Write each turn in this form and nothing else. To use a tool:\n"
        'Thought: why you need it\nCall: TOOL {"KEY": VALUE}\n\n'
        "You will be shown the result. Once you know the answer:\n"
        "Thought: how you know\nAnswer: the answer"
    ),
    user="{question}",
    without_tools=Prompts(
        system=(
            "You answer questions about images. An image may be shown to you smaller than it is. "
            "Images are counted in order of appearance: image_1, image_2, and so on. {coords}\n\n"
            "Write your turn in this form and nothing else:\n"
            "Thought: how you know\nAnswer: the answer"
        ),
        user="{question}",
    ),
)

_LINE = re.compile(r"^[ \t]*(Thought|Call|Answer):[ \t]*", re.MULTILINE)


class _Piece(NamedTuple):
    kind: str
    text: str


class Plain(TextDialect):
    """The dialect of three lines."""

    name: ClassVar[str] = "plain"
    stop: ClassVar[tuple[str, ...]] = ("\nResult:",)

    default_prompts: ClassVar[Prompts] = PROMPTS
    seams: ClassVar[Seams] = SEAMS

    prompts: Prompts = PROMPTS

    def system(self, tools: Sequence[ToolSpec], coords: CoordSpace) -> Message | None:
        """The template with a paragraph for each tool."""
        listed = "\n".join(f"{t.name}: {t.description} {json.dumps(t.parameters)}" for t in tools)
        return fill_system(self.prompts.system, listed, coords)

    def parse_behind(self, thought: str | None, text: str) -> Action:
        """Lines before the first key word are a thought; never raises."""
        text, problems = tags.readable(text)
        text = text.removesuffix("\nResult:")
        own, rest = tags.first_thought(text) or (None, text)
        before = [tags.clean(part).strip() for part in (thought, own) if part is not None]
        pieces = _pieces(rest)
        if before and len(pieces) == 1:
            pieces = [_Piece("Answer", pieces[0].text)] if pieces[0].text else []
        named = [piece.text for piece in pieces if piece.kind == "Thought"]
        thoughts = list(filter(None, (*before, *named)))
        calls, bad = _calls(pieces)
        answer, odd = tags.last_answer([piece.text for piece in pieces if piece.kind == "Answer"])
        problems += [*bad, *odd]
        if calls and pieces[-1].kind == "Thought":
            problems.append(Problem(kind=ProblemKind.TEXT_AFTER_CALL))
        return tags.action("\n".join(thoughts) or None, calls, answer, problems)

    def write(self, action: Action) -> str:
        """A turn as the model should write it."""
        lines = [] if action.thought is None else [f"Thought: {action.thought}"]
        lines += [f"Call: {c.name} {_json(c)}" for c in action.calls]
        lines += [] if action.answer is None else [f"Answer: {action.answer}"]
        return "\n".join(lines)

    def observe(self, results: Sequence[ToolResult]) -> tuple[Message, ...]:
        """A user turn that starts with `Result:`."""
        content: list[Part] = []
        for result in results:
            content += ["Result: ", *content_of(result)]
        content.append(self.prompts.observation)
        return (Message(role="user", content=merged(content)),)


def _pieces(text: str) -> list[_Piece]:
    marks = list(_LINE.finditer(text))
    first = marks[0].start() if marks else len(text)
    pieces = [_Piece("Thought", text[:first].strip())]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=False):
        pieces.append(_Piece(mark.group(1), text[mark.end() : end].strip()))
    return pieces


def _calls(pieces: Sequence[_Piece]) -> tags.Calls:
    texts = [piece.text for piece in pieces if piece.kind == "Call"]
    if not texts:
        return tags.Calls((), ())
    problems: list[Problem] = []
    if len(texts) > 1:
        detail = f"{len(texts)} calls, 1 counted"
        problems.append(Problem(kind=ProblemKind.SEVERAL_CALLS, detail=detail))
    name, _, arguments = texts[-1].partition(" ")
    line, _, rest = arguments.strip().partition("\n")
    whole = arguments if rest and not line.rstrip().endswith("}") else line
    read = tags.read_call(tags.call_text(name, whole))
    if isinstance(read, Problem):
        return tags.Calls((), (*problems, read))
    if rest.strip() and whole is line:
        problems.append(Problem(kind=ProblemKind.TEXT_AFTER_CALL))
    return tags.Calls((read,), tuple(problems))


def _json(call: ToolCall) -> str:
    return json.dumps(call.arguments, ensure_ascii=False)
