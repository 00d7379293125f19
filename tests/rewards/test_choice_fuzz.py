"""Answers that name two options, none, or negate one: no gold answer may make them right.

What an answer says is known by construction: it is put together from a sentence with gaps and the
options that go into them, without the code that it checks.
`python tests/rewards/test_choice_fuzz.py SEED N` tries another seed or more answers, and prints how
many good answers are read.
"""

# ruff: noqa: RUF001 (other scripts are what it is about)

import random
import sys
import time
from collections import Counter
from typing import NamedTuple

import pytest
from building import a_task

from saccade.rewards import judges
from saccade.rewards.choices import Reading
from saccade.rewards.judges import Choice

PLAIN_POOLS = [
    ("cat", "dog", "bird", "fish"),
    ("Pepsi", "Coca-Cola", "a red car", "Sprite"),
    ("red", "dark red", "blue", "light blue"),
    ("on the table", "under the table", "beside the table"),
    ("3", "5", "12", "1,000"),
    ("2.5 cm", "5 m", "5 cm", "$5"),
    ("left", "right", "both sides"),
    ("The man holds an umbrella.", "The man holds a phone.", "The woman holds a phone."),
    ("猫", "狗", "鸟", "鱼"),
    ("\\frac{1}{2}", "\\frac{1}{3}", "\\sqrt{2}"),
    ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
]
POOLS = [
    *PLAIN_POOLS,
    ("Yes", "No"),
    ("True", "False"),
    ("dog", "No dog"),
    ("visible", "not visible", "Cannot be determined"),
    ("cat", "dog", "None of the above", "All of the above"),
    ("cat", "Cat", "dog"),
    ("A", "B", "C", "D"),
    ("2", "1", "4", "3"),
]

LETTER = ["{l}", "({l})", "[{l}]", "**{l}**", "{l}.", "【{l}】", "（{l}）", "\\boxed{{{l}}}",
          "`{l}`", "Option {l}", "option ({l})", "$\\boxed{{\\text{{{l}}}}}$"]  # fmt: skip
BOTH = ["{l}. {t}", "({l}) {t}", "{l}) {t}", "{l}: {t}", "{l} - {t}", "**{l}. {t}**", "{t} ({l})"]

