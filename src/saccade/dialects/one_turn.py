"""Dialects without tools: the one turn of the model is its answer, at once or after a thought.

    direct      B
    cot         The flag is on the left mast, and its cross is white. Answer: B

A thinking model closes its own thought with `</think>`, opened by it or by its chat template, or
its server sends the thought apart; what follows is the answer. The same prompts go to every model
that can follow instructions: they are the baselines beside an agent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from saccade.dialects import tags
from saccade.dialects.base import Prompts, Seam, Seams, TextDialect, content_of, fill_system, merged
from saccade.images.geometry import CoordSpace
from saccade.types import Action, Message, Part, Problem, ProblemKind, ToolResult, ToolSpec

SEAMS = Seams(
    thought=Seam("<think>", "</think>"),
    call=Seam("\n<tool_call>\n", "\n</tool_call>"),  # what a server may have taken for one
    answer=None,
)

AT_ONCE = Prompts(
    system="",
    user=(
        "{question}\nReply with the answer alone: with the letter where there are options, else "
        "with a word, a number or a short phrase."
    ),
)

AFTER_A_THOUGHT = Prompts(
    system="",
    user=(
        "{question}\nThink step by step. Then write the answer alone, with the letter where there "
        "are options, in a last line of this form:\nAnswer: the answer"
    ),
)

_ANSWER = re.compile(
    "^[ \\t>#*_]*(?:final )?answer[ \\t*_]*[:\uff1a][ \\t*_]*", re.IGNORECASE | re.MULTILINE
)
"""The mark of the answer, with the emphasis that models put around it."""


class Direct(TextDialect):
    """The reply is the answer. No tool is named, and no call is read."""

    name: ClassVar[str] = "direct"
    default_prompts: ClassVar[Prompts] = AT_ONCE
    seams: ClassVar[Seams] = SEAMS

    prompts: Prompts = AT_ONCE

    def system(self, tools: Sequence[ToolSpec], coords: CoordSpace) -> Message | None:
        """The template; tools are not named."""
        return fill_system(self.prompts.system, "", coords)

    def parse_behind(self, thought: str | None, text: str) -> Action:
        """All of a turn but its thought; never raises."""
        found = tags.scan(text, ("think", "answer"), thought=thought, template_opens=True)
        tagged, odd = tags.answer_of(found, ())
        answer, own = (tagged, None) if tagged else self._answer(found.outside.strip())
        problems = [*found.problems, *odd]
        if answer is None:
            problems.append(Problem(kind=ProblemKind.EMPTY_ANSWER))
        elif not tagged and len(answer) >= tags.MAX_ANSWER_CHARS:
            problems.append(Problem(kind=ProblemKind.LONG_ANSWER, detail=str(len(answer))))
        thoughts = [part for part in (tags.thought_of(found), own) if part]
        return Action(thought="\n".join(thoughts) or None, answer=answer, problems=tuple(problems))

    def write(self, action: Action) -> str:
        """A turn as a thinking model writes it; there are no calls."""
        thought = "" if action.thought is None else f"<think>{action.thought}</think>"
        return thought + (action.answer or "")

    def observe(self, results: Sequence[ToolResult]) -> tuple[Message, ...]:
        """A user turn, for an environment that has tools all the same."""
        content: list[Part] = []
        for result in results:
            content += content_of(result)
        return (Message(role="user", content=merged([*content, self.prompts.observation])),)

    def _answer(self, text: str) -> tuple[str | None, str | None]:
        """The answer, and what is a thought before it."""
        return text or None, None


class ChainOfThought(Direct):
    """The model thinks in its reply, and answers in its last line.

    A reply without such a line is an answer as a whole: a judge may find one in it.
    """

    name: ClassVar[str] = "cot"
    default_prompts: ClassVar[Prompts] = AFTER_A_THOUGHT

    prompts: Prompts = AFTER_A_THOUGHT

    def write(self, action: Action) -> str:
        """A turn as any model writes it."""
        thought = "" if action.thought is None else f"{action.thought}\n"
        return thought + ("" if action.answer is None else f"Answer: {action.answer}")

    def _answer(self, text: str) -> tuple[str | None, str | None]:
        marks = [*_ANSWER.finditer(text)]
        named = [mark for mark in marks if text[mark.end() :].strip(" \t\n*_")]
        if not named:
            return text or None, None
        last = named[-1]
        emphasis = "*_ " if set("*_") & set(last[0]) else " "
        return text[last.end() :].strip().rstrip(emphasis), text[: last.start()].strip() or None
