"""What questions are counted by, and how many kinds there are in effect."""

from math import log2

import pytest
from building import plain
from hypothesis import given
from hypothesis import strategies as st

from saccade.data.curate.diversity import MOST_NAMED, OTHERS, entropy, stage_of, traits_of
from saccade.types import Task


@pytest.mark.parametrize(
    ("answer", "choices", "form"),
    [
        ("7", (), "number"), ("-3.5 %", (), "number"), ("1/2", (), "number"),
        ("10:30", (), "number"),
        ("red", (), "word"), ("a red cup", (), "words"), ("the red one on the left", (), "text"),
        ("A", ("red", "blue"), "option"), (" ", (), "none"), (None, (), "none"),
        ("1" * 81, (), "word"),
    ],
)  # fmt: skip
def test_the_form_of_an_answer(answer: str | None, choices: tuple[str, ...], form: str) -> None:
    assert traits_of(Task(id="t", prompt=("?",), answer=answer, choices=choices)).answer == form


def test_a_question_is_counted_by_source_family_images_and_abilities() -> None:
    meta = {"family": "charts", "perception": 1, "search": 0, "reason": True}
    task = Task(id="t", prompt=(plain(9, 9), plain(9, 9), "?"), source="s" * 100, meta=meta)
    found = traits_of(task)
    assert (found.family, found.images, found.abilities) == ("charts", "2", "perception+reason")
    assert found.source == "s" * 77 + "...", "names of hostile length are cut"
    bare = traits_of(Task(id="t", prompt=("?",)))
    assert (bare.source, bare.abilities) == ("(unknown)", "(unknown)")


@given(st.lists(st.integers(1, 100), min_size=1, max_size=20))
def test_the_effective_number_lies_between_one_and_the_number_of_kinds(counts: list[int]) -> None:
    """Hill's number of order 1: of kinds of one size it is their number."""
    assert -1e-9 <= entropy(counts) <= log2(len(counts)) + 1e-9
    assert entropy([7] * len(counts)) == pytest.approx(log2(len(counts)))
    assert entropy([*counts, 0]) == pytest.approx(entropy(counts))


def test_no_more_kinds_are_named_than_fit_on_a_page_and_none_is_lost() -> None:
    tasks = [Task(id=str(n), prompt=("?",), source=f"s{n}") for n in range(MOST_NAMED + 5)]
    by = stage_of("source", map(traits_of, tasks)).summary()["by"]
    assert isinstance(by, dict)
    found = by["source"]
    assert isinstance(found, dict)
    assert isinstance(counts := found["counts"], dict)
    assert len(counts) == MOST_NAMED + 1
    assert counts[OTHERS] == 5
    assert found["kinds"] == MOST_NAMED + 5
    assert stage_of("empty", ()).summary()["questions"] == 0
