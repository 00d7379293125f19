"""A turn that a parser of the server took apart, put together as the model wrote it.

Servers have parsers for thoughts and for tool calls. One that was started with them although the
dialect writes both as text sends the parts in fields of their own, and the text without them. What
is left would be read as a turn without a call, or without an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from saccade.dialects import tags
from saccade.types import Action, Completion, Problem, ProblemKind, ToolCall

if TYPE_CHECKING:
    from saccade.dialects.base import Seams

CALLS = (
    "calls came in a field of their own and were put back: start the server without its tool "
    "parser (vLLM: without --enable-auto-tool-choice), or take dialect.kind=native"
)
THOUGHT = (
    "the whole turn came as a thought and was put back: start the server without its reasoning "
    "parser (vLLM: without --reasoning-parser)"
)


class Writer(Protocol):
    """What is needed of a dialect."""

    @property
    def native_tools(self) -> bool: ...

    @property
    def seams(self) -> Seams: ...

    def write(self, action: Action) -> str: ...


class Whole(NamedTuple):
    """A turn as the model wrote it."""

    completion: Completion
    prefix: str
    """The given beginning, unless it opened a thought that the server sent apart."""
    problems: tuple[Problem, ...] = ()
    """What the server took apart that it should not have."""

    def noted(self, action: Action) -> Action:
        """An action that was read of it, with these problems."""
        return action.model_copy(update={"problems": (*action.problems, *self.problems)})


def put_together(dialect: Writer, completion: Completion, prefix: str) -> Whole:
    """A completion with all that its dialect writes as text in its text; idempotent.

    A thought stays apart: it is read from there. But a turn that acts inside of its thought never
    closed it, and a reasoning parser then takes all of it for the thought. It does the same with an
    answer in plain text, where that is how the dialect answers.

    Source: vLLM, `vllm/reasoning/qwen3_reasoning_parser.py`, `extract_reasoning`: without
    `</think>`, all of the output is reasoning. llama.cpp, tools/server/README.md: with
    `--reasoning-format deepseek-legacy` a thought comes in its field and in the text.
    """
    problems: list[Problem] = []
    if completion.tool_calls and not dialect.native_tools:
        kept = dialect.seams.call.opening.strip() in completion.text  # sent in both forms
        written = () if kept else _written(dialect, completion)
        text = "\n".join(filter(None, (completion.text, *written)))
        problems.append(_problem(CALLS))
        completion = completion.model_copy(update={"text": text, "tool_calls": ()})
    own = tags.first_thought(prefix + completion.text)
    if completion.thought and own and own[0].strip() == completion.thought.strip():
        completion = completion.model_copy(update={"thought": None})
    thought = completion.thought
    alone = thought and not completion.text.strip() and not completion.tool_calls
    if thought and alone and (_acts(dialect, thought) or _answers(dialect, completion)):
        problems.append(_problem(THOUGHT))
        completion = completion.model_copy(update={"text": thought, "thought": None})
    elif thought and dialect.seams.thought and prefix.startswith(dialect.seams.thought.opening):
        prefix = ""
    return Whole(completion, prefix, tuple(problems))


def _written(dialect: Writer, completion: Completion) -> list[str]:
    """The calls of a completion as the dialect writes them, those that cannot be read too."""
    texts: list[str] = []
    for wire in completion.tool_calls:
        read = tags.read_call(tags.call_text(wire.name, wire.arguments))
        call = read if isinstance(read, ToolCall) else ToolCall(name=wire.name)
        text = dialect.write(Action(calls=(call,)))
        if call is not read:
            before, _, after = text.rpartition("{}")
            text = before + wire.arguments + after
        texts.append(text)
    return texts


def _acts(dialect: Writer, thought: str) -> bool:
    """Whether a thought ends with an action, or has a line of one that has no closing."""
    seams = dialect.seams
    actions = [seam for seam in (seams.call, seams.code, seams.answer) if seam is not None]
    closings = tuple(seam.closing.strip() for seam in actions if seam.closing)
    openings = tuple(seam.opening for seam in actions if not seam.closing)
    lines = thought.splitlines() if openings else []
    return thought.rstrip().endswith(closings) or any(line.startswith(openings) for line in lines)


def _answers(dialect: Writer, completion: Completion) -> bool:
    """Whether a turn that is plain text and nothing else would be an answer."""
    call = dialect.seams.call.opening.strip()
    ended = completion.finish == "stop"
    return dialect.seams.answer is None and ended and call not in (completion.thought or "")


def _problem(detail: str) -> Problem:
    return Problem(kind=ProblemKind.TAKEN_APART, detail=detail)
