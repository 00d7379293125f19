"""What benchmarks of mathematics share: the order of their rules, and what a judge is shown.

An answer to a question with options is read as a choice; a number is compared as a number, within
what the question says of decimals; everything else goes to the judge `math`, whose worker process
can be killed. What none of them can read is left to a language model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from pydantic import PrivateAttr

from saccade.bench.benchmark import Benchmark
from saccade.bench.scorers.maths.numbers import decimals, measured, same_number
from saccade.bench.scorers.maths.options import SHOWN, judge_shown, with_choices
from saccade.rewards.judges import Judge
from saccade.rewards.math import Math, MathOptions
from saccade.rewards.maths.written import written
from saccade.rewards.text import same_text
from saccade.types import Task, Verdict

WITHIN = "within"
"""Key of `Task.meta`: by how much a number may differ from the gold one."""
UNIT_OF_ANSWER = "answer_unit"
"""Key of `Task.meta`: the unit in which the question asks for a number."""


_OPEN = re.compile(
    r"[?\uff1f]\W*$|\b[12]\d{2}0['\u2019]?s\W*$|\d\s*!\W*$"
    r"|\d\s?(?:[kKMB]n?|thousand|[mbtr]+illion|dozen)\b\.?\W*$"
)
"""What ends so is a guess, a decade, a factorial, or a number on a scale that nobody reads here."""


class MathsBenchmark(Benchmark):
    """A benchmark whose answers are options, numbers or expressions."""

    _math: Math | None = PrivateAttr(default=None)

    async def judge(self, task: Task, answer: str) -> Verdict:
        """An option by letter or text; a number by value; else as the judge `math` does."""
        if not answer.strip():
            return Verdict(correct=False, reason="no answer", judge=self.name)
        if _OPEN.search(answer.rstrip()[-40:]) and not _OPEN.search(task.answer or ""):
            reason = "it asks, or is not the number that it looks like"
            return Verdict(correct=None, reason=reason, judge=self.name, unread=True)
        if SHOWN in task.meta and not task.choices:
            verdict = await judge_shown(task, answer)
            shown = with_choices(task)
            single = verdict.correct is None and len(task.answer or "") == 1
            return await self._compared(shown, answer, verdict) if single else verdict
        if task.choices:
            return await self._compared(task, answer, None)
        return await self.judge_value(task, answer)

    async def judge_value(self, task: Task, answer: str) -> Verdict:
        """The rule for questions without options."""
        found = judge_number(task, answer) or judge_words(task, answer)
        return found or await self._compared(task, answer, None)

    async def _compared(self, task: Task, answer: str, before: Verdict | None) -> Verdict:
        if self._math is None:
            self._math = Math(MathOptions())
        verdict = await self._math.judge(task, answer)
        return before if before is not None and verdict.correct is None else verdict

    def judging(self, model: Judge) -> Judge:
        """A model is shown the options that stand in the question beside their letters."""
        return Instructed(model, lambda task: "", seen=with_choices)

    async def close(self) -> None:
        """Stop the worker processes."""
        if self._math is not None:
            await self._math.close()


def judge_number(task: Task, answer: str) -> Verdict | None:
    """Whether an answer gives the gold number; None where one side is no number alone.

    Within half a unit of the last decimal that the question asks for, `Task.meta[WITHIN]`, a number
    rounds to the gold one.
    """
    unit = task.meta.get(UNIT_OF_ANSWER)
    gold = measured(f"{task.answer} {unit}") if unit else measured(task.answer or "")
    gold = gold or measured(task.answer or "")
    found = measured(answer)
    if gold is None or found is None:
        return None
    within = task.meta.get(WITHIN)
    tolerance = float(within) if isinstance(within, int | float) else 0.0
    equal = same_number(gold, found, tolerance, task.question)
    if equal is False and _rounds(task.answer or "", gold.value, answer, found.value):
        reason = "a decimal for a number that has none"
        return Verdict(correct=None, reason=reason, judge="number", unread=True)
    return None if equal is None else Verdict(correct=equal, judge="number")


def _rounds(written_gold: str, gold: float, answer: str, value: float) -> bool:
    """Whether a decimal is the gold root, fraction or multiple of pi, rounded to its places."""
    places = decimals(answer)
    exact = re.search(r"[\\/\u03c0\u221a]|sqrt|pi", written_gold) is not None
    return exact and places > 1 and abs(gold - value) <= 0.5 * 10**-places


def judge_words(task: Task, answer: str) -> Verdict | None:
    """Whether an answer is the gold text, or another word than a gold word; None for all else."""
    gold, text = (written(side) for side in (task.answer or "", answer))
    if gold and same_text(gold, text):
        return Verdict(correct=True, judge="text")
    words = all(len(side) > 2 and side.isalpha() for side in (gold, text))
    return Verdict(correct=False, judge="text") if words else None


class Instructed:
    """A judge that is told, below the question, what makes an answer to it right."""

    def __init__(
        self,
        judge: Judge,
        instructions: Callable[[Task], str],
        *,
        seen: Callable[[Task], Task] = lambda task: task,
        texts: str = "",
    ) -> None:
        """Put instructions below each question.

        Args:
            judge: Who judges.
            instructions: What it is told; "": nothing more.
            seen: What it sees of a task.
            texts: All that it may be told: the name of the judge holds its hash.
        """
        self._judge, self._instructions, self._seen = judge, instructions, seen
        self._mark = f"+{hashlib.sha256(texts.encode()).hexdigest()[:8]}" if texts else ""

    @property
    def name(self) -> str:
        return self._judge.name + self._mark

    async def judge(self, task: Task, answer: str) -> Verdict:
        shown = self._seen(task)
        if more := self._instructions(task):
            shown = shown.model_copy(update={"prompt": (*shown.prompt, f"({more})")})
        verdict = await self._judge.judge(shown, answer)
        return verdict.model_copy(update={"judge": verdict.judge + self._mark})

    async def close(self) -> None:
        await self._judge.close()
