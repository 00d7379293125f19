"""DeepEyesV2: what is published, where its texts come from, and its quirks, which are off."""

import pytest
from building import plain
from hypothesis import given
from hypothesis import strategies as st

from saccade.dialects.deepeyes_v2 import DeepEyesV2, reindented
from saccade.images.geometry import CoordSpace
from saccade.tools.zoom import ZoomIn
from saccade.types import (
    Action,
    Completion,
    ProblemKind,
    ToolCall,
    ToolResult,
    ToolSpec,
)

PYTHON = ToolSpec(name="python", description="Run Python with numpy.", parameters={})
V2 = DeepEyesV2()


def cell(code: str) -> ToolCall:
    return ToolCall(name="python", arguments={"code": code})


def turn(code: str) -> str:
    return f"<code>\n```python\n{code}\n```\n</code>"


def test_a_turn_is_read_with_the_opening_that_it_was_given() -> None:
    completion = Completion(text=f"The bars.</think>\n{turn('x = 1')}")
    action = V2.read(completion, V2.prefix)
    assert action == Action(thought="The bars.", calls=(cell("x = 1"),))


@given(st.text(st.characters(codec="utf-8", exclude_characters="<`\r")))
def test_a_cell_is_read_exactly_as_it_was_written(code: str) -> None:
    action = Action(thought="t", calls=(cell(code),))
    assert V2.parse(V2.write(action)) == action


@pytest.mark.parametrize(
    ("text", "calls", "answer", "problems"),
    [
        # Precedence and the last block: deepeyesv2.py, `execute` (an answer ends the episode).
        (
            f"{turn('1')}<answer>A</answer>", (), "A",
            {ProblemKind.ANSWER_AND_CALL, ProblemKind.TEXT_AFTER_CALL},
        ),
        (f"{turn('1')}{turn('2')}", (cell("2"),), None, {ProblemKind.SEVERAL_CALLS}),
        (
            f'<tool_call>{{"name": "search", "arguments": {{}}}}</tool_call>{turn("1")}',
            (cell("1"),), None, {ProblemKind.SEVERAL_CALLS},
        ),
        ("<code>\n```python\n1\n```\n```python\n2\n```\n</code>", (cell("2"),), None, set()),
        ('<tool_call>{"name": "search", "arguments": {"query": "x"}}</tool_call>',
         (ToolCall(name="search", arguments={"query": "x"}),), None, set()),
        ("<code>print(1)</code>", (), None, {ProblemKind.BAD_CALL}),
        ("<code>\n```python\nprint(1)```\n</code>", (), None, {ProblemKind.BAD_CALL}),
        ("<code>\n```python\n1\n```", (), None, {ProblemKind.UNBALANCED_CALL}),
        ("<think>`<code>` is a tag</think><answer>7</answer>", (), "7", set()),
        ("", (), None, set()),
    ],
)  # fmt: skip
def test_one_action_a_turn(
    text: str, calls: tuple[ToolCall, ...], answer: str | None, problems: set[ProblemKind]
) -> None:
    action = V2.parse(text)
    assert (action.calls, action.answer) == (calls, answer)
    assert {problem.kind for problem in action.problems} == problems


def test_observations_are_the_published_ones() -> None:
    """Texts: deepeyesv2.py, `Code execution result`, and the envelope of a search."""

    figure = plain(30, 30)
    text = "stdout:\n```hi```\n\nstderr:\n``````\n\nImages:\n"
    (message,) = V2.observe([ToolResult(call=cell("1"), content=(text, figure))])
    assert message.role == "user"
    assert message.content == (f"Code execution result:\n{text}", figure)
    (found,) = V2.observe([ToolResult(call=ToolCall(name="search"), content=("1. [a](b)",))])
    assert found.content == ("<tool_response>1. [a](b)</tool_response>",)
    (failed,) = V2.observe([ToolResult(call=ToolCall(name="search"), error="no such tool")])
    assert failed.content == ("Error: no such tool",)


def test_the_prompt_shows_how_to_write_a_cell_and_a_call() -> None:
    both = V2.system([PYTHON, ZoomIn().spec], CoordSpace.ABSOLUTE)
    assert both is not None
    assert "```python\nCODE\n```" in both.text
    assert PYTHON.description in both.text
    assert '"name": "image_zoom_in_tool"' in both.text
    assert '"name": "python"' not in both.text
    alone = V2.system([PYTHON], CoordSpace.ABSOLUTE)
    assert alone is not None
    assert "<tools>" not in alone.text


def test_published_quirks_are_off_and_can_be_had() -> None:
    loop = "s = 0\nfor i in range(3):\n    s += i\nprint(s)"
    assert V2.parse(turn(loop)).calls == (cell(loop),)
    (mangled,) = DeepEyesV2(reindent=True).parse(turn(loop)).calls
    # The published function moves the print into the loop: it prints 0, 1, 3 instead of 3.
    assert mangled == cell("s = 0\nfor i in range(3):\n    s += i\n    print(s)")
    branches = "if a:\nb\nelse:\nc\nd"
    assert reindented(branches) == "if a:\n    b\nelse:\n    c\n    d"
    silent = DeepEyesV2(silent_end=True).parse("<code>print(1)</code>")
    assert (silent.calls, silent.problems) == ((), ())


def test_indentation_does_not_grow_with_the_square_of_the_code() -> None:
    code = "if x:\n" * 10_000
    assert len(reindented(code)) < 500 * code.count("\n")
