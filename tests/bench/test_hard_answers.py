"""Answers that are hard to read: what a careful person would say of each, by hand.

R: right. W: wrong. U: cannot be decided without a model. Each was once judged otherwise.
"""

from collections.abc import Callable
from typing import Any

import pytest

from saccade.bench.scorers import pieces
from saccade.bench.scorers.charts.relaxed import judge_relaxed
from saccade.bench.scorers.maths.options import SHOWN
from saccade.bench.scorers.yes_no import yes_or_no
from saccade.bench.sets.charts.ocrbench import OCRBench
from saccade.bench.sets.maths.logicvista import LogicVista
from saccade.bench.sets.maths.mathvision import MathVision
from saccade.bench.sets.maths.mathvista import MathVista
from saccade.types import Task, Verdict

SAID = {True: "R", False: "W", None: "U"}


def asked(answer: str, question: str = "How many?", **meta: Any) -> Task:
    return Task(id="hard", prompt=(question,), answer=answer, meta=meta)


NUMBERS = [
    ("1000", "1k", "U"), ("1000", "1 thousand", "U"), ("5", "5!", "U"), ("5", "5?", "U"),
    ("5", "5", "R"), ("1.2", "1.2 or so", "R"), ("1.2", "1.2?", "U"), ("1990", "1990s", "U"),
    ("12", "\u7b54\u6848:12", "R"), ("1000", "-1000", "W"), (r"2\pi", "6.28", "U"),
    (r"2\pi", "6.29", "W"), (r"\sqrt{2}", "1.414", "U"), (r"\frac{1}{3}", "0.33", "U"),
    (r"\frac{1}{2}", "0.5", "R"), ("7", "7.001", "W"), ("12", "12 or 13", "W"),
]  # fmt: skip


async def test_numbers() -> None:
    rule = MathVision()
    found = [SAID[(await rule.judge(asked(gold), reply)).correct] for gold, reply, _ in NUMBERS]
    await rule.close()
    assert found == [said for *_, said in NUMBERS]


@pytest.mark.parametrize(
    ("reply", "said"),
    [("2007-2008", "U"), ("2007\u20132008", "U"), ("2007 and 2008", "R"), ("2007", "W"),
     ("between 2007 and 2008", "R"), ("2007, 2009", "W"), ("2007 or 2008", "U")],
)  # fmt: skip
async def test_a_range_of_years_is_no_difference_of_them(reply: str, said: str) -> None:
    task = asked("[2007, 2008]", answer_type="list")
    assert SAID[(await MathVista().judge(task, reply)).correct] == said


@pytest.mark.parametrize(
    ("reply", "said"),
    [("A and C", "R"), ("AC", "R"), ("A or C", "U"), ("A/C", "U"), ("A\u6216C", "U"), ("A", "W"),
     ("A\u548cC", "R"), ("A, B, C", "W")],
)  # fmt: skip
async def test_letters_of_which_all_are_asked(reply: str, said: str) -> None:
    task = asked("A, C", **{SHOWN: list("ABCDE")})
    assert SAID[(await LogicVista().judge(task, reply)).correct] == said


@pytest.mark.parametrize(
    ("gold", "reply", "said"),
    [("5 million", "5000000", "U"), ("Jan 2014", "January 2014", "U"), ("1990s", "1990", "W"),
     ("1990s", "1990s", "R"), ("Blue", "red", "W"), ("Blue", "dark blue", "U"), ("5G", "5", "W"),
     ("12", "12 or 13", "U"), ("6.8", "6.8%", "R"), ("-3.5", "3.5", "W")],
)  # fmt: skip
def test_charts(gold: str, reply: str, said: str) -> None:
    assert SAID[judge_relaxed([gold], reply, "What?").correct] == said


@pytest.mark.parametrize(
    ("gold", "reply", "said"),
    [("hi", "This is a sign", "U"), ("CENTRE", "epicentre", "U"), ("CENTRE", "The CENTRE.", "R"),
     ("STOP", "not STOP", "U"), ("STOP", "It isn't STOP but GO", "U"), ("STOP", "STOP", "R"),
     ("STOP", "It is not far. STOP", "R"), ("STOP", "GO", "W"), ("12", "12:30", "W"),
     ("12", "12/05", "W"), ("12", "It is 12.", "R"), ("Coca-Cola", "coca cola", "U"),
     ("\u4e2d\u6587", "\u56fe\u4e2d\u5199\u7740\u4e2d\u6587", "R"),
     ("ABC", "\u6587\u5b57\u662fABC\u3002", "R"), ("STOP", "\u4e0d\u662fSTOP", "U")],
)  # fmt: skip
async def test_text_in_pictures(gold: str, reply: str, said: str) -> None:
    assert SAID[(await OCRBench().judge(asked(gold), reply)).correct] == said


def number(reply: str) -> Verdict:
    return pieces.same_number("8", reply, "rule")


def order(reply: str) -> Verdict:
    return pieces.same_order([3, 1, 2], reply, "rule")


def pieces_of(reply: str) -> Verdict:
    return pieces.same_set([1, 4], reply, "rule")


def place(reply: str) -> Verdict:
    return pieces.same_pair([3, 5], reply, "rule")


def letter(reply: str) -> Verdict:
    return pieces.same_letters("B", reply, "rule")


@pytest.mark.parametrize(
    ("rule", "reply", "said"),
    [
        (number, "not 8", "U"), (number, "more than 8", "U"), (number, "at least 8", "U"),
        (number, "8?", "U"), (number, "Not 9", "U"), (number, "I don't think it is 9", "U"),
        (number, "\u81f3\u5c118", "U"), (number, "\u7b54\u6848\u662f8", "R"), (number, "9", "W"),
        (number, "I am not a cat. 8", "R"), (number, "8 cats", "R"), (number, ">8", "U"),
        (order, "\u987a\u5e8f\u662f3\uff0c1\uff0c2", "R"), (order, "312", "U"),
        (order, "not [3,1,2]", "U"), (order, "Step 1: 3, Step 2: 1, Step 3: 2", "U"),
        (order, "3->1->2", "R"), (order, "3-1-2", "R"), (order, "[3, 1]", "W"),
        (pieces_of, "all except 1, 4", "U"), (pieces_of, "1 or 4", "U"), (pieces_of, "1-4", "U"),
        (pieces_of, "between 1 and 4", "U"), (pieces_of, "1 and 4", "R"), (pieces_of, "[1]", "W"),
        (place, "column 5, row 3", "U"), (place, "not (3,5)", "U"), (place, "row 3, column 5", "R"),
        (letter, "B?", "U"), (letter, "A. no; B. yes", "U"), (letter, "B) but I am not sure", "U"),
        (letter, "B. But maybe C", "U"), (letter, "B: wrong", "U"), (letter, "B. a cat", "R"),
        (letter, "A", "W"),
    ],
)  # fmt: skip
def test_pieces(rule: Callable[[str], Verdict], reply: str, said: str) -> None:
    assert SAID[rule(reply).correct] == said


def test_a_question_back_is_neither_yes_nor_no() -> None:
    assert yes_or_no("Yes?") is None
    assert yes_or_no("\u4e0d no\uff1f") is None
    assert yes_or_no("No.") == "no"
