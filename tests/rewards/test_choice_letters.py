"""Options that are letters, digits or labels: what an answer names, and which gold answer is meant.

The oracle knows the convention alone: a capital is the letter of an option, in the gold answer and
in others; where the text of an option would make an answer right, nothing is said. What an answer
names by its letter and by its text is looked up in the list of options.
"""

import asyncio
import itertools

import pytest
from building import a_task

from saccade.rewards.judges import Choice, gold_option, gold_text

LETTERS = "ABCDEFGH"
ALONE = ["{}", "{}.", "({})", "[{}]", "**{}**", "\\boxed{{{}}}", "The answer is {}", "Answer: ({})",
         "<answer>{}</answer>", "It's {}.", '{{"answer": "{}"}}', "答案是{}"]  # fmt: skip
LABELLED = ["Option {}", "The answer is option {}."]
PAIRS = ["{}. {}", "({}) {}", "{}) {}", "**{}.** {}", "The answer is ({}) {}", "\\boxed{{{}. {}}}"]


def verdict(gold: str, answer: str, choices: tuple[str, ...]) -> bool | None:
    return asyncio.run(Choice().judge(a_task(answer=gold, choices=choices), answer)).correct


def expected(choices: tuple[str, ...], gold: str, letter: str, *, labelled: bool) -> bool | None:
    """What the convention says of an answer that is a letter."""
    right = LETTERS.index(gold)
    if LETTERS.index(letter) == right:
        return True
    by_text = [place for place, text in enumerate(choices) if text == letter]
    return None if by_text == [right] and not labelled else False


@pytest.mark.parametrize(
    "choices",
    [("C", "D", "A", "B"), ("B", "C", "A"), ("A", "B", "C", "D"), ("B", "A"), ("Yes", "No", "A"),
     ("None of the above", "Both A and C", "B", "A"), ("X", "B", "Y"), ("D", "D or E", "A", "C")],
)  # fmt: skip
def test_a_capital_is_the_letter_of_an_option(choices: tuple[str, ...]) -> None:
    letters = LETTERS[: len(choices)]
    for gold, letter in itertools.product(letters, letters):
        for form in (*ALONE, *LABELLED):
            answer, labelled = form.format(letter), form in LABELLED
            if letter == "A" and form.startswith("It's"):
                continue  # "It's A." may be an article that lost its noun
            found = verdict(gold, answer, choices)
            assert found is expected(choices, gold, letter, labelled=labelled), (gold, answer)


def test_a_letter_with_its_text_is_that_option() -> None:
    for choices in [("C", "D", "A", "B"), ("B", "C", "A"), ("X", "A", "B")]:
        for gold, letter in itertools.product(LETTERS[: len(choices)], repeat=2):
            for form in PAIRS:
                answer = form.format(letter, choices[LETTERS.index(letter)])
                assert verdict(gold, answer, choices) is (gold == letter), (choices, gold, answer)
            both = f"{letter}. {choices[LETTERS.index(letter)]}"
            assert gold_option(a_task(answer=both, choices=choices)) == LETTERS.index(letter)


def test_two_letters_are_two_options_or_undecided_and_never_one_of_them() -> None:
    for choices in [("A", "B", "C", "D"), ("C", "D", "A", "B"), ("B", "C", "D", "A")]:
        for one, other in itertools.permutations("ABCD", 2):
            for form in ("{} or {}", "{}, {}", "{} {}", "{}-{}", "{}/{}", "{} and {}"):
                for gold in (one, other):
                    found = verdict(gold, form.format(one, other), choices)
                    assert found is not True, (choices, gold, form.format(one, other))


