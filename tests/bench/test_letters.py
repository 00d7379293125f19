"""VLMEvalKit's letters restated. Each expected value is what e8e78f05 itself returned for it."""

import asyncio

import pytest
from building import a_task

from saccade.bench.scorers.letters import (
    by_first_capital,
    first_capital,
    gold_letter,
    inferred,
    inferred_letter,
    pope_says,
    yes_or_no,
)
from saccade.rewards.judges import Choice

OPTIONS = {"A": "red", "B": "blue", "C": "green car", "D": "white"}


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        ("(C) green car", "C"),
        ("The answer is **b**", "B"),
        ("It is a reddish car", "A"),
        ("A red one", "A"),
        ("the blue one", "B"),
        ("<answer>C</answer>", None),
        ("A or B", None),
        ("Z", "Z"),
        ("Cannot determine the answer", "Z"),
        ("Failed to obtain answer via API", None),
        ("B is what I would say about this photograph of a car", None),
        ("nothing of these", None),
        ("blue " * 20, None),
    ],
)
def test_can_infer_is_restated(reply: str, letter: str | None) -> None:
    assert inferred_letter(reply, OPTIONS) == letter


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("C", "C"),
        ("Based on the image, the answer is C", "B"),
        ("The best answer is C", "C"),
        ("ANSWER: C", "A"),
        ("THE RED CAR", "E"),
        ("", "A"),
        ("b", "B"),
        ("the red car", ""),
        ("one two three four five six seven eight nine ten eleven", ""),
    ],
)
def test_extract_characters_regex_is_restated(reply: str, letter: str) -> None:
    assert first_capital(reply) == letter


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("Yes, there is.", "yes"),
        ("No.", "no"),
        ("There is no dog", "no"),
        ("yes and no", None),
        ("I cannot tell", None),
        ("yes/no", None),
        ("It is unknown", None),
    ],
)
def test_yorn_extraction_is_restated(reply: str, said: str | None) -> None:
    assert yes_or_no(reply) == said


@pytest.mark.parametrize(
    ("reply", "said"),
    [("I cannot tell", "yes"), ("There is not. Yes", "no"), ("NO", "yes"), ("no, none", "no")],
)
def test_the_script_of_pope_is_restated(reply: str, said: str) -> None:
    assert pope_says(reply) == said


def test_letters_are_those_that_were_shown() -> None:
    task = a_task(choices=("white", "red", "blue"), answer="C. blue", meta={"order": [2, 0, 1]})
    assert gold_letter(task) == "C"
    assert inferred(task, "C") == 1.0
    assert by_first_capital(task, "<think>A</think><answer>c</answer>") == 1.0


RED = a_task(choices=("blue", "red", "green", "white"), answer="B. red")


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("Based on the image, the answer is B", True),
        ("ANSWER: B", True),
        ("RED", True),
        ("A red one", True),
        ("<answer>B</answer>", True),
        ("It is a reddish car", None),
        ("", False),
    ],
)
def test_ours_reads_what_theirs_gets_wrong(reply: str, right: bool | None) -> None:
    """The bugs of published scorers that are reproduced in evaluation.md 1.4."""
    assert asyncio.run(Choice().judge(RED, reply)).correct is right
