"""Marks of models that a server left in the text."""

import pytest

from saccade.policies.openai.marks import unmarked

THOUGHTS = {
    "kimi": "◁think▷Blue.◁/think▷",
    "kimi, opened by the template": "Blue.◁/think▷\n",
    "magistral": "[THINK]Blue.[/THINK]",
    "gemini": "<thought>\nBlue.\n</thought>\n",
    "claude": "<thinking>Blue.</thinking>\n\n",
    "sky": "<|begin_of_thought|>Blue.<|end_of_thought|>",
    "harmony": "<|channel|>analysis<|message|>Blue.<|end|><|start|>assistant<|channel|>final"
    "<|message|>",
}


@pytest.mark.parametrize("marked", THOUGHTS.values(), ids=THOUGHTS)
@pytest.mark.parametrize("end", ["", "<|im_end|>\n", "<|return|>"])
def test_a_thought_is_told_from_the_text(marked: str, end: str) -> None:
    text, thought = unmarked(f"{marked}B{end}")
    assert (text.strip(), thought) == ("B", "Blue.")


@pytest.mark.parametrize("end", ["<|im_end|>", "</s>", "<|eot_id|>", "<end_of_turn>\n", " <|end|>"])
def test_the_end_of_a_turn_is_no_part_of_its_text(end: str) -> None:
    """A server that is asked to keep special tokens, or does not know those of its model."""
    assert unmarked(f"<think>Blue.</think>B{end}") == ("<think>Blue.</think>B", None)
    assert unmarked(f"B{end}{end}") == ("B", None)


def test_a_box_of_tokens_around_an_answer_is_no_part_of_it() -> None:
    assert unmarked("<|begin_of_box|>B<|end_of_box|>").text == "B"
    assert unmarked("<|channel|>final<|message|>B<|return|>").text == "B"


@pytest.mark.parametrize(
    "text",
    [
        "The sign says [THINK] twice: [THINK]now[/THINK].",
        "</s> is a tag.",
        "<thinking>Blue",
        " <think>\t odd \r\n </think>\n\n",
        "",
    ],
)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert unmarked(text) == (text, None)


@pytest.mark.parametrize("filling", [" ", "<|end|>", "</s> ", "<", "<|channel|>", "\n", "◁think▷"])
def test_the_cost_is_linear_in_what_a_model_writes(filling: str) -> None:
    """In 100,000 spaces the square would take minutes."""
    for text in (filling * (100_000 // len(filling)) + "x", f"x{filling * 9000}"):
        made = unmarked(text)
        assert "x" in made.text
        assert len(made.text) <= len(text)
