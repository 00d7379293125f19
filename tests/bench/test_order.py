"""The order of options: moved by a hash, kept in the record, never where a meaning changes."""

from collections import Counter

import pytest

from saccade.bench.order import arranged, place_in_file
from saccade.types import Task

CHOICES = ("red", "blue", "green", "grey")


def task(number: int = 0, choices: tuple[str, ...] = CHOICES, answer: str = "B") -> Task:
    return Task(id=f"q{number}", prompt=("Which?",), choices=choices, answer=answer)


def test_every_letter_is_right_about_as_often() -> None:
    """Of 400 questions 100 each; 4 standard deviations (8.7) allow 65 to 135."""
    shown = [next(arranged(task(k), "hashed", 0)) for k in range(400)]
    letters = Counter((one.answer or "")[0] for one in shown)
    assert set(letters) == set("ABCD")
    assert all(65 <= n <= 135 for n in letters.values())


def test_the_right_option_goes_with_its_letter_and_its_place_is_kept() -> None:
    for number in range(20):
        shown = next(arranged(task(number), "hashed", 0))
        letter, _, text = (shown.answer or "").partition(". ")
        place = ord(letter) - ord("A")
        assert shown.choices[place] == text == "blue"
        assert place_in_file(shown, place) == 1
        assert sorted(shown.choices) == sorted(CHOICES)


def test_another_seed_is_another_order_and_the_same_seed_the_same() -> None:
    orders = {next(arranged(task(), "hashed", seed)).choices for seed in range(20)}
    assert len(orders) > 5
    first = [next(arranged(task(k), "hashed", 3)).choices for k in range(5)]
    assert first == [next(arranged(task(k), "hashed", 3)).choices for k in range(5)]


@pytest.mark.parametrize(
    "choices",
    [
        ("red", "blue", "All of the above"),
        ("red", "blue", "none of these options"),
        ("red", "blue", "Both A and B"),
        ("I and II", "A, C", "B"),
    ],
)
def test_options_that_speak_of_others_by_place_are_not_moved(
    choices: tuple[str, ...],
) -> None:
    for seed in range(10):
        assert next(arranged(task(choices=choices), "hashed", seed)).choices == choices


def test_a_circle_is_every_rotation_and_one_unit() -> None:
    turned = [*arranged(task(), "circular", 0)]
    assert [one.choices for one in turned] == [
        ("red", "blue", "green", "grey"),
        ("blue", "green", "grey", "red"),
        ("green", "grey", "red", "blue"),
        ("grey", "red", "blue", "green"),
    ]
    assert [(one.answer or "")[0] for one in turned] == ["B", "A", "D", "C"]
    assert {one.meta["unit"] for one in turned} == {"q0"}
    assert len({one.id for one in turned}) == 4


def test_the_order_of_the_file_is_left_alone() -> None:
    assert next(arranged(task(), "file", 0)) == task()
