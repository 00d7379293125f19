"""Opinions on an answer: right, wrong, or undecided. Undecided is never wrong: it is not scored.

`exact` and `choice` are rules. They are conservative: what they accept is right; an answer in other
words may be called wrong. Where that matters, let `exact` leave it undecided and `llm` come next:

    judge = [{ kind = "exact", mismatch = "undecided" }, { kind = "llm", base_url = "...", ... }]
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Literal, Protocol

from saccade.types import OPTION_LETTERS, Record, Task, Verdict

_QUOTES = " \"'`*\u201c\u201d\u2018\u2019"
_EDGES = _QUOTES + ".,;:!?"
_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d{0,40})(\.\d{1,40})?")
_LETTER = re.compile(r"\(?([A-Za-z])\)?[.):]?")
_LETTER_AND_TEXT = re.compile(r"\(?([A-Za-z])\)?[.):]\s+(.+)", re.DOTALL)
_LEAD_IN = re.compile(
    r"(?:the\s+)?(?:correct\s+|right\s+|final\s+)?(?:answer|option|choice)(?:\s+is)?\s*:?\s+(.+)",
    re.IGNORECASE | re.DOTALL,
)


class Judge(Protocol):
    """Something with an opinion on an answer; a class with its own options.

        class Contains:
            name = "contains"

            class Options(Record):
                case: bool = False

            def __init__(self, options: Options) -> None: ...
            async def judge(self, task: Task, answer: str) -> Verdict: ...
            async def close(self) -> None: ...

    What it does not guarantee belongs into its docstring.
    """

    @property
    def name(self) -> str:
        """As it stands in the verdict: whatever moves verdicts belongs into it."""
        ...

    async def judge(self, task: Task, answer: str) -> Verdict:
        """The verdict on an answer to a task that has a gold answer."""
        ...

    async def close(self) -> None:
        """Give back processes and connections."""
        ...


class Exact(Record):
    """Right if the texts are equal, case, outer punctuation and spaces aside; numbers by value."""

    name: ClassVar[str] = "exact"

    mismatch: Literal["wrong", "undecided"] = "wrong"
    """What an answer in other words is; `undecided` leaves it to the next judge."""

    async def judge(self, task: Task, answer: str) -> Verdict:
        if same_text(task.answer or "", answer):
            return Verdict(correct=True, judge=self.name)
        if self.mismatch == "undecided":
            return Verdict(correct=None, reason="other words", judge=self.name)
        return Verdict(correct=False, judge=self.name)

    async def close(self) -> None:
        """Nothing to give back."""


class Choice:
    """Right if the answer names the right option, by letter, by text, or by both.

    A letter counts only where it stands for itself ("B", "(B)", "B. Intel", "the answer is B"),
    never as the first letter of a word. An answer that names an option whose letter and text
    disagree is wrong. An answer that names no option is wrong, not undecided: otherwise vague
    answers would escape the score.
    """

    name = "choice"

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Undecided only if the gold answer is none of the options."""
        gold = gold_option(task)
        if gold is None:
            reason = f"the gold answer {task.answer!r} is not one of the options"
            return Verdict(correct=None, reason=reason, judge=self.name)
        named = _option(answer, task.choices)
        if not named:
            return Verdict(correct=False, reason="names no option", judge=self.name)
        if len(named) > 1:
            return Verdict(correct=False, reason="names several options", judge=self.name)
        return Verdict(correct=named == {gold}, judge=self.name)

    async def close(self) -> None:
        """Nothing to give back."""


class FirstOf:
    """The verdict of the first judge that decides."""

    name = "first_of"

    def __init__(self, judges: Sequence[Judge]) -> None:
        self._judges = tuple(judges)

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Undecided if all are; then the reasons of all are kept."""
        reasons = []
        for judge in self._judges:
            verdict = await judge.judge(task, answer)
            if verdict.correct is not None:
                return verdict
            reasons.append(f"{judge.name}: {verdict.reason}")
        return Verdict(correct=None, reason="; ".join(reasons), judge=self.name)

    async def close(self) -> None:
        for judge in self._judges:
            await judge.close()


def gold_option(task: Task) -> int | None:
    """The option that the gold answer names, counted from 0; None if it is none, or several."""
    named = _option(task.answer or "", task.choices)
    return named.pop() if len(named) == 1 else None


def same_text(gold: str, answer: str) -> bool:
    """Equal after Unicode compatibility normalisation, case folding, and trimming of the edges.

    Numbers are compared by value: "10" is "10.0" and "1,000" is "1000". Articles, units and word
    order matter.
    """
    a, b = normalised(gold), normalised(answer)
    if a == b:
        return bool(a)
    x, y = _number(a), _number(b)
    return x is not None and x == y


def normalised(text: str) -> str:
    """The form in which texts are compared."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    # A point at the start may belong to a number: .5
    return " ".join(folded.split()).rstrip(_EDGES).lstrip(_QUOTES)


def _number(text: str) -> Decimal | None:
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None


def _option(answer: str, choices: Sequence[str]) -> set[int]:
    """Indices of the options that an answer names."""
    answer = answer.strip()
    if len(answer) > 4000:
        return set()
    by_text = {i for i, text in enumerate(choices) if same_text(text, answer)}
    if by_text:
        return by_text
    if letter := _LETTER.fullmatch(answer.strip(_EDGES)):
        return _index(letter.group(1), choices)
    if both := _LETTER_AND_TEXT.fullmatch(answer):
        named = {i for i, text in enumerate(choices) if same_text(text, both.group(2))}
        return _index(both.group(1), choices) | named if named else set()
    if lead_in := _LEAD_IN.fullmatch(answer):
        return _option(lead_in.group(1), choices)
    return set()


def _index(letter: str, choices: Sequence[str]) -> set[int]:
    index = OPTION_LETTERS.index(letter.upper())
    return {index} if index < len(choices) else set()
