"""What benchmarks of mathematics share: numbers, options of the text, the worker, instructions."""

from pathlib import Path

import pytest
from maths_sets import Told, packed, write_tsv

from saccade.bench.cells import list_of, rows_of_set, table_of, text_of
from saccade.bench.scorers.letters import inferred_letter
from saccade.bench.scorers.maths.numbers import measured, value_of
from saccade.bench.scorers.maths.options import SHOWN, asked, judge_shown, options_in
from saccade.bench.scorers.maths.rules import Instructed
from saccade.bench.sets.maths.mathvision import MathVision
from saccade.rewards.math import Math, MathOptions
from saccade.types import Task


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.2", 1.2), ("-3", -3), ("3/4", 0.75), (r"\frac{3}{4}", 0.75), (r"2\pi", 6.283185307),
        ("2^3^2", 512), ("-2^2", -4), ("2^-1", 0.5), ("10^{-6}", 1e-6), ("1.5e3", 1500),
        (r"\sqrt{2}", 1.414213562), (r"\sqrt[3]{8}", 2), ("2(3+4)", 14), (".5", 0.5),
        (r"4+4\sqrt{3}", 10.92820323), ("(1+2)*3-4/2", 7), ("1 - 2 - 3", -4),
    ],
)  # fmt: skip
def test_arithmetic_is_read(text: str, value: float) -> None:
    assert value_of(text) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    "text",
    ["", "x", "1 2", "5!", "9^9^9^9", "(-8)^(1/3)", "1/0", "(1", "1)", "1,2", "()",
     "__import__('os')", "().__class__", "1" + "+1" * 200, "(" * 20 + "1" + ")" * 20,
     "1e999", "exit()"],
)  # fmt: skip
def test_what_is_no_arithmetic_has_no_value(text: str) -> None:
    """Also what would fill the memory, and what Python would execute."""
    assert value_of(text) is None


@pytest.mark.parametrize(
    ("answer", "value"),
    [("1.2 m", 1.2), ("about 5", 5), ("x = 7", 7), ("1,000", 1000), ("$5", 5),
     ("The answer is 12.", 12), (r"\boxed{1.5}", 1.5), ("five", 5), ("5 apples", 5),
     ("50%", 50), ("$$r=7.00$$", 7)],
)  # fmt: skip
def test_the_number_of_an_answer(answer: str, value: float) -> None:
    found = measured(answer)
    assert found is not None
    assert found.value == value


@pytest.mark.parametrize(
    "answer", ["5 million", "5 or 6", "1.2 to 1.4", "3 and a half", "5 k", "a 5"]
)
def test_an_answer_that_says_more_than_a_number_is_none(answer: str) -> None:
    assert measured(answer) is None


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Is it? choice: (A) Yes (B) No", ("Yes", "No")),
        ("angle A: ()\nChoices:\nA:40°\nB:60°\nC:120°", ("40°", "60°", "120°")),
        ("Select from A, B, C, and D. (A) (B) (C) (D)", ("A", "B", "C", "D")),
        ("A. Turn; B. Flip (across line L); C. Go", ("Turn", "Flip (across line L)", "Go")),
        ("A. \u2460;B\uff0e\u2461;C. \u2462", ("\u2460", "\u2461", "\u2462")),
        ("A. get Shape ;C.; B. make Shape ;C.; C. no", ("get Shape ;C.", "make Shape ;C.", "no")),
        ("Triangle ABC has A: 3.", ()), ("What is f(A)?", ()),
    ],
)  # fmt: skip
def test_options_of_a_text_are_found_in_their_order(
    question: str, options: tuple[str, ...]
) -> None:
    assert options_in(question) == options


@pytest.mark.parametrize(
    ("answer", "right"),
    [("A, C", True), ("A and C", True), ("C, A", True), ("AC", True), ("**A** and **C**", True),
     ("The answer is A and C.", True), ("A", False), ("A, B, C", False), ("B", False),
     ("none", False), ("THE RED CAR", None), ("It is a reddish car", None),
     ("A red one", None), ("Candles", None)],
)  # fmt: skip
async def test_letters_are_compared_as_sets_and_never_read_out_of_words(
    answer: str, right: bool | None
) -> None:
    letters = Task(id="t", prompt=("Which boxes?",), answer="A, C", meta={SHOWN: [*"ABCDE"]})
    assert (await judge_shown(letters, answer)).correct is right


