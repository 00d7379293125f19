"""Which option an answer names: right, wrong, or undecided. One table for each kind of answer."""

# ruff: noqa: RUF001 (other scripts are what it is about)

import asyncio
import time

import pytest
from building import a_task

from saccade.rewards.choices import read
from saccade.rewards.judges import Choice
from saccade.types import Verdict

ANIMALS = ("cat", "dog", "bird", "fish")
YES_NO = ("Yes", "No")


def verdict(gold: str, answer: str, choices: tuple[str, ...], question: str = "?") -> Verdict:
    task = a_task(answer=gold, choices=choices).model_copy(update={"prompt": (question,)})
    return asyncio.run(Choice().judge(task, answer))


@pytest.mark.parametrize(
    ("answer", "gold", "choices", "right"),
    [("Answer:B", "B", ANIMALS, True), ("**Answer:** B", "B", ANIMALS, True),
     ("\\boxed{B}", "B", ANIMALS, True), ("[B]", "B", ANIMALS, True),
     ("B - dog", "B", ANIMALS, True), ("A dog", "B", ANIMALS, True),
     ("The answer is B. Note that A is a common distractor.", "B", ANIMALS, True),
     ("Ｂ", "B", ANIMALS, True), ("Yes, there is a dog.", "A", YES_NO, True),
     ("A or B", "B", ANIMALS, False), ("Bird", "B", ANIMALS, False), ("Not B", "B", ANIMALS, False),
     ("A bird", "A", ANIMALS, False), ("", "B", ANIMALS, False), ("Nothing", "B", YES_NO, False)],
)  # fmt: skip
def test_answers_on_which_public_scorers_erred(
    answer: str, gold: str, choices: tuple[str, ...], right: bool
) -> None:
    assert verdict(gold, answer, choices).correct is right


@pytest.mark.parametrize(
    "answer",
    ["B", "b", "B.", "b)", "(b)", "B:", "【B】", "（B）", "「B」", "Ⓑ", "ⓑ", "⒝", "🅱", "𝐁",
     "\u200bB", "*B*", "__B__", "`B`", "### B", "> B", "- B", "$B$", "\\(B\\)", "\\text{B}",
     "\\boxed{\\text{B}}", "$\\boxed{\\textbf{(B)}}$", "\\[ \\boxed{ B } \\]", "B: dog", "B) dog",
     "(B) dog", "B. dog.", "dog (B)", "B dog", "dog", "Dog.", "a dog", "the dog", "It is a dog.",
     "Option B", "Choice (B)", "letter B", "B is correct", "B is the correct answer.", "It's B",
     "My answer is B!", "I would go with B.", "I think it's probably B.", "Answer is option (B).",
     "The correct answer is: B) dog.", "Answer: **(B) dog**", "The answer: \n\nB", "(answer: B)",
     "<answer>B</answer>", '{"answer": "B"}', '```json\n{"answer": "B", "confidence": 0.9}\n```',
     "The animal barks.\nAnswer: B", "Let me zoom in.\nB",
     "I see a cat and a dog. The answer is B.",
     "The first animal purrs, the second barks.\n\nTherefore the answer is **B**.",
     "The answer is B because it barks.", "B, since the ears hang.", "B, not A", "not A but B",
     "B (not C)", "(not C) B", "A is wrong, B is right", "A is not right. B is.",
     "B because A is wrong",
     "Is it A? The answer is B.", "答案是B", "答案：B", "答案为（B）。", "选B", "选择 B 项",
     "正确选项为 B",
     "我认为正确答案是B", "因此，选B。", "选B，不选A", "答えはBです", "정답은 B입니다",
     "Die richtige Antwort ist B.",
     "La bonne réponse est B.", "La respuesta correcta es B", "A resposta correta é B", "Ответ: B",
     "Resposta: B", "Antwoord: B", "Đáp án: B", "उत्तर: B", "回答：B", "本题选B",
     "正确答案不是A，而是B", "Answer -> B", "=> B", "B<|im_end|>", "Let's go with B",
     "Selected option: B", "B is the best of all"],
)  # fmt: skip
def test_one_option_is_read_however_it_is_written(answer: str) -> None:
    assert verdict("B", answer, ANIMALS).correct is True
    assert verdict("dog", answer, ANIMALS).correct is True
    assert verdict("C", answer, ANIMALS).correct is False


