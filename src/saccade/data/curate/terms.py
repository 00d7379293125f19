"""The terms of DeepEyes' and DeepEyesV2's selections, and the tool's benefit, for AT-GRPO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from saccade.data.curate.bench import NOT_MEASURED, Bench, Decision
from saccade.data.curate.recipe import CurateRecipe
from saccade.errors import ConfigError
from saccade.rewards.judges import gold_option, gold_text
from saccade.rewards.terms import BENEFIT
from saccade.types import Record, Task


class Structure(Record):
    """A multiple-choice question becomes an open one, whose answer is the text of the option."""

    async def decide(self, questions: Sequence[Task], bench: Bench) -> Mapping[str, Decision]:
        """Drops a question whose gold answer is none of its options."""
        return {question.id: _opened(question) for question in questions if question.choices}


class Verifiability(Record):
    """The gold answer can be read, and the judge accepts it as an answer."""

    max_chars: int = Field(default=300, ge=1)
    """Length of the longest gold answer that counts as readable. Source: DeepEyesV2, reward."""

    async def decide(self, questions: Sequence[Task], bench: Bench) -> Mapping[str, Decision]:
        """Drops a question whose answers could not be checked."""
        return {q.id: Decision(reason=await self._reason(q, bench)) for q in questions}

    async def _reason(self, question: Task, bench: Bench) -> str:
        answer = (question.answer or "").strip()
        if not answer:
            return "no gold answer"
        if len(answer) > self.max_chars or not any(c.isalnum() for c in answer):
            return "the gold answer is not readable"
        verdict = await bench.verdict(question, answer)
        if verdict is None or verdict.correct is None:
            return "the judge cannot decide on the gold answer"
        return "" if verdict.correct else "the judge refuses the gold answer"


class Difficulty(Record):
    """Some of the direct answers are right, not all and not none."""

    above: float = Field(default=0.0, ge=0, le=1)
    """A question stays if more than this share of the direct answers is right ..."""
    below: float = Field(default=1.0, ge=0, le=1)
    """A question stays if less than this share of the direct answers are right."""

    async def decide(self, questions: Sequence[Task], bench: Bench) -> Mapping[str, Decision]:
        """Drops what is too easy or too hard."""
        direct = await bench.direct(questions)
        return {q.id: self._decision(direct[q.id]) for q in questions}

    def _decision(self, share: float | None) -> Decision:
        if share is None:
            return Decision(NOT_MEASURED)
        reason = "too easy" if share >= self.below else ""
        reason = reason or ("" if share > self.above else "too hard")
        return Decision(reason, measures={"direct": share})


class WithoutTools(Record):
    """Hard for the model alone: few of its answers without tools are right, or none.

    Source: DeepEyesV2 (arXiv 2511.05271), data curation: at most 2 of 8.
    """

    most_right: int = Field(default=2, ge=0)
    """Number of right answers, of `curate.samples`, up to which a question stays. Of attempts that
    have no score, the share of right ones counts."""

    def check(self, recipe: CurateRecipe) -> None:
        """The term can drop a question.

        Raises:
            ConfigError: a question stays however many of its answers are right.
        """
        if self.most_right >= recipe.curate.samples:
            raise ConfigError(
                f"curate.terms.most_right: expected less than curate.samples="
                f"{recipe.curate.samples}, got {self.most_right}; nothing would be dropped"
            )

    async def decide(self, questions: Sequence[Task], bench: Bench) -> Mapping[str, Decision]:
        """Drops what needs no tool."""
        direct = await bench.direct(questions)
        most = self.most_right / bench.recipe.curate.samples
        return {q.id: _without(direct[q.id], most) for q in questions}


class WithTools(Record):
    """Nothing is dropped: what is solved with tools is for RL, the rest for the cold start.

    The attempts are episodes with the tools and limits of the run file, in `out/with_tools/`. The
    questions become two task files, `out/rl/tasks.jsonl` and `out/cold_start/tasks.jsonl`.

    Source: DeepEyesV2 (arXiv 2511.05271), data curation. It does not say how many of the 8 attempts
    must be right; the reading with the largest RL set is one.
    """

    sets: ClassVar[tuple[str, ...]] = ("rl", "cold_start")

    least_right: int = Field(default=1, ge=1)
    """Number of right answers, of `curate.samples`, from which on a question is solved. Of attempts
    that have no score, the share of right ones counts."""

    def check(self, recipe: CurateRecipe) -> None:
        """There are tools, and enough attempts.

        Raises:
            ConfigError: the run file has no tools, or a question could never be solved.
        """
        if not recipe.tools:
            raise ConfigError("curate.terms: with_tools plays with the tools of the run file: none")
        if self.least_right > recipe.curate.samples:
            raise ConfigError(
                f"curate.terms.least_right: expected at most curate.samples="
                f"{recipe.curate.samples}, got {self.least_right}"
            )

    async def decide(self, questions: Sequence[Task], bench: Bench) -> Mapping[str, Decision]:
        """Drops only what could not be measured."""
        played = await bench.play("with_tools", questions, sampled=True)
        least = self.least_right / bench.recipe.curate.samples
        return {q.id: _with(played[q.id], least) for q in questions}


class Benefit(Record):
    """How much more often a question is answered right with the tool than at a glance.

    For local models: the first move of the attempts with the tool is forced to be a call. Kept
    questions have the difference as `meta.tool_benefit`; nothing is dropped for it.
    """

    async def decide(self, questions: Sequence[Task], bench: Bench) -> Mapping[str, Decision]:
        """Drops only what could not be measured."""
        direct = await bench.direct(questions)
        looked = await bench.play("benefit", questions, arm="own_box", sampled=True)
        return {q.id: _benefit(q, direct[q.id], looked[q.id]) for q in questions}


class Utility(Record):
    """Wrong at a glance, right when the asked region is shown; a question without a box stays."""

    show: Literal["crop", "tool"] = "crop"
    """How the asked region is shown: as a second image of a question without tools; or, for local
    models, by the zoom tool to a call that the policy is forced to make."""
    wrong_below: float = Field(default=0.5, gt=0, le=1)
    """A question is wrong at a glance if less than this share of the direct answers is right."""

    async def decide(self, questions: Sequence[Task], bench: Bench) -> Mapping[str, Decision]:
        """Drops what needs no look, and what a look does not help."""
        boxed = [question for question in questions if question.boxes]
        direct = await bench.direct(boxed)
        if self.show == "crop":
            shown = await bench.play("utility", boxed, arm="no_tool", ask=_with_region)
        else:
            shown = await bench.play("utility", boxed, arm="true_box")
        return {q.id: self._decision(direct[q.id], shown[q.id]) for q in boxed}

    def _decision(self, direct: float | None, shown: float | None) -> Decision:
        if direct is None or shown is None:
            return Decision(NOT_MEASURED)
        helps = shown >= 0.5
        reason = "" if helps else "wrong even when the region is shown"
        if direct >= self.wrong_below:
            reason = "right at a glance"
        return Decision(reason, measures={"direct": direct, "shown": helps})


def _opened(question: Task) -> Decision:
    """The question without its options, or why it has no answer without them."""
    if gold_option(question) is None:
        return Decision("the answer is none of the options")
    judge = None if question.judge == "choice" else question.judge
    changes = {"choices": (), "answer": gold_text(question), "judge": judge}
    return Decision(question=question.model_copy(update=changes))


def _without(share: float | None, most: float) -> Decision:
    if share is None:
        return Decision(NOT_MEASURED)
    return Decision("right without tools" if share > most else "", measures={"direct": share})


def _with(share: float | None, least: float) -> Decision:
    if share is None:
        return Decision(NOT_MEASURED)
    return Decision(measures={"with_tools": share}, into="rl" if share >= least else "cold_start")


def _benefit(question: Task, direct: float | None, looked: float | None) -> Decision:
    if direct is None or looked is None:
        return Decision(NOT_MEASURED)
    benefit = looked - direct
    noted = question.model_copy(update={"meta": {**question.meta, BENEFIT: benefit}})
    return Decision(question=noted, measures={"direct": direct, "benefit": benefit})


def _with_region(task: Task) -> Task:
    """The question with the asked region as one more image, after the last one."""
    target = task.boxes[0]
    crop = task.images[target.image - 1].cut(target.box)
    place = max(n for n, part in enumerate(task.prompt) if not isinstance(part, str)) + 1
    prompt = (*task.prompt[:place], crop, *task.prompt[place:])
    return task.model_copy(update={"prompt": prompt})
