"""The wire format of DeepEyesV2: thoughts, fenced code, calls and answers in tags.

    <think>                                             given: each turn starts with it
    The bars must be compared.</think>
    <code>
    ```python
    print(image_1.size)
    ```
    </code>

    user: Code execution result: (stdout, stderr, images)

    <think>The left one.</think><answer>A</answer>

Source: DeepEyesV2 (arXiv 2511.05271) and its repository, `deepeyesv2.py` in
`verl/workers/agent/envs/deepeyesv2`. One action a turn: an answer wins over code, code over a call;
of several code blocks the last one counts, and in it the last fence.

Where we deviate: code is run as it was written (published: re-indented first, which changes what it
means; `reindent` does so); a code block without a fence is answered by an error (published: the
episode ends without a word; `silent_end` does so); results of other tools stand in
`<tool_response>` as published, those of searches in the published words; an error stands in a user
turn that starts with `Error:`, as published, and its words are ours, which say how to do it right;
our prompts are our own. A thought that is closed but never opened
is a thought with the problem `unbalanced_think`, for the reason that `deepeyes` gives; with the
given beginning in front of it a turn of a thinking model has none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import ClassVar
from unicodedata import normalize

from saccade.dialects import tags
from saccade.dialects.base import Prompts, Seam, Seams, TextDialect, content_of, fill_system, merged
from saccade.images.geometry import CoordSpace
from saccade.images.image import Image
from saccade.search.found import Found, Hit, found_in
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
from saccade.untrusted.inert import inert_parts

PYTHON = "python"
MAX_INDENT = 100
"""Levels of indentation; Python takes no more, and of more the text would grow with the square."""
OPENING, CLOSING = "```python\n", "\n```"

SEAMS = Seams(
    thought=Seam("<think>", "</think>"),
    call=Seam("<tool_call>", "</tool_call>"),
    answer=Seam("<answer>", "</answer>"),
    code=Seam("<code>", "</code>"),
)

PROMPTS = Prompts(
    system=(
        "You answer questions about images, step by step: think, act, look at the result, and go "
        "on until you know. Images are counted in order of appearance, those that tools return "
        "included: image_1, image_2, and so on. One action a turn.\n\n{tools}\n\n{coords}"
    ),
    user=(
        "{question}\n\n"
        "Think first, inside <think></think>. Then act and end your turn, or answer inside "
        "<answer></answer>."
    ),
    without_tools=Prompts(
        system=(
            "You answer questions about images, step by step. Images are counted in order of "
            "appearance: image_1, image_2, and so on.\n\n{coords}"
        ),
        user=(
            "{question}\n\n"
            "Think first, inside <think></think>. Then answer inside <answer></answer>."
        ),
    ),
)
RUN = (
    "# Python\n{description}\nTo run a cell, end your turn with it:\n"
    "<code>\n```python\nCODE\n```\n</code>"
)
CALL = (
    "# Tools\nThese are the other tools, one JSON schema a line:\n<tools>\n{schemas}\n</tools>\n"
    "To call one, end your turn with its name and arguments as JSON:\n"
    '<tool_call>\n{{"name": "TOOL", "arguments": {{"KEY": VALUE}}}}\n</tool_call>'
)


class DeepEyesV2(TextDialect):
    """The dialect of DeepEyesV2."""

    name: ClassVar[str] = "deepeyes_v2"
    stop: ClassVar[tuple[str, ...]] = ("</code>", "</tool_call>")
    prefix: ClassVar[str] = "<think>"

    default_prompts: ClassVar[Prompts] = PROMPTS
    seams: ClassVar[Seams] = SEAMS

    prompts: Prompts = PROMPTS
    reindent: bool = False
    """Published: code loses its indentation and gets one made from its colons, so that what follows
    a block becomes a part of it. Without the `autopep8` that follows there."""
    silent_end: bool = False
    """Published: a code block without a fence ends the episode, and the model is told nothing."""

    def system(self, tools: Sequence[ToolSpec], coords: CoordSpace) -> Message | None:
        """The template; Python is written as code, other tools are called by JSON."""
        parts = [RUN.format(description=t.description) for t in tools if t.name == PYTHON]
        others = [json.dumps(tool.function()) for tool in tools if tool.name != PYTHON]
        if others:
            parts.append(CALL.format(schemas="\n".join(others)))
        return fill_system(self.prompts.system, "\n\n".join(parts), coords)

    def parse_behind(self, thought: str | None, text: str) -> Action:
        """At most one cell or call; never raises."""
        found = tags.scan(text, ("think", "code", "tool_call", "answer"), thought=thought)
        calls, problems = self._code_of(found)
        if not calls and not problems:
            calls, problems = tags.calls_of(found, at_most=1)
        elif any(block.tag == "tool_call" and block.closed for block in found.blocks):
            problems = (*problems, Problem(kind=ProblemKind.SEVERAL_CALLS, detail="code and call"))
        answer, odd = tags.answer_of(found, calls)
        closing = "</code>" if "</code>" in found.text else "</tool_call>"
        after = tags.text_after_call(found.text, closing)
        every = [*found.problems, *problems, *odd, *after]
        return tags.action(tags.thought_of(found), calls, answer, every)

    def write(self, action: Action) -> str:
        """A turn as the model should write it, its given opening included."""
        text = "" if action.thought is None else f"<think>{action.thought}</think>"
        for call in action.calls:
            code = call.arguments.get("code")
            if call.name == PYTHON and isinstance(code, str) and len(call.arguments) == 1:
                text += f"<code>\n{OPENING}{code}{CLOSING}\n</code>"
            else:
                text += f"<tool_call>{tags.write_call(call)}</tool_call>"
        if action.answer is not None:
            text += f"<answer>{action.answer}</answer>"
        return text

    def observe(self, results: Sequence[ToolResult]) -> tuple[Message, ...]:
        """A user turn: what a cell did, a result in `<tool_response>`, or an error."""
        content: list[Part] = []
        for result in results:
            shown = content_of(result)
            if result.ok and result.call.name == PYTHON:
                shown = ("Code execution result:\n", *shown)
            elif result.ok and (found := found_in(result.data)) is not None:
                found_text = _search_results(found, result)
                shown = ("<tool_response>\n", *found_text, "\n</tool_response>")
            elif result.ok:
                shown = ("<tool_response>", *shown, "</tool_response>")
            content.extend((*shown, self.prompts.observation))
        return (Message(role="user", content=merged(content)),)

    def _code_of(self, found: tags.Scan) -> tags.Calls:
        """The cell of a turn, if it has one."""
        blocks = [block.text for block in found.blocks if block.tag == "code" and block.closed]
        if not blocks:
            return tags.Calls((), ())
        problems: list[Problem] = []
        if len(blocks) > 1:
            detail = f"{len(blocks)} cells, 1 counted"
            problems.append(Problem(kind=ProblemKind.SEVERAL_CALLS, detail=detail))
        code = _fenced(blocks[-1])
        if code is None:
            detail = "no ```python fence, on lines of its own, in <code>"
            if not self.silent_end:
                problems.append(Problem(kind=ProblemKind.BAD_CALL, detail=detail))
            return tags.Calls((), tuple(problems))
        code = reindented(code) if self.reindent else code
        return tags.Calls((ToolCall(name=PYTHON, arguments={"code": code}),), tuple(problems))


_FORGED_HIT = re.compile(r"\W*\d+\s*[.)]\s*\[")
"""How a result begins in the published text; a snippet may not, since it begins a line."""
_NO_VIDEO = "Your browser can't play this video."
"""Published: taken out of each result."""


def _search_results(found: Found, result: ToolResult) -> tuple[Part, ...]:
    """What a search found, in the words of the published environment.

    Source: `deepeyesv2.py`, `request_search`. Where we deviate: a result without a picture is shown
    by its title alone (published: left out), a snippet that begins as a result does is marked, and
    what looks like a tag or a control token is made inert. Where the pictures are not those of the
    hits, and for what is not published (pages, reminders), the text of the tool stands.
    """
    text = found.kind == "text"
    pictures = [part for part in result.content if isinstance(part, Image)]
    if found.kind == "page" or found.repeated:
        return content_of(result)
    if len(pictures) != (0 if text else sum(hit.thumbnail for hit in found.hits)):
        return content_of(result)
    asked = f"search for '{found.query}'" if text else "image search for the image"
    parts: list[Part] = [f"A Google {asked} found {len(found.hits)} results:\n\n## Web Results\n"]
    for number, hit in enumerate(found.hits, start=1):
        parts.append("\n\n" * (number > 1) + f"{number}. ")
        if text:
            parts.append(_web_result(hit))
        else:
            parts += [pictures.pop(0)] if hit.thumbnail else []
            parts.append(f"\n[{_without_video(hit.title)}] \n")
    return inert_parts(merged(parts))


def _web_result(hit: Hit) -> str:
    title, snippet = _without_video(hit.title), _without_video(hit.snippet)
    date = f"\nDate published: {hit.date}" if hit.date else ""
    mark = "... " if _FORGED_HIT.match(normalize("NFKC", snippet)) else ""
    return f"[{title}]({hit.url}){date}\n" + (f"\n{mark}{snippet}" if hit.snippet else "")


def _without_video(text: str) -> str:
    return text.replace(_NO_VIDEO, "")


def reindented(code: str) -> str:
    """What the published `fix_python_indentation` makes of code, without its `autopep8`."""
    lines, level = [], 0
    for line in filter(None, map(str.strip, code.splitlines())):
        if line.startswith(("except", "elif", "else", "finally")):
            level = max(level - 1, 0)
        lines.append("    " * level + line)
        if line.endswith(":"):
            level = min(level + 1, MAX_INDENT)
    return "\n".join(lines)


def _fenced(block: str) -> str | None:
    """The inside of the last fence of a block."""
    _, opening, rest = block.rpartition(OPENING)
    if not opening:
        return None
    code, closing, _ = ("\n" + rest).rpartition(CLOSING)
    return code[1:] if closing else None