@pytest.mark.parametrize(
    "answer",
    ["B or C", "B and C", "B/C", "B, C", "B & C", "B+C", "BC", "ABCD", "either B or C", "B\nC",
     "both B and C", "B, or maybe C", "A vs. B vs. C", "B C",
     "The answer is B. C is also correct.", "dog or bird",
     "The answer is B. The answer is C.", "\\boxed{B} or \\boxed{C}", '{"answer": "B or C"}',
     '{"answer": "B", "answer": "C"}', '{"answer": ["B", "C"]}', "B或C", "B和C", "B oder C",
     "A. cat B. dog C. bird D. fish", "B. bird", "(C) dog", "B or E", "all of them",
     "B as well as C",
     "<answer>B, C</answer>"],
)  # fmt: skip
def test_several_options_are_wrong(answer: str) -> None:
    assert verdict("B", answer, ANIMALS).correct is False
    assert verdict("C", answer, ANIMALS).correct is False


@pytest.mark.parametrize(
    "answer",
    ["It is B. No wait, it is C.", "It is either B or C, but most likely B",
     "C\nActually, ANSWER: B", "B\nThe answer is C.", "B, but C is right"],
)  # fmt: skip
def test_one_of_several_options_may_be_given_in_the_end(answer: str) -> None:
    for gold, right in (("A", False), ("B", None), ("C", None), ("D", False)):
        assert verdict(gold, answer, ANIMALS).correct is right


@pytest.mark.parametrize(
    ("choices", "gold", "answer"),
    [(ANIMALS, "B", "A, C and D are incorrect. B is correct."), (ANIMALS, "B", "A: B"),
     (ANIMALS, "B", "Options are A. cat, B. dog, C. bird. The answer is B."),
     (ANIMALS, "B", "Eliminating A, C, D, we are left with B."), (ANIMALS, "B", "A: a dog"),
     (ANIMALS, "B", "A or C, but the puppy fits"), (YES_NO, "No", "Not at all"),
     (YES_NO, "Yes", "There is a cat."), (YES_NO, "Yes", "Correct"),
     (("cat", "dog", "Both A and B"), "C", "A & B"), (("cat", "dog", "Both A and B"), "C", "both"),
     (("cat", "dog", "cat and dog"), "C", "a cat, a dog"),
     (("cat", "dog", "Neither"), "C", "Neither A nor B"),
     (("cat", "dog", "All of the above"), "C", "A and B")],
)  # fmt: skip
def test_what_may_be_right_is_not_wrong(choices: tuple[str, ...], gold: str, answer: str) -> None:
    assert verdict(gold, answer, choices).correct is None


@pytest.mark.parametrize(
    "answer",
    ["not B", "NOT (B)", "isn't B", "It is not B.", "The answer isn't B", "B is wrong",
     "B is incorrect",
     "B is not the answer", "B isn't it", "anything but B", "all but B", "everything except B",
     "neither A nor B", "definitely not B", "I would rule out B", "It can't be B", "no dog", "!B",
     "≠B", "answer /= B",
     "not \\boxed{B}", "\\boxed{\\text{not B}}", "不是B", "B不对", "不选B", "除了B都对", "nicht B"],
)  # fmt: skip
def test_a_negated_gold_answer_is_wrong(answer: str) -> None:
    assert verdict("B", answer, ANIMALS).correct is False
    assert verdict("C", answer, ANIMALS).correct is not True


@pytest.mark.parametrize(
    "answer",
    ["", " \n", "...", "none", "Nothing.", "neither", "I don't know", "N/A", "The answer is", "E",
     "Option Z", "不知道", "\\boxed{}"],
)  # fmt: skip
def test_no_option_is_wrong(answer: str) -> None:
    assert verdict("B", answer, ANIMALS).correct is False


@pytest.mark.parametrize(
    "answer",
    ["kitty", "a hot dog", "Big", "A red one", "BAD", "the second one", "В", "B?", "B? No.",
     "B or not B",
     "~~B~~", "B\u0336", "B ❌", "B is not wrong", "B. The animal is clearly a cat.",
     "B, if it rains",
     "Nobody thinks the answer is B", "If it were dark the answer is B", "I doubt it is B",
     "B or something else", "B. I take that back.", "The answer isn't only B but A",
     "I refuse to say B",
     "B or more", "B and above", "B is an option", "B, etc.", "dog?", "B, right?", "-B",
     "B-52", "vitamin B", "B++", '{"answer": 3', "B\n" + "x" * 30_000],
)  # fmt: skip
def test_what_cannot_be_read_is_undecided_with_a_reason(answer: str) -> None:
    found = verdict("B", answer, ANIMALS)
    assert (found.correct, found.unread) == (None, True)
    assert found.reason


