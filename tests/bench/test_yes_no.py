"""Yes, no, or neither."""

import pytest

from saccade.bench.scorers.yes_no import yes_or_no


@pytest.mark.parametrize(
    "answer",
    ["Yes", "yes.", "**Yes**", "Yes, there is a dog.", "Yes there is", "The answer is yes.",
     "Answer: Yes", "<answer>yes</answer>", "It has four legs and a tail, so yes."],
)  # fmt: skip
def test_yes_is_yes(answer: str) -> None:
    assert yes_or_no(answer) == "yes"


@pytest.mark.parametrize(
    "answer",
    ["No", "no!", "No, there is not.", "No one is there", "There is no dog in the image.",
     "I can see no dog.", "The final answer is: No", "Therefore, no."],
)  # fmt: skip
def test_no_is_no(answer: str) -> None:
    assert yes_or_no(answer) == "no"


@pytest.mark.parametrize(
    "answer",
    ["", "Unknown", "I cannot tell.", "There is a dog.", "There is not a dog.", "yes and no",
     "There is no doubt that there is a dog", "I have no idea", "yes or no", "No. 5 is a dog",
     "A dog says no more", "not sure", "None", "Yes? I would rather say no."],
)  # fmt: skip
def test_what_says_neither_or_both_is_undecided(answer: str) -> None:
    assert yes_or_no(answer) is None
