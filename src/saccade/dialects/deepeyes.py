"""The wire format of DeepEyes: thoughts, calls and answers in tags, results in a user turn.

    <think>The mug is too small to read.</think>
    <tool_call>{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [8, 5, 9, 6]}}</tool_call>

    user: <tool_response>(image)(instructions)</tool_response>

    <think>It says SIGGRAPH.</think><answer>A</answer>

Source: DeepEyes (arXiv 2505.14362) and its repository, `visual_toolbox_v2.py` in
`verl/workers/agent/envs/mm_process_engine`. One call a turn, the last one counts; an answer ends
the episode and wins over a
call; a call that fails is answered by a user turn that starts with `Error:`.

Where we deviate: a turn stops after a call or an answer (the published default has no stop strings,
so text runs on); tags inside a closed thought are part of the thought; the published reward checks
the balance of tags over the decoded response, observations included, we over each turn of the
model; our prompts are our own (`dialect.prompts=FILE` takes the published ones from a data row).

A thought that is closed but never opened (the template of a thinking model opened it) is read as a
thought, with the problem `unbalanced_think`: the published format reward counts `<think>` and
`</think>` in the response, where the opening is missing, and a dialect cannot know the template. A
turn is scored alike on a server and in this process. `weights.format_penalty.problems` can leave
the kind out for such a model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar

from saccade.dialects import tags
from saccade.dialects.base import Prompts, Seam, Seams, TextDialect, content_of, fill_system, merged
from saccade.images.geometry import CoordSpace
from saccade.types import Action, Message, Part, ToolResult, ToolSpec

SEAMS = Seams(
    thought=Seam("<think>", "</think>"),
    call=Seam("<tool_call>", "</tool_call>"),
    answer=Seam("<answer>", "</answer>"),
)

PROMPTS = Prompts(
    system=(
        "You answer questions about images. An image may be shown to you smaller than it is; "
        "with tools you can look again at any part of it. Images are counted in order of "
        "appearance, those that tools return included: image_1, image_2, and so on.\n\n"
        "# Tools\n"
        "These are the tools, one JSON schema a line:\n<tools>\n{tools}\n</tools>\n\n"
        "To call one, end your turn with its name and arguments as JSON:\n"
        '<tool_call>\n{"name": "TOOL", "arguments": {"KEY": VALUE}}\n</tool_call>\n\n'
        "{coords}"
    ),
    user=(
        "{question}\n\n"
        "Think first, inside <think></think>. If you need to see something better, call one tool "
        "and end your turn; you will be shown the result. Once you know, answer inside "
        "<answer></answer>."
    ),
    observation="\nThink inside <think></think>, then call a tool or give your <answer></answer>.",
    without_tools=Prompts(
        system=(
            "You answer questions about images. An image may be shown to you smaller than it is. "
            "Images are counted in order of appearance: image_1, image_2, and so on.\n\n{coords}"
        ),
        user=(
            "{question}\n\n"
            "Think first, inside <think></think>. Then answer inside <answer></answer>."
        ),
    ),
)


class DeepEyes(TextDialect):
    """The dialect of DeepEyes."""

    name: ClassVar[str] = "deepeyes"
    stop: ClassVar[tuple[str, ...]] = ("</tool_call>", "</answer>")

    default_prompts: ClassVar[Prompts] = PROMPTS
    seams: ClassVar[Seams] = SEAMS

    prompts: Prompts = PROMPTS

    def system(self, tools: Sequence[ToolSpec], coords: CoordSpace) -> Message | None:
        """The template with one JSON schema a line."""
        schemas = "\n".join(json.dumps(tool.function()) for tool in tools)
        return fill_system(self.prompts.system, schemas, coords)

    def parse_behind(self, thought: str | None, text: str) -> Action:
        """At most one call; never raises."""
        found = tags.scan(text, thought=thought)
        calls, bad = tags.calls_of(found, at_most=1)
        answer, odd = tags.answer_of(found, calls)
        problems = [*found.problems, *bad, *odd, *tags.text_after_call(found.text)]
        return tags.action(tags.thought_of(found), calls, answer, problems)

    def write(self, action: Action) -> str:
        """A turn as the model should write it."""
        text = "" if action.thought is None else f"<think>{action.thought}</think>"
        for call in action.calls:
            text += f"<tool_call>{tags.write_call(call)}</tool_call>"
        if action.answer is not None:
            text += f"<answer>{action.answer}</answer>"
        return text

    def observe(self, results: Sequence[ToolResult]) -> tuple[Message, ...]:
        """A user turn: the result in `<tool_response>`, or the error."""
        content: list[Part] = []
        for result in results:
            shown = content_of(result)
            if result.ok:
                shown = ("<tool_response>", *shown, self.prompts.observation, "</tool_response>")
            content.extend(shown)
        return (Message(role="user", content=merged(content)),)