def test_an_option_that_is_an_article_in_its_own_text_is_not_moved() -> None:
    """Of "$a$" and "none of them" nobody can say which "B. $a$" names."""
    assert asked("Which?", ["$a$", "$b$", "$c$", "$d$", "none of them"], 0).choices == ()
    assert asked("Which?", ["3", "4"], 1).answer == "B. 4"


async def test_what_is_no_number_goes_to_a_worker_that_is_stopped(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    program = f"__import__('pathlib').Path({str(trace)!r}).write_text('6') * 0 + 6"
    benchmark = MathVision()
    benchmark._math = Math(MathOptions(workers=1))  # else it starts two
    line = Task(id="line", prompt=("Which line?",), answer="$x=0$")
    root = Task(
        id="root", prompt=("Which?",), answer="B. $\\sqrt{2}$", choices=("$2$", "$\\sqrt{2}$")
    )
    shown = Task(id="shown", prompt=("Which?",), answer="A", meta={SHOWN: ["8 \\pi", "10 \\pi"]})
    number = Task(id="number", prompt=("How many?",), answer="6")
    for task, answer, right in [
        (line, "x = 1", False), (line, "y=0", False), (root, "√2", True), (shown, "8π", True),
        (shown, "a nice one", None), (number, "6 or 7", False), (number, program, None),
        (number, "9^{9^{9^9}}", False),
    ]:  # fmt: skip
        assert (await benchmark.judge(task, answer)).correct is right, answer
    assert not trace.exists()
    (worker,) = benchmark._math._free._queue  # type: ignore[attr-defined]
    assert worker.returncode is None
    await benchmark.close()
    assert worker.returncode is not None


async def test_instructions_are_below_the_question_and_in_the_name() -> None:
    told = Told()
    judge = Instructed(
        told, lambda task: "Only the number counts.", texts="Only the number counts."
    )
    verdict = await judge.judge(Task(id="t", prompt=("How many?",), answer="6"), "six")
    assert told.seen[0].question == "How many?\n(Only the number counts.)"
    assert verdict.judge == judge.name
    assert judge.name.startswith("told+")
    assert judge.name != Instructed(told, lambda task: "", texts="Other words.").name


@pytest.mark.parametrize(
    ("reply", "found"),
    [("It is a reddish car", "A"), ("A red one", "A"), ("<answer>C</answer>", None), ("C", "C"),
     ("The answer is (B).", "B"), ("Sorry, I can't help with images of people yet.", "Z"),
     ("Failed to obtain answer via API", None), ("the second, blue", "B"), ("Z", "Z"),
     ("B is what I see in the picture here", None), ("B or C", None)],
)  # fmt: skip
def test_can_infer_is_restated(reply: str, found: str | None) -> None:
    """Source: VLMEvalKit at e8e78f05, vlmeval/utils/matching_util.py; replies by hand."""
    assert inferred_letter(reply, {"A": "red", "B": "blue", "C": "green"}) == found


def test_a_row_of_a_tsv_may_name_the_picture_of_another(tmp_path: Path) -> None:
    """VLMEvalKit, vlmeval/dataset/image_base.py: at most 64 characters are the index of a row."""
    picture = packed()
    rows = [
        {"index": n, "image": "12" if n == 0 else picture if n == 12 else "12.0"} for n in range(14)
    ]
    write_tsv(tmp_path / "set.tsv", rows)
    assert [row.values["image"] for row in rows_of_set(tmp_path / "set.tsv")] == [picture] * 14


def test_cells_are_read_in_every_form() -> None:
    assert list_of("['a', 'b']") == list_of('["a", "b"]') == list_of(["a", "b"]) == ("a", "b")
    assert list_of(None) == list_of(float("nan")) == list_of("None") == list_of("") == ()
    assert list_of("[1, 2") == ("[1, 2",)
    assert list_of("[" * 5000) == ("[" * 5000,)
    assert list_of("[__import__('os')]") == ("[__import__('os')]",)
    assert (text_of(3.0), text_of(None), text_of(2.5)) == ("3", "", "2.5")
    assert table_of("{'subject': 'algebra'}") == {"subject": "algebra"}
    assert table_of("no table") == {}
