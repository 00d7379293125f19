"""Replies on which VLMEvalKit's scorers of options and ours differ; tests play each.

Source: the functions that `saccade.bench.scorers.letters` restates.
"""

from __future__ import annotations

from saccade.bench.benchmark import Difference
from saccade.types import Task


def _asked(answer: str, *choices: str) -> Task:
    return Task(id="-", prompt=("What is it?",), choices=choices, answer=answer)


INFERRED = (
    Difference(
        _asked("B. red", "blue", "red", "green", "white"), "A red one", True, 0.0,
        "can_infer_option takes the article for the letter A",
    ),
    Difference(
        _asked("A. red", "red", "blue", "green", "white"), "It is a reddish car", None, 1.0,
        "can_infer_text finds the option within another word",
    ),
    Difference(
        _asked("C. green", "blue", "red", "green", "white"), "<answer>C</answer>", True, None,
        "can_infer cannot read it and asks a model; where that fails, rd.choice draws an option",
    ),
)  # fmt: skip
"""Of `can_infer`."""

FIRST_CAPITAL = (
    Difference(
        _asked("C. green", "blue", "red", "green", "white", "none"),
        "Based on the image, the answer is C", True, 0.0,
        "extract_characters_regex takes the first capital from A to E: the B of Based",
    ),
    Difference(
        _asked("C. green", "blue", "red", "green", "white", "none"), "ANSWER: C", True, 0.0,
        "extract_characters_regex takes the first capital from A to E: the A of ANSWER",
    ),
    Difference(
        _asked("B. the red car", "the blue van", "the red car", "the green bus", "a white truck"),
        "THE RED CAR", True, 0.0,
        "extract_characters_regex takes the first capital from A to E: the E of THE",
    ),
    Difference(
        _asked("A. blue", "blue", "red", "green", "white", "none"), "", False, 1.0,
        "extract_characters_regex finds an empty reply within (A): an unanswered question is A",
    ),
)  # fmt: skip
"""Of `extract_characters_regex`."""
