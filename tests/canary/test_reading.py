"""What is drawn for the canary, and what is read of a free reply."""

import random
from itertools import product

import numpy as np
import pytest
from seeing import NAMES, read

from saccade.canary.drawing import (
    COLOURS,
    digit_image,
    fits,
    number_image,
    size_of,
)
from saccade.canary.reading import answer_of, box_in, colour_in, digit_in, number_in
from saccade.images.geometry import PixelBudget, Size


def test_what_is_drawn_can_be_read_by_another_eye() -> None:
    """The oracle of the tests shares no code with the drawing but the typeface."""
    rng = random.Random(0)
    for digit in "0123456789":
        assert read(digit_image(rng, digit, Size(448, 336)).pixels()) == digit
        assert read(digit_image(rng, digit, Size(56, 56)).pixels()) == digit
    assert read(number_image(rng, "90316", Size(476, 308), height=12).pixels()) == "90316"
    assert set(COLOURS) == set(NAMES)


def test_digits_have_the_height_that_is_asked_for() -> None:
    for height in (8, 12, 24, 64):
        grey = np.asarray(
            number_image(random.Random(1), "0", Size(560, 420), height=height).pixels()
        )
        rows = np.flatnonzero((grey[..., 0] < 128).any(1))
        assert abs(rows[-1] + 1 - rows[0] - height) <= 2


def test_what_does_not_fit_is_not_drawn() -> None:
    assert not fits("00000", Size(56, 56), height=24)
    with pytest.raises(ValueError, match="does not fit"):
        number_image(random.Random(0), "00000", Size(56, 56), height=24)


@pytest.mark.parametrize("budget", [PixelBudget(), PixelBudget(factor=14, max_pixels=3136)])
def test_images_are_drawn_at_sizes_that_the_view_leaves_alone(budget: PixelBudget) -> None:
    for area, ratio in product((10, 150_000, 10**9), (0.5, 1.0, 4 / 3)):
        size = size_of(budget, area, ratio)
        assert budget.fit(size) == size


@pytest.mark.parametrize(
    ("reply", "digit"),
    [
        ("7", "7"), ("**7**", "7"), ("The digit is 7.", "7"), ("Seven", "7"), ("7 (seven)", "7"),
        ("<think>3 or 8?</think>7", "7"), ("<answer>7</answer>", "7"), (r"\boxed{7}", "7"),
        ("image_1 shows a 7", "7"), ("0 1 2 3 4 5 6 7 8 9", None), ("7 or 1", None), ("17", "17"),
        ("7.5", None), ("I cannot see any image.", None), ("", None), ("someone", None),
        ("There is only one digit here, a 7", "7"), ("\uff17", "7"), ("\u0667", "7"),
        ("\u56fe\u4e2d\u7684\u6570\u5b57\u662f7\u3002", "7"), ("It is seven or one", None),
    ],
)  # fmt: skip
def test_a_reply_names_one_digit_or_none(reply: str, digit: str | None) -> None:
    assert digit_in(answer_of(reply)) == digit


def test_colours_and_numbers_are_read_alike() -> None:
    assert colour_in("The disc is Red.") == "red"
    assert colour_in("red, green, blue, yellow, purple, black") is None
    assert colour_in("coloured") is None
    assert number_in("4 0 1 2 3") == number_in("40,123") == number_in("It is 40123.") == "40123"
    assert number_in("40123 or 40128") is None


@pytest.mark.parametrize(
    "reply",
    [
        '```json\n{"bbox_2d": [1, 2.5, 30, 40], "label": "it"}\n```', "[1, 2.5, 30, 40]",
        "(1, 2.5, 30, 40)", "(1,2.5),(30,40)", "<|box_start|>(1,2.5),(30,40)<|box_end|>",
        "x1=1, y1=2.5, x2=30, y2=40", "<1, 2.5, 30, 40>", "1 2.5 30 40",
        "1,2.5,30,40", '{"bbox_2d": ["1", "2.5", "30", "40"]}', "(1px, 2.5px, 30 px, 40 px)",
        "[1e0, 2.5, 3.0e1, 4e+01]", "[[1, 2.5], [30, 2.5], [30, 40], [1, 40]]",
    ],
)  # fmt: skip
def test_boxes_are_read_in_the_ways_in_which_models_write_them(reply: str) -> None:
    assert box_in(reply) == (1, 2.5, 30, 40)


@pytest.mark.parametrize("reply", ["", "no box", "[1, 2, 3]", "1 2 3 4 5", "[a, b, c, d]"])
def test_what_is_no_box_is_none(reply: str) -> None:
    assert box_in(reply) is None