@pytest.mark.parametrize(
    ("choices", "answer", "place"),
    [(YES_NO, "No", 1), (YES_NO, "no.", 1), (YES_NO, "The answer is no", 1), (YES_NO, "Nope", 1),
     (YES_NO, "No, there is no dog.", 1), (YES_NO, "No, it isn't.", 1), (YES_NO, "Yes, it is.", 0),
     (YES_NO, "Yes, there is no dog.", None), (YES_NO, "No dog is visible", None),
     (("True", "False"), "The statement is false.", 1), (("是", "否"), "否", 1),
     (("是", "否"), "是", 0),
     (("3", "5"), "3", 0), (("3", "5"), "The answer is 5.0.", 1), (("3", "5"), "-5", None),
     (("3", "5"), "5%", None), (("3", "5"), "Option 3", None), (("3", "5"), "35", None),
     (("5", "3"), "B) 3", 1), (("1,000", "10"), "答案是1000", 0),
     (("5 m", "5 cm"), "It is 5 cm.", 1),
     (("red", "dark red"), "dark red", 1), (("red", "dark red"), "red", 0),
     (("Red", "red"), "red", 1), (("Red", "red"), "RED", None), (("Red", "red"), "(A)", 0),
     (("visible", "not visible"), "It is not visible", 1), (("dog", "No dog"), "No dog", 1),
     (("cat", "dog", "None of the above"), "None of the above", 2),
     (("cat", "dog", "None of the above"), "none", None),
     (("cat", "dog", "Both A and B"), "Both A and B", 2),
     (("cat", "dog", "cat and dog"), "cat and dog", 2),
     (("left", "right"), "The right answer is left", 0), (("left", "right"), "On the right.", 1),
     (("A", "B", "C"), "(C)", 2),
     (("\\frac{1}{3}", "\\frac{1}{2}"), "$\\frac{1}{2}$", 1),
     (("$5", "$6"), "The answer is $5.", 0),
     (("T-shirt", "shirt"), "a T-shirt", 0), (("A-1", "A-2"), "A-2", 1),
     (("A) cat", "B) dog"), "dog", 1), (("(A) cat", "(B) dog"), "B. dog", 1),
     (("Y", "N"), "A. Y", 0), (("-5", "5"), "5", 1),
     (("-5", "5"), "– 5", 0), (("-5", "5"), "- 5", 0), (("-5", "5"), "B - 5", 1),
     (("x", "y"), "-x", None), (("x", "-x"), "The answer is -x", 1),
     (("Yes", "No"), "No, there isn't.", 1),
     (("Yes", "No"), "Y", 0), (("Yes", "No"), "n", 1), (("cat", "dog", "Neither"), "None", 2),
     (("猫", "狗"), "它是狗", 1),
     (("猫", "狗"), "热狗", None)],
)  # fmt: skip
def test_the_texts_of_the_options_matter(
    choices: tuple[str, ...], answer: str, place: int | None
) -> None:
    found = read(answer, choices)
    assert found.named == (frozenset() if place is None else {place})
    assert bool(found.unread) is (place is None)


def test_words_of_the_question_are_known_in_the_answer() -> None:
    animal = "Which animal lies on the sofa?"
    assert verdict("B", "The animal on the sofa is a dog.", ANIMALS, animal).correct is True
    assert verdict("B", "The animal on the sofa is a dog.", ANIMALS).correct is None
    asked = "Which statement is incorrect?"
    assert verdict("B", "B is incorrect", ANIMALS, asked).correct is None, "or it would be wrong"
    assert verdict("B", "B", ANIMALS, asked).correct is True


def test_a_gold_answer_that_is_no_option_says_nothing_about_the_answer() -> None:
    found = verdict("horse", "B", ANIMALS)
    assert (found.correct, found.unread) == (None, False)


@pytest.mark.parametrize("bit", ["B ", "(", "a-", "1,000,", "'a", "\\boxed{", '{"answer":'])
def test_a_long_answer_is_read_in_linear_time(bit: str) -> None:
    started = time.process_time()
    read(bit * (10_000 // len(bit)), ANIMALS)
    assert time.process_time() - started < 3, "quadratic readers took 4 s"
