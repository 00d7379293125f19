"""What a term of a curation is, and what it may use: the judge, and attempts that are kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import JsonValue

from saccade.arms import apply_arm, targets_of
from saccade.data.curate.recipe import CurateRecipe
from saccade.errors import PluginError
from saccade.measures.summary import is_correct
from saccade.recipe import make_tasks
from saccade.runs.assemble import Assembly
from saccade.runs.diagnosis import RunWatch
from saccade.runs.execute import jobs_of, play
from saccade.runs.folder import RunReader
from saccade.types import Action, Completion, StopReason, Task, Trajectory, Turn, Verdict

_log = logging.getLogger(__name__)

NOT_MEASURED = "not measured: no attempt has a score"

Progress = Callable[[str, int, int], None]
"""Name of a run folder, episodes done, episodes in all."""

Shares = dict[str, float | None]
"""Task id -> share of the attempts that are right; None if none of them has a score."""


@dataclass(frozen=True)
class Decision:
    """What a term says of a question."""

    reason: str = ""
    """Why the question is dropped; empty if it stays."""
    question: Task | None = None
    """The question as it is asked from now on; its id and prompt stay as they are."""
    measures: Mapping[str, JsonValue] = field(default_factory=dict)
    """What was measured, for the report."""
    into: str = ""
    """The set that the question goes to if it stays, one of `Sorts.sets`; empty: no other than
    before."""


class Term(Protocol):
    """Something that decides which questions stay; a class with its own options.

    class Short(Record):
        most: int = 200

        async def decide(
            self, questions: Sequence[Task], bench: Bench
        ) -> Mapping[str, Decision]:
            long = (q for q in questions if len(q.question) > self.most)
            return {q.id: Decision(reason="too long") for q in long}
    """

    async def decide(self, questions: Sequence[Task], bench: Bench) -> Mapping[str, Decision]:
        """Task id -> decision; a question that is not among them stays as it is.

        Args:
            questions: Those that no term has dropped, as they are asked, but without their images:
                a large set does not fit in memory. `bench.drawn` gives them with their images.
            bench: Judges answers and plays episodes.
        """
        ...


@runtime_checkable
class Sorts(Protocol):
    """A term that puts what stays into several sets, each of which becomes a task file."""

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of folders; the first is what reinforcement learning gets."""
        ...


@runtime_checkable
class Checked(Protocol):
    """A term that can tell before a curation whether it can work."""

    def check(self, recipe: CurateRecipe) -> None:
        """Look for what would fail; nothing is played and no model is loaded.

        Raises:
            SaccadeError: the term cannot work.
        """
        ...


class Bench:
    """The judge and the policy of a curation; what the policy does is kept in run folders."""

    def __init__(self, recipe: CurateRecipe, assembly: Assembly, on_progress: Progress) -> None:
        self._recipe, self._assembly, self._on_progress = recipe, assembly, on_progress
        self._direct: Shares = {}
        self.aborted = 0
        """Number of attempts that failed on our side; a rerun makes them again."""
        self._watch = RunWatch()

    @property
    def recipe(self) -> CurateRecipe:
        """The run file."""
        return self._recipe

    def report(self, what: str, done: int, total: int) -> None:
        """Say how far something has come that plays no episodes."""
        self._on_progress(what, done, total)

    def drawn(self, questions: Iterable[Task]) -> Iterator[Task]:
        """The questions with their images, one by one, in the order of their source."""
        wanted = {question.id: question for question in questions}
        for task in make_tasks(self._recipe):
            if question := wanted.get(task.id):
                yield question.model_copy(update={"prompt": task.prompt})

    async def verdict(self, question: Task, answer: str) -> Verdict | None:
        """What the reward's judge says of an answer; None for a question without a gold answer.

        Raises:
            PluginError: the reward raised: that decides nothing about a question.
        """
        turn = Turn(completion=Completion(text=""), action=Action(answer=answer))
        done = self._assembly.environment.begin(question).model_copy(
            update={"turns": (turn,), "stop": StopReason.ANSWER}
        )
        judged = await self._assembly.reward.apply(question, done)
        if judged.error is not None:
            raise PluginError(f"question {question.id}: {judged.error}")
        return judged.verdict

    async def direct(self, questions: Sequence[Task]) -> Shares:
        """How often each question is answered right at a glance; every term sees the same attempts.

        They are kept in `out/direct/`.
        """
        if new := [question for question in questions if question.id not in self._direct]:
            arm = "no_tool" if self._recipe.curate.direct == "plain" else "direct"
            self._direct |= await self.play("direct", new, arm=arm, sampled=True, max_turns=1)
        return {question.id: self._direct[question.id] for question in questions}

    async def play(
        self,
        name: str,
        questions: Sequence[Task],
        *,
        arm: str = "agent",
        sampled: bool = False,
        max_turns: int | None = None,
        ask: Callable[[Task], Task] | None = None,
    ) -> Shares:
        """How often each question is answered right; what `out/name/` holds is not played again.

        Args:
            name: Name of the run folder; two terms with different attempts need two.
            questions: With or without their images.
            arm: A key of `saccade.arms.ARMS`.
            sampled: `curate.samples` attempts at `curate.temperature`; otherwise one greedy one.
            max_turns: Turns of an episode; None: as the run file says.
            ask: Changes a question, with its images, before it is asked.

        Raises:
            ConfigError: the folder holds other attempts, or the dialect cannot force what the arm
                needs.
            ServiceError: too many episodes in a row failed on our side.
        """
        if not questions:
            return {}
        out = Path(self._recipe.out) / name
        recipe = self._sampled() if sampled else self._recipe
        policy, environment, reward = self._assembly
        policy, environment = apply_arm(arm, policy, environment, targets_of(questions))
        if max_turns is not None:
            limits = environment.record.limits.model_copy(update={"max_turns": max_turns})
            environment = environment.replace(limits=limits)
        done, total = 0, len(questions) * recipe.samples

        def on_finish(task: Task, trajectory: Trajectory) -> None:
            nonlocal done
            done += 1
            self.aborted += trajectory.error is not None
            if (said := self._watch.add(task, trajectory)) is not None:
                _log.warning(said)
            self._on_progress(name, done, total)

        def on_resume(number: int) -> None:
            nonlocal done
            done = number
            self._on_progress(name, done, total)

        tasks = self.drawn(questions) if ask is None else map(ask, self.drawn(questions))
        await play(
            "curate",
            recipe,
            Assembly(policy, environment, reward),
            jobs_of(recipe, tasks),
            out,
            on_finish=on_finish,
            on_resume=on_resume,
        )
        return _shares(out, questions, recipe.samples)

    def _sampled(self) -> CurateRecipe:
        options = self._recipe.curate
        sampling = self._recipe.sampling.model_copy(update={"temperature": options.temperature})
        return self._recipe.model_copy(update={"samples": options.samples, "sampling": sampling})


def _shares(folder: Path, questions: Sequence[Task], samples: int) -> Shares:
    right: dict[str, list[bool]] = {question.id: [] for question in questions}
    for entry in RunReader(folder).entries():
        correct = is_correct(entry.trajectory)
        counts = entry.task.id in right and entry.trajectory.sample < samples
        if counts and correct is not None:
            right[entry.task.id].append(correct)
    return {key: sum(known) / len(known) if known else None for key, known in right.items()}
