"""Options that a question shows itself: in its text, or in its picture. They are not moved.

Where a file gives options as a list, they are `Task.choices`: they are shuffled, and shown with
letters. Where the text of the question ends in "(A) yes (B) no", or the picture has figures A to E,
nothing can be moved, and `Task.choices` stays empty. What is known of the options is in
`Task.meta[SHOWN]`, and an answer is read by the same grammar as one to a question with choices:
never as the first capital of a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import JsonValue

from saccade.rewards.choices import read
from saccade.rewards.judges import Choice
from saccade.types import OPTION_LETTERS, Task, Verdict, option_letter

SHOWN = "shown_options"
"""Key of `Task.meta`: the options that the question shows; letters where no more is known."""
RULE = "letters"

_LABEL = re.compile(r"(?<![\w(])(?:\(([A-Z])\)|([A-Z])\s?(?:[.:\uff0e]|\)(?=\s))(?=\s*[^\s;]))\s*")
_LETTER = re.compile(r"\(?[A-Z]\)?")
_LETTERS = re.compile(r"\W*[A-Z](?:(?:\s*,\s*|\s+and\s+|\s*&\s*|\s*)[A-Z]\b)*\W*")
_OR = re.compile(r"\bor\b|[A-Z]\)?\s*/\s*\(?[A-Z]|\u6216", re.IGNORECASE)
"""Between letters of which all are to be named."""
AT_LEAST = 5
"""Letters that a question is taken to have where it does not say."""


class Asked(NamedTuple):
    """A question with options, as a task asks it."""

    question: str
    choices: tuple[str, ...]
    """Empty where the question shows them itself."""
    answer: str
    meta: dict[str, JsonValue]


def asked(question: str, choices: Sequence[str], gold: int) -> Asked:
    """A question with a list of options: as choices, which are shuffled, where that can be done.

    It cannot where an option is a letter, which names something in the picture, or where the right
    one could not be read for sure from its letter and text. Of equal texts the first stays.
    """
    right = choices[gold].strip()
    kept = tuple(dict.fromkeys(choice.strip() for choice in choices))
    place = kept.index(right)
    letters = any(_LETTER.fullmatch(choice) for choice in kept)
    answer = None if letters or len(kept) < 2 else labelled(kept, place)
    if answer is not None:
        return Asked(question, kept, answer, {})
    if are_labels(kept):
        listed = f"Options, as they are marked in the picture: {', '.join(kept)}"
    else:
        listed = "\n".join(f"{option_letter(k)}. {text}" for k, text in enumerate(kept))
    shown: dict[str, JsonValue] = {SHOWN: list(kept)}
    return Asked(f"{question.strip()}\n{listed}", (), option_letter(place), shown)


def options_in(text: str) -> tuple[str, ...]:
    """The options that stand at the end of a question: "(A) yes (B) no", or "A. 2; B. 3; C. 4".

    Empty if there are none that are labelled A, B, ... in this order.
    """
    found = [(match[1] or match[2], match) for match in _LABEL.finditer(text)]
    for start in reversed([place for place, (letter, _) in enumerate(found) if letter == "A"]):
        labels: list[re.Match[str]] = []
        for letter, match in found[start:]:
            # Another letter belongs to the text of an option: "B. Reflection across L. C. ..."
            if letter == OPTION_LETTERS[len(labels) % len(OPTION_LETTERS)]:
                labels.append(match)
        if len(labels) > 1:
            ends = [match.start() for match in labels[1:]] + [len(text)]
            texts = [
                text[m.end() : end].strip(" \n\t;,") for m, end in zip(labels, ends, strict=True)
            ]
            return tuple(t or OPTION_LETTERS[place] for place, t in enumerate(texts))
    return ()


def gold_letters(answer: str) -> frozenset[int]:
    """The places of the letters of a gold answer such as "C" or "A, C"; empty if it is none."""
    if not _LETTERS.fullmatch(answer):
        return frozenset()
    return frozenset(OPTION_LETTERS.index(letter) for letter in re.findall(r"[A-Z]", answer))


def letters_up_to(places: Sequence[int] | frozenset[int]) -> tuple[str, ...]:
    """The letters of a question of which only the right ones are known."""
    return tuple(OPTION_LETTERS[: max(AT_LEAST, *(place + 1 for place in places))])


def labelled(choices: Sequence[str], place: int) -> str | None:
    """The gold answer of a question with choices: its letter with its text.

    None where that cannot be read for sure at every place where the option may be shown.
    """
    for at in range(len(choices)):
        moved = [choice for k, choice in enumerate(choices) if k != place]
        moved.insert(at, choices[place])
        reading = read(f"{option_letter(at)}. {choices[place]}", moved)
        if reading.unread or reading.named != {at}:
            return None
    return f"{option_letter(place)}. {choices[place]}"


def are_labels(choices: Sequence[str]) -> bool:
    """Whether choices are the letters of what the picture shows, in their order."""
    return "".join(choice.strip("()") for choice in choices) == OPTION_LETTERS[: len(choices)]


def with_choices(task: Task) -> Task:
    """The task as a judge is to see it: with the options that its question shows."""
    shown = task.meta.get(SHOWN)
    if task.choices or not isinstance(shown, list):
        return task
    return task.model_copy(update={"choices": tuple(map(str, shown))})


async def judge_shown(task: Task, answer: str) -> Verdict:
    """Whether an answer names exactly the right letters; undecided where it cannot be read."""
    gold = gold_letters(task.answer or "")
    shown = task.meta.get(SHOWN)
    choices = tuple(map(str, shown)) if isinstance(shown, list) else letters_up_to(gold)
    asked = task.model_copy(update={"choices": choices})
    if len(gold) == 1 and not are_labels(choices):
        (place,) = gold
        letter = labelled(choices, place) or option_letter(place)
        verdict = await Choice().judge(asked.model_copy(update={"answer": letter}), answer)
        return verdict.model_copy(update={"judge": RULE})
    reading = read(_spaced(answer), choices, task.question)
    if reading.unread:
        return Verdict(correct=None, reason=reading.unread, judge=RULE, unread=True)
    if len(gold) > 1 and _OR.search(answer):
        return Verdict(correct=None, reason="it leaves a choice", judge=RULE, unread=True)
    if reading.negated and not reading.named:
        return Verdict(correct=None, reason="it only says what is wrong", judge=RULE, unread=True)
    reason = "" if reading.named else "it names no option"
    return Verdict(correct=reading.named == gold, reason=reason, judge=RULE)


def _spaced(answer: str) -> str:
    """Letters that stand together are a list: "AC" is "A, C"."""
    together = re.fullmatch(r"\W*([A-H]{2,8})\W*", answer)
    return ", ".join(together[1]) if together else answer
