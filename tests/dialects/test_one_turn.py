"""The dialects of the baselines: one turn, no tools."""

import pytest
from building import a_task, plain
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.dialects.base import Dialect
from saccade.dialects.one_turn import ChainOfThought, Direct
from saccade.types import Action, Completion

flat = (
    st.text(st.characters(codec="utf-8", exclude_characters="<|:[]*_"), min_size=1, max_size=60)
    .map(lambda text: " ".join(text.split()))
    .filter(bool)
)
BOTH = pytest.mark.parametrize("dialect", [Direct(), ChainOfThought()], ids=lambda d: d.name)


@BOTH
@settings(max_examples=40)
@given(thought=flat, answer=flat)
def test_parse_is_the_inverse_of_write(dialect: Dialect, thought: str, answer: str) -> None:
    action = Action(thought=thought, answer=answer)
    assert dialect.parse(dialect.write(action)) == action


@BOTH
@settings(max_examples=40)
@given(st.text(max_size=80))
def test_no_text_raises_and_none_is_a_call(dialect: Dialect, text: str) -> None:
    assert dialect.parse(text).calls == ()


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("B", None, "B"),
        ("<think>On the left.</think>\n\nB", "On the left.", "B"),
        ("On the left.</think>B", "On the left.", "B"),  # its template opens the thought
        ("<answer>B</answer>", None, "B"),
        ("<think>On the left", "On the left", None),
        ("", None, None),
    ],
)
def test_the_reply_is_the_answer_but_for_its_thought(
    text: str, thought: str | None, answer: str | None
) -> None:
    action = Direct().parse(text)
    assert (action.thought, action.answer) == (thought, answer)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("It is white.\nAnswer: B", "B"),
        ("Answer: A? No.\nSo:\n**Answer:** B", "B"),
        ("It is white.\n**Final answer: B. white**", "B. white"),
        ("<think>Answer: A</think>\nAnswer: B", "B"),
        ("It is white, so B.", "It is white, so B."),
        ("It is white.\nAnswer:", "It is white.\nAnswer:"),
        ("a_b\nAnswer: a_b_", "a_b_"),
    ],
)
def test_after_a_thought_the_last_line_counts(text: str, answer: str) -> None:
    assert ChainOfThought().parse(text).answer == answer


@BOTH
def test_a_thought_that_a_server_sent_apart_is_no_answer(dialect: Dialect) -> None:
    action = dialect.read(Completion(text="Answer: B", thought="Answer: A"), "")
    assert action.thought == "Answer: A"
    assert (action.answer or "").endswith("B")


@BOTH
def test_the_prompt_names_no_tool_and_asks_for_the_letter(dialect: Dialect) -> None:
    task = a_task(plain(30, 30), "What colour?").model_copy(update={"choices": ("red", "blue")})
    shown = dialect.question(task).text
    assert shown.index("What colour?") < shown.index("A. red") < shown.index("the letter where")
    assert "tool" not in shown