TWO = [
    "{x} or {y}", "{x} and {y}", "{x}/{y}", "{x}, {y}", "{x} {y}", "{x}\n{y}", "Either {x} or {y}",
    "Both {x} and {y}", "{x}, or maybe {y}", "{x} or possibly {y}", "{x} (or {y})", "{x} & {y}",
    "The answer is {x} or {y}.", "The answer is {x}. The answer is {y}.", "Answer: {x}, {y}",
    "Answer: {x}\nAnswer: {y}", "{x}. But {y} is also correct.", "{x}. Alternatively, {y}.",
    "I think {x}, but it could be {y}.", "{x}, though {y} looks right too.", "{x}; {y}",
    "It is {x}. No wait, it is {y}.", "{x}. Actually {y}.", "It may be {x}; it may be {y}",
    "The answer is {x}, as well as {y}.", "{x} + {y}", "{x} 或 {y}", "{x}和{y}", "答案是{x}或{y}",
    "选{x}，也可以选{y}", "First I would say {x}, then {y}.", "{x} vs {y}", "{x} | {y}",
    "The answer is {x}. Hmm, {y} fits better.", "{x}... or rather {y}", "{x} oder {y}",
    "La respuesta es {x} o {y}", "Possible answers: {x}, {y}", "{x} and/or {y}", "{x} then {y}",
    "Correct options: {x} {y}", "{x} is correct. {y} is correct.", "{x}\n\nor\n\n{y}",
    '{{"answer": "{x} or {y}"}}', '{{"answer": ["{x}", "{y}"]}}', "<answer>{x} or {y}</answer>",
    "Between {x} and {y}.", "It is between {x} and {y}", "{x}? {y}?", "{x}? Or {y}?",
    "\\boxed{{{x}}} or \\boxed{{{y}}}", "Not only {x} but {y}", "{x} unless it is {y}",
    "If it is day {x}, if it is night {y}", "{x} if not {y}", "not sure, {x} or {y}",
    "{x} > {y}", "{x} is as good as {y}", "{x} is right and so is {y}", "The answer is {x}→{y}",
    "{x} is {y}", "{x} may be right. Yet I choose {y}", "{x}\n---\n{y}", "1. {x}\n2. {y}",
    "{x}, and perhaps also {y}", "Some say {x}, others {y}", "{x} (alternatively {y})",
    "{x} vs. {y}", "Either {x} or {y}, but more likely {y}", "{x}, right? Or {y}.",
    "Options are {x}, {y}. The answer is {x} or {y}.", "{x}. In the end both {x} and {y}.",
]  # fmt: skip
NEGATED = [
    "Not {x}", "not {x}.", "NOT {x}", "It is not {x}", "It isn't {x}", "The answer is not {x}.",
    "The answer isn't {x}", "{x} is wrong", "{x} is incorrect.", "{x} is not correct",
    "{x} isn't it",
    "{x} is not the answer", "{x} is not right", "{x} is false.", "Anything but {x}", "All but {x}",
    "Everything except {x}", "Any option except {x}", "Certainly not {x}", "Definitely not {x}!",
    "Never {x}", "It can't be {x}", "It cannot be {x}", "I would rule out {x}", "I'd exclude {x}",
    "{x}? No.", "{x}? Certainly not.", "{x}: no", "{x} - wrong", "{x} ✗", "{x} ❌", "~~{x}~~",
    "!{x}",
    "¬{x}", "≠ {x}", "{x} is the wrong choice", "The wrong answer is {x}",
    "The only wrong one is {x}",
    "It would be wrong to answer {x}", "I doubt that it is {x}", "Nobody thinks the answer is {x}",
    "{x} would be a mistake", "{x} can be excluded", "By no means {x}",
    "{x} is out of the question",
    "Whatever it is, it is not {x}", "I refuse to say {x}", "{x} does not fit",
    "{x} has been ruled out",
    "{x} is unlikely", "Hardly {x}", "The opposite of {x}", "Other than {x}", "Don't choose {x}",
    "Do not pick {x}", "不是{x}", "答案不是{x}", "{x}不对", "{x}是错的", "不选{x}", "排除{x}",
    "除了{x}",
    "nicht {x}", "Ce n'est pas {x}", "No es {x}", "Neither {x}", "without {x}", "Far from {x}",
    "{x} is not the correct answer, it is a distractor.", "Eliminate {x}",
    "None of them, not even {x}",
    "To say {x} would be a lie", "{x} is a trap", "It is never {x}", "{x} was not it", "{x}, not.",
    "<answer>not {x}</answer>", '{{"answer": "not {x}"}}', "\\boxed{{\\text{{not }}{x}}}",
    "not \\boxed{{{x}}}", "Answer: not {x}", "The answer is: not {x}",
    "The answer is anything but {x}",
    "{x} or more", "{x} and above", "{x}, etc.", "{x} is one option", "{x}, right?", "{x} or so",
    "If it were darker, {x}", "Unless I err, it is not {x}", "I am unable to confirm {x}",
]  # fmt: skip
NONE = [
    "", " ", "...", "-", "Nothing", "None", "none of them", "I don't know", "Unknown.", "?", "N/A",
    "I cannot tell", "The answer is", "Answer:", "The options", "Bold guess", "Apple", "BAD",
    "ABCD",
    "A good one", "I see", "Big", "Dear me", "Based on the image", "ANSWER", "E=mc2", "THE RED BUS",
    "A horse", "В", "С", "Z", "(Z)", "Option Z", "\\boxed{}", "{}", "[]", "()", "<answer></answer>",
    '{"answer": ""}', '{"answer": null}', "the first", "the second one", "the last option",
    "It depends", "all", "both", "any", "either", "Certainly", "42 horses", "选", "答案", "不知道",
    "I am a language model", "Let me zoom in.", "A/C", "B-52", "Plan B from outer space", "C++",
    "vitamin C", "D-Day", "Cats and dogs", "birdhouse", "hotdog", "\u0412", "\u0410", "\u0421",
]  # fmt: skip
GOOD = [
    "{x}", "{x}.", "{x}\n", "Answer: {x}", "answer: {x}", "**Answer:** {x}", "Answer:{x}",
    "The answer is {x}", "The answer is {x}.", "The correct answer is {x}.", "The answer is: {x}",
    "So the answer is {x}.", "Therefore, the correct option is {x}.", "It's {x}", "It is {x}.",
    "I think it's {x}", "I would choose {x}.", "Final answer: {x}", "### Final Answer\n{x}",
    "Based on the image, the answer is {x}.", "Let me look closely.\n{x}", "My answer is {x}!",
    "The dial points up.\nAnswer: {x}", "<answer>{x}</answer>", "The correct choice is {x}",
    "{x} is correct", "{x} is the correct answer.", "答案是{x}", "答案：{x}", "正确答案是{x}。",
    "选{x}",
    "正确选项为 {x}", "我选择{x}", "因此，答案是{x}", "Die richtige Antwort ist {x}.",
    "Réponse : {x}",
    "La respuesta correcta es {x}.", "Ответ: {x}", "答えは{x}です", "정답은 {x}입니다",
    "The answer is {x} because the shape is round.", "{x}, since the light is on.",
    "The answer is\n\n{x}", "Thus, {x}.", "{x} seems right.", "Most likely {x}.",
]  # fmt: skip