@pytest.mark.parametrize(
    ("choices", "gold", "answer", "right"),
    [  # small letters that are options: as they are written
     (("b", "a"), "a", "a", True), (("b", "a"), "a", "A", None), (("b", "a"), "A", "A", True),
     (("b", "a"), "a", "(B)", True), (("b", "a"), "b", "a", None), (("b.", "a."), "a.", "B", True),
     (("b.", "a."), "A", "A. b", True), (("a", "A"), "a", "a", True), (("a", "A"), "B", "B", True),
     (("a", "A"), "B", "B. A", True), (("a", "A"), "a", "B", False), (("x", "y"), "x", "x", True),
     # letters that no option has are texts
     (("X", "Y", "Z"), "Y", "Y", True), (("X", "Y", "Z"), "Y", "B", True),
     (("X", "Y", "Z"), "Y", "X", False), (("X", "Y", "Z"), "B", "(Y)", True),
     (("I", "II", "III", "IV"), "II", "II", True), (("I", "II", "III", "IV"), "I", "I", True),
     (("V", "I", "X"), "I", "B", True), (("V", "I", "X"), "I", "A", False),
     (("II", "I", "C"), "C", "C", True), (("C", "II", "I"), "C", "C", True),
     # digits are texts, and places only as "option 2", which may be either
     (("2", "1", "4", "3"), "2", "2", True), (("2", "1", "4", "3"), "2", "A", True),
     (("2", "1", "4", "3"), "2", "1", False), (("2", "1", "4", "3"), "2", "B", False),
     (("2", "1", "4", "3"), "B", "1", True), (("2", "1", "4", "3"), "2", "A. 2", True),
     (("2", "1", "4", "3"), "2", "A. 1", False), (("2", "1", "4", "3"), "2", "Option 2", None),
     (("2", "1", "4", "3"), "2", "(2)", True), (("cat", "dog"), "2", "B", None),
     (("1", "2", "3"), "3", "C", True), (("3 A", "2 A"), "2 A", "B", True),
     # letters inside of texts
     (("A", "B", "A and B", "Neither"), "C", "A and B", True),
     (("A", "B", "A and B", "Neither"), "C", "C", True),
     (("A", "B", "A and B", "Neither"), "A and B", "A", False),
     (("A", "B", "A and B", "Neither"), "A", "A and B", False),
     (("A", "B", "A and B", "Neither"), "A", "C", False),
     (("B and C", "A", "D"), "A", "B and C", True), (("B and C", "A", "D"), "A", "B", False),
     (("B and C", "A", "D"), "B", "B", True), (("B and C", "A", "D"), "C", "A", False),
     (("cat", "dog", "None of the above", "Both A and B"), "D", "D", True),
     (("cat", "dog", "None of the above", "Both A and B"), "D", "Both A and B", True),
     (("cat", "dog", "None of the above", "Both A and B"), "A", "Both A and B", False),
     (("Vitamin A", "Vitamin B", "Vitamin C"), "Vitamin C", "C", True),
     (("Vitamin B", "Vitamin A"), "Vitamin A", "A", False),
     (("Vitamin B", "Vitamin A"), "Vitamin A", "Vitamin A", True),
     # labels of the texts' own
     (("B) 5", "A) 6"), "A) 6", "B", None), (("B) 5", "A) 6"), "A) 6", "A) 6", True),
     (("B) 5", "A) 6"), "A", "A", None), (("B) 5", "7", "9"), "7", "B", None),
     (("A) 5", "B) 6"), "A", "A", True), (("A) 5", "B) 6"), "A", "5", True),
     (("B. Obama", "J. Biden", "D. Trump"), "A", "A", True),
     (("B. Obama", "J. Biden", "D. Trump"), "J. Biden", "B", True),
     # equal up to case
     (("Polish", "polish"), "Polish", "Polish", True), (("Polish", "polish"), "polish", "B", True),
     (("Polish", "polish"), "Polish", "POLISH", None),
     (("Polish", "polish"), "A", "polish", False)],
)  # fmt: skip
def test_what_else_looks_like_a_letter(
    choices: tuple[str, ...], gold: str, answer: str, right: bool | None
) -> None:
    assert verdict(gold, answer, choices) is right


def test_the_text_of_the_gold_option_is_that_of_its_letter() -> None:
    assert gold_text(a_task(answer="A", choices=("C", "D", "A", "B"))) == "C"
    assert gold_text(a_task(answer="C. A", choices=("C", "D", "A", "B"))) == "A"
