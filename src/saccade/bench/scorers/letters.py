"""Which option VLMEvalKit takes a reply for, and which of yes and no; for `--compat` alone.

These are restatements of what its functions do, mistakes included. They are not how Saccade judges:
"Based on the image, the answer is C" is B here, since a B comes first.

Source: VLMEvalKit e8e78f05, vlmeval/utils/matching_util.py (`can_infer`, `can_infer_option`,
`can_infer_text`), vlmeval/dataset/utils/multiple_choice.py (`extract_characters_regex`),
vlmeval/dataset/utils/yorn.py (`YOrN_Extraction`), vlmeval/smp/misc.py (`process_punctuation`);
AoiDragon/POPE, evaluate.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from saccade.rewards.judges import gold_option
from saccade.types import Task, option_letter

NONE_OF_THEM = "Z"
"""What VLMEvalKit calls a reply that names no option; it is wrong."""
YesNo = Literal["yes", "no"]

_FAILED = "Failed to obtain answer via API"
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_BETWEEN = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_SAID = re.compile(r"(?i)(?:correct\s+)?answer\s+is\s+\**([ABCD])\**")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_OPENINGS = (
    "The best answer is", "The correct answer is", "The answer is", "The answer",
    "The best option is", "The correct option is", "Best answer:", "Best option:",
)  # fmt: skip
_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_COMMA = re.compile(r"\d,\d")
_POINT = re.compile(r"(?<!\d)\.(?!\d)")


def inferred_letter(reply: str, options: Mapping[str, str]) -> str | None:
    """What `can_infer` makes of a reply: a letter, `NONE_OF_THEM`, or None: then a model is asked.

    Where that model fails, VLMEvalKit draws an option by lot.
    """
    return _by_letter(reply, options) or _by_text(reply, options)


def inferred(task: Task, reply: str) -> float | None:
    """Whether `can_infer` finds the right option; None where a model is asked."""
    letter = inferred_letter(reply, options_of(task))
    return None if letter is None else float(letter == gold_letter(task))


def first_capital(reply: str) -> str:
    """What `extract_characters_regex` makes of a reply: the first capital from A to E.

    An empty reply is part of "(A)", and so is A. Empty: nothing was found, which is wrong.
    """
    text = reply.strip()
    for opening in _OPENINGS:
        text = text.replace(opening, "")
    if found := re.search("[ABCDE]", text):
        return found[0]
    if len(text.split()) > 10:
        return ""
    return next((letter for letter in "ABCDE" if text.lower() in f"({letter})".lower()), "")


def by_first_capital(task: Task, reply: str) -> float:
    """Whether that is the right option, in what stands between answer tags if there are any."""
    tagged = _ANSWER.search(reply)
    text = tagged[1].strip().upper() if tagged else reply
    return float(first_capital(text) == gold_letter(task))


def yes_or_no(reply: str) -> YesNo | None:
    """What `YOrN_Extraction` makes of a reply; None is its "Unknown"."""
    words = _without_marks(reply.lower()).split()
    if ("yes" in words) == ("no" in words):
        return None
    return "yes" if "yes" in words else "no"


def pope_says(reply: str) -> YesNo:
    """What the script of the authors of POPE makes of a reply: whatever is not no is yes."""
    first = reply.split(".", 1)[0]
    words = first.replace(",", "").split(" ")
    return "no" if {"No", "not", "no"} & set(words) else "yes"


def options_of(task: Task) -> dict[str, str]:
    """Letter -> option, as shown."""
    return {option_letter(place): text for place, text in enumerate(task.choices)}


def gold_letter(task: Task) -> str:
    """The letter of the right option, as shown; empty if none is known."""
    answer, options = task.answer or "", options_of(task)
    if answer == f"{answer[:1]}. {options.get(answer[:1])}":  # as readers write it
        return answer[:1]
    gold = gold_option(task) if options else None
    return "" if gold is None else option_letter(gold)


def _by_letter(reply: str, options: Mapping[str, str]) -> str | None:
    if _FAILED in reply:
        return None
    if any(refusal in reply for refusal in _REFUSALS):
        return NONE_OF_THEM
    words = reply.translate(_BETWEEN).split()
    named = [letter for letter in options if letter in words]
    if len(named) == 1 and words.index(named[0]) > len(words) - 5:
        return named[0]
    if not named and NONE_OF_THEM in words:
        return NONE_OF_THEM
    said = _SAID.search(reply)
    return said[1].upper() if said and said[1].upper() in options else None


def _by_text(reply: str, options: Mapping[str, str]) -> str | None:
    text = reply.lower()
    if len(text) > 2 * sum(map(len, options.values())):
        return None
    found = [letter for letter, option in options.items() if option.lower() in text]
    return found[0] if len(found) == 1 else None


def _without_marks(text: str) -> str:
    """Marks are blanks, unless one stands beside a blank somewhere: then that mark is nothing."""
    made = text
    numbers = _COMMA.search(text) is not None
    for mark in _MARKS:
        beside = f"{mark} " in text or f" {mark}" in text
        made = made.replace(mark, "" if beside or numbers else " ")
    return _POINT.sub("", made, count=32)