class Case(NamedTuple):
    """An answer with what it says."""

    kind: str
    choices: tuple[str, ...]
    answer: str
    option: int | None
    """The option that it names, if it names one clearly."""


def mention(rng: random.Random, choices: tuple[str, ...], place: int) -> str:
    """An option, as models write it."""
    letter, text = chr(ord("A") + place), choices[place]
    # Texts that are letters, and texts equal up to case, are told apart by their letters only.
    ambiguous = len(text) == 1 or sum(t.casefold() == text.casefold() for t in choices) > 1
    style = rng.randrange(2) if ambiguous else rng.randrange(4)
    if style == 2:
        return text
    form = rng.choice(BOTH if style == 3 else LETTER)
    letter = rng.choice([letter, letter, letter, chr(ord(letter) + 0xFEE0)])
    return form.format(l=letter, t=text)


def disguised(rng: random.Random, answer: str) -> str:
    """The same to a reader: bold, other spaces, signs that are not seen."""
    kind = rng.randrange(8)
    if kind == 0:
        return f"**{answer}**"
    if kind == 1:
        return answer.replace(" ", "  ")
    if kind == 2 and answer:
        place = rng.randrange(len(answer))
        return answer[:place] + rng.choice("\u200b\u2060\ufeff") + answer[place:]
    if kind == 3:
        return f" {answer}\n"
    return answer


def made(rng: random.Random, kind: str) -> Case:
    pool = rng.choice(PLAIN_POOLS if kind == "negated" else POOLS)
    choices = tuple(rng.sample(pool, len(pool)))
    x, y = rng.sample(range(len(choices)), 2)
    if kind == "none":
        return Case(kind, choices, rng.choice(NONE), None)
    sentence = rng.choice({"two": TWO, "negated": NEGATED, "good": GOOD}[kind])
    if sentence == "{x} {y}" and x == 0:  # "A dog" names the dog
        sentence = "{x}, {y}"
    gaps = {"x": mention(rng, choices, x), "y": mention(rng, choices, y)}
    answer = disguised(rng, sentence.format(**gaps))
    return Case(kind, choices, answer, x if kind == "good" else None)


def verdicts(case: Case) -> list[bool | None]:
    """What the judge says of the answer, for each of the options as the gold one."""
    judge, found = Choice(), []
    for place in range(len(case.choices)):
        task = a_task(answer=chr(ord("A") + place), choices=case.choices)
        coroutine = judge.judge(task, case.answer)
        try:
            coroutine.send(None)
        except StopIteration as done:
            found.append(done.value.correct)
    return found


def fuzz(seed: int, n: int) -> Counter[str]:
    """Check n bad answers and n / 4 good ones; returns how many of which were read."""
    rng, counts = random.Random(seed), Counter[str]()
    for _ in range(n):
        case = made(rng, rng.choice(["two", "negated", "none"]))
        found = verdicts(case)
        counts[f"{case.kind}: undecided" if None in found else f"{case.kind}: wrong"] += 1
        assert True not in found, case
    for _ in range(n // 4):
        case = made(rng, "good")
        found = verdicts(case)
        assert case.option is not None
        wrong = [place for place, verdict in enumerate(found) if verdict is True]
        assert wrong in ([], [case.option]), case
        counts[f"good: {found[case.option]}"] += 1
    return counts


def test_no_bad_answer_is_right_and_good_ones_are_read() -> None:
    counts = fuzz(seed=0, n=300)
    good = {name: n for name, n in counts.items() if name.startswith("good")}
    assert good["good: True"] >= 0.98 * sum(good.values())


def test_the_oracle_notices_a_reader_that_takes_the_last_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def last(answer: str, choices: tuple[str, ...], question: str = "") -> Reading:
        places = {answer.rfind(chr(ord("A") + place)): place for place in range(len(choices))}
        best = max(places)
        return Reading(frozenset({places[best]})) if best >= 0 else Reading(unread="nothing")

    monkeypatch.setattr(judges, "read", last)
    with pytest.raises(AssertionError):
        fuzz(seed=0, n=200)


if __name__ == "__main__":
    started = time.monotonic()
    for name, count in sorted(fuzz(int(sys.argv[1]), int(sys.argv[2])).items()):
        sys.stdout.write(f"{name:20} {count}\n")
    sys.stdout.write(f"seed {sys.argv[1]}: {time.monotonic() - started:.0f} s\n")
