"""Opinions on an answer: right, wrong, or undecided with a reason.

`exact` and `choice` are rules. They are conservative: what they accept is right. What they cannot
read they leave undecided, and the next judge of the list is asked:

    judge = ["exact", { kind = "llm", base_url = "http://127.0.0.1:8001/v1", model = "JUDGE" }]

A judge that *failed* (a server that is down) raises; it has no opinion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol

from saccade.rewards.choices import BEYOND, read
from saccade.rewards.text import same_text
from saccade.types import Record, Task, Verdict, option_letter


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

    mismatch: Literal["wrong", "undecided"] | None = None
    """What an answer in other words is. None: undecided where another judge comes next in the list,
    wrong where none does."""

    async def judge(self, task: Task, answer: str) -> Verdict:
        if same_text(task.answer or "", answer):
            return Verdict(correct=True, judge=self.name)
        if self.mismatch == "undecided":
            return Verdict(correct=None, reason="other words", judge=self.name, unread=True)
        return Verdict(correct=False, judge=self.name)

    async def close(self) -> None:
        """Nothing to give back."""


class Choice:
    """Right if the answer names the right option, by letter, by text, or by both.

    Wrong: an answer that names another option, several, a letter that the question does not have,
    or none ("", "Nothing"), and one that says that the right option is wrong. Undecided: what
    `saccade.rewards.choices` cannot read, other words for an option among it. It does not guarantee
    that an answer is meant as it is written: "B" is right, whatever was thought before it.

    Where the texts of options are letters, a capital is the letter of an option, in the gold answer
    as in others: that is what is asked for. An answer that would be right by the text is undecided.
    Digits are texts, never places.
    """

    name = "choice"

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Undecided also if the gold answer is none of the options."""
        gold = gold_option(task)
        if gold is None:
            reason = f"the gold answer {task.answer!r} is not one of the options"
            return Verdict(correct=None, reason=reason, judge=self.name)
        reading = read(answer, task.choices, task.question)
        if reading.unread and (gold in reading.named or not reading.named):
            return self._unread(reading.unread)
        if reading.named:
            reason = "" if len(reading.named) == 1 else "it names several options"
            right = reading.named == {gold}
            if gold in reading.also:
                return self._unread("it may be the letter of an option or the text of another")
        elif gold in reading.negated or not reading.negated:
            right, reason = False, "it names no option"
        else:
            return self._unread("it only says what is wrong")
        return Verdict(correct=right, reason=reason, judge=self.name)

    def _unread(self, reason: str) -> Verdict:
        return Verdict(correct=None, reason=reason, judge=self.name, unread=True)

    async def close(self) -> None:
        """Nothing to give back."""


class FirstOf:
    """The verdict of the first judge that decides."""

    name = "first_of"

    def __init__(self, judges: Sequence[Judge]) -> None:
        """Put judges in an order; `Exact` leaves what does not match to those after it."""
        self.judges = (*map(_leaves_mismatches, judges[:-1]), *judges[-1:])

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Undecided if all are; then the reasons of all are kept.

        Raises:
            ServiceError: a judge that was asked failed. Those after it are not asked: which judge
                decides an episode must not depend on which server was up.
        """
        reasons, unread = [], True
        for judge in self.judges:
            verdict = await judge.judge(task, answer)
            if verdict.correct is not None:
                return verdict
            reasons.append(f"{judge.name}: {verdict.reason}")
            unread = unread and verdict.unread
        reason = "; ".join(reasons)
        return Verdict(correct=None, reason=reason, judge=self.name, unread=unread)

    async def close(self) -> None:
        for judge in self.judges:
            await judge.close()


def _leaves_mismatches(judge: Judge) -> Judge:
    if isinstance(judge, Exact) and judge.mismatch is None:
        return judge.model_copy(update={"mismatch": "undecided"})
    return judge


def gold_option(task: Task) -> int | None:
    """The option that the gold answer names, counted from 0; None if it is none, or several."""
    reading = read(task.answer or "", task.choices)
    if reading.unread or len(reading.named) != 1 or BEYOND in reading.named:
        return None
    return next(iter(reading.named))


def gold_text(task: Task) -> str:
    """The gold answer as text: of a question with options the text of the right one."""
    place = gold_option(task) if task.choices else None
    return (task.answer or "") if place is None else task.choices[place]


def gold_with_letter(task: Task) -> str:
    """The same with the letter of the option before it: "B. dog"."""
    place = gold_option(task) if task.choices else None
    return (task.answer or "") if place is None else f"{option_letter(place)}. {gold_text(task)}"
