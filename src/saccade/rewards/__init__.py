"""The score of a trajectory: terms of its structure, and a judge's verdict on its answer.

    reward = RewardOptions(preset="deepeyes").make()
    scored = await reward.apply(task, trajectory)     # scored.score, scored.verdict

ABORTED and TIMEOUT trajectories, tasks without a gold answer and undecided verdicts stay without a
score: None, never 0. So does a trajectory on which a term or a judge raises: it keeps the error,
and can be scored again without being played again.

An answer that no judge could read (`Verdict.unread`) is not scored either where episodes are
evaluated: it says nothing about what the model knows, and reports count it in a column of its own.
In a training it is wrong (`RewardOptions.unread`): an answer without a reward has no gradient, and
a policy could learn to write what no judge reads whenever it does not know. In a run file:

    [reward]
    preset = "deepeyes"
    judge = ["exact"]
    weights = { calls = -0.1, format_penalty = { weight = 0.4, problems = ["several_calls"] } }
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from math import isfinite
from typing import Literal, NamedTuple, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from saccade.config import Part, Parts, build, resolve, suggestion
from saccade.errors import ConfigError, PluginError, SaccadeError
from saccade.plugins import guarded
from saccade.rewards.judges import Choice, Exact, FirstOf, Judge, gold_option
from saccade.rewards.terms import LONGEST_ANSWERS, PRESETS, TERMS, Term
from saccade.types import (
    Problem,
    ProblemKind,
    Record,
    Score,
    StopReason,
    Task,
    Trajectory,
    Verdict,
    option_letter,
)

_log = logging.getLogger(__name__)

JUDGES = {
    "exact": "saccade.rewards.judges:Exact",
    "choice": "saccade.rewards.judges:Choice",
    "math": "saccade.rewards.math:Math",
    "llm": "saccade.rewards.llm:LLM",
    "deepeyes_v2": "saccade.rewards.protocol:Protocol",
}
"""Names for run files; your own judge goes there as "package.module:Class"."""

ON_DEMAND = ("math",)
"""Judges without options that must be given: a task may name them where the run file does not."""


MISSING = "None"
"""What a judge is asked about where there is no answer and that is not wrong at once, as in the
published reward of DeepEyesV2."""

Unread = Literal["wrong", "unscored"]
"""What an answer is that no judge could read."""


class Weighted(NamedTuple):
    """A term and what it counts."""

    weight: float
    term: Term


class Reward:
    """Weighted terms and the judge that decides what is right. Immutable."""

    def __init__(
        self,
        terms: Mapping[str, Weighted],
        judge: Judge,
        *,
        judges: Mapping[str, Judge] | None = None,
        unread: Unread = "unscored",
        long_answers: Literal["wrong", "judged"] = "wrong",
        longest_answer: int | None = None,
        unlimited_kinds: Collection[str] = (),
        missing_answers: Literal["wrong", "judged"] = "wrong",
        named_judges: bool = True,
    ) -> None:
        """Put a reward together.

        Args:
            terms: Name -> weight and function.
            judge: Decides for tasks that name no judge of their own, and for the others where
                theirs does not.
            judges: For tasks that name one (`Task.judge`); `exact`, `choice` and `math` are always
                there.
            unread: What an answer is that no judge could read.
            long_answers: Whether an answer that the dialect finds too long is wrong for that, as in
                DeepEyes, or judged like others.
            longest_answer: Number of characters from which on an answer is too long, instead of the
                limit of the dialect.
            unlimited_kinds: Families of questions whose answers are never too long.
            missing_answers: Whether an episode without an answer is wrong, or the judge is asked
                about `MISSING`.
            named_judges: Whether a task that names a judge is judged by that first.
        """
        self._longest, self._unlimited = longest_answer, frozenset(unlimited_kinds)
        self._missing, self._named_judges = missing_answers, named_judges
        self._long_answers = long_answers
        self._terms = dict(terms)
        self._judge = judge
        self._unread = unread
        self._judges: dict[str, Judge] = {"exact": Exact(), "choice": Choice(), **(judges or {})}

    async def apply(self, task: Task, trajectory: Trajectory) -> Trajectory:
        """The trajectory with its verdict and, if that is decided, its score.

        If a judge or a term raises, it is `Trajectory.unscored`. What it held of an earlier scoring
        is replaced.

        Raises:
            ConfigError: no task can be scored so, or the task names a judge that this reward does
                not have.
        """
        if trajectory.stop in (None, StopReason.ABORTED, StopReason.TIMEOUT):
            return trajectory
        try:
            with guarded("reward.judge"):
                verdict = await self._verdict(task, trajectory)
            score = self._score(task, self._limited(task, trajectory), verdict)
        except ConfigError:
            raise
        except SaccadeError as error:
            failed = trajectory.unscored(error)
            _log.warning("%s: not scored: %s", trajectory.id, failed.error)
            return failed
        found = {"verdict": verdict, "score": score, "error": None, "traceback": None}
        return trajectory.model_copy(update=found)

    def check(self, task: Task) -> None:
        """Find out before an episode whether it could be scored; nothing is asked of a judge.

        Raises:
            ConfigError: the task names a judge that this reward does not have, or its gold answer
                does not name one of its choices.
            MissingExtra: the judge is not installed.
        """
        judge = self._own_judge(task)
        if isinstance(judge, Choice) and task.answer is not None and gold_option(task) is None:
            choices = ", ".join(f"{option_letter(i)}. {c}" for i, c in enumerate(task.choices))
            raise ConfigError(
                f"{task.id}: the gold answer {task.answer!r} does not name one of the choices for "
                f"sure ({choices[:400]}): give the letter or the text of one, or both"
            )

    async def close(self) -> None:
        """Stop worker processes and close connections."""
        for judge in (self._judge, *self._judges.values()):
            await judge.close()

    def _score(self, task: Task, trajectory: Trajectory, verdict: Verdict | None) -> Score | None:
        if verdict is None or verdict.correct is None:
            return None
        parts = {}
        for name, (_, term) in self._terms.items():
            with guarded(where := f"reward.weights.{name}"):
                part = term(task, trajectory, verdict.correct)
            parts[name] = _finite(part, where)
        value = sum(self._terms[name].weight * part for name, part in parts.items())
        return Score(value=value, parts=parts)

    async def _verdict(self, task: Task, trajectory: Trajectory) -> Verdict | None:
        if task.answer is None:
            return None
        if trajectory.answer is None and (self._missing == "wrong" or not trajectory.turns):
            return Verdict(correct=False, reason="no answer", judge="rule")
        last = self._limited(task, trajectory).turns[-1].action.problems
        too_long = self._long_answers == "wrong"
        if too_long and any(problem.kind is ProblemKind.LONG_ANSWER for problem in last):
            # Source: DeepEyes, `vl_agent.py`: against answers that talk to the judge.
            return Verdict(correct=False, reason="the answer is too long", judge="rule")
        verdict = await self._opinion(task, trajectory)
        if verdict.unread and self._unread == "wrong":
            return verdict.model_copy(update={"correct": False})
        return verdict

    async def _opinion(self, task: Task, trajectory: Trajectory) -> Verdict:
        """What the judges say of the answer that an episode ended with."""
        answer = MISSING if trajectory.answer is None else trajectory.answer
        return await self._judge_for(task).judge(task, answer)

    def _limited(self, task: Task, trajectory: Trajectory) -> Trajectory:
        """The trajectory as the terms see it: this reward says whether its answer is too long."""
        unlimited = task.family in self._unlimited
        if trajectory.answer is None or (self._longest is None and not unlimited):
            return trajectory
        *earlier, last = trajectory.turns
        problems = [p for p in last.action.problems if p.kind is not ProblemKind.LONG_ANSWER]
        if not unlimited and self._longest and len(trajectory.answer) >= self._longest:
            detail = str(len(trajectory.answer))
            problems.append(Problem(kind=ProblemKind.LONG_ANSWER, detail=detail))
        action = last.action.model_copy(update={"problems": tuple(problems)})
        turns = (*earlier, last.model_copy(update={"action": action}))
        return trajectory.model_copy(update={"turns": turns})

    def _judge_for(self, task: Task) -> Judge:
        """The judge of a task, and after it those of the reward that may know more.

        `exact` knows no more than the judge of a task. Where a task names it, those that stand
        after it in the list come next; where the list does not hold it, it decides alone.
        """
        own = self._own_judge(task)
        if own is self._judge:
            return own
        listed = self._judge.judges if isinstance(self._judge, FirstOf) else (self._judge,)
        if isinstance(own, Exact):
            places = [i for i, judge in enumerate(listed) if isinstance(judge, Exact)]
            listed = listed[places[0] + 1 :] if places else ()
        rules = (Exact, Choice)
        others = [j for j in listed if not isinstance(j, rules) and j.name != own.name]
        return FirstOf((own, *others)) if others else own

    def _own_judge(self, task: Task) -> Judge:
        if task.judge is None or not self._named_judges:
            return self._judges["choice"] if task.choices else self._judge
        if task.judge in ON_DEMAND and task.judge not in self._judges:
            self._judges[task.judge] = cast(Judge, build(task.judge, JUDGES, "reward.judge"))
        if task.judge in self._judges:
            return self._judges[task.judge]
        known = dict.fromkeys((*self._judges, *ON_DEMAND))
        hint = suggestion(task.judge, known)
        raise ConfigError(
            f"task {task.id}: there is no judge {task.judge!r}{hint}; this reward has "
            f"{', '.join(known)}"
        )


class TermPart(BaseModel):
    """A term in a run file: `{ weight = 0.2, option = ... }`; a number is a weight alone."""

    model_config = ConfigDict(frozen=True, extra="allow")

    weight: float | None = None
    """None: the weight that the preset gives it."""

    @model_validator(mode="before")
    @classmethod
    def _a_number_is_a_weight(cls, value: object) -> object:
        return value if isinstance(value, dict | TermPart) else {"weight": value}


class RewardOptions(Record):
    """The `reward` section of a run file."""

    preset: str = "deepeyes"
    """A key of `saccade.rewards.terms.PRESETS`."""
    weights: dict[str, TermPart] = Field(default_factory=dict)
    """Changes to the terms of the preset, and further terms: name -> weight, or a table with
    `weight` and the options of the term. A name is a key of `saccade.rewards.terms.TERMS` or
    "pkg.mod:name"; a table without `weight` keeps that of the preset."""
    judge: Parts = (Part(kind="exact"),)
    """The judges, which are asked in this order until one decides: each is a key of `JUDGES` or
    "pkg.mod:Name", alone or as the `kind` of a table with its options."""

    unread: Unread | None = None
    """What an answer is that no judge could read; None: `wrong` in `saccade rl`, where a policy
    could learn to write such answers, `unscored` everywhere else."""

    longest_answer: int | None = Field(default=None, ge=1)
    """Number of characters from which on an answer is wrong, whatever it says: against answers that
    talk to the judge. None: that of the preset (`deepeyes_v2`: 300), else of the dialect (1000)."""
    unlimited_kinds: tuple[str, ...] = ()
    """Families of questions whose answers may have any length. DeepEyesV2 has no limit on `reason`
    (`compute_score_math`); here it holds everywhere unless a family is named."""
    missing_answers: Literal["wrong", "judged"] = "wrong"
    """What an episode without an answer is: `wrong`, or `judged` as if it had answered "None", as
    in `compute_score` of DeepEyesV2."""
    named_judges: bool = True
    """Whether a task that names a judge is judged by that first, and only then by those of
    `judge`."""

    def make(self, *, training: bool = False) -> Reward:
        """The reward.

        Args:
            training: Whether a policy learns from it.

        Raises:
            ConfigError: an unknown preset, term or judge, or a wrong option.
            MissingExtra: the `math` judge is not installed.
        """
        judges = self.make_judges()
        named: dict[str, Judge] = {}
        for part, judge in zip(self.judge, judges, strict=True):
            named.setdefault(part.kind, judge)
        unread = self.unread or ("wrong" if training else "unscored")
        longest = self.longest_answer or LONGEST_ANSWERS.get(self.preset)
        return Reward(
            self.make_terms(),
            FirstOf(judges),
            judges=named,
            unread=unread,
            longest_answer=longest,
            unlimited_kinds=self.unlimited_kinds,
            missing_answers=self.missing_answers,
            named_judges=self.named_judges,
        )

    def make_terms(self) -> dict[str, Weighted]:
        """The terms of the preset, with what is changed of them.

        Raises:
            ConfigError: an unknown preset or term, or a wrong option.
        """
        if self.preset not in PRESETS:
            hint = suggestion(self.preset, PRESETS)
            raise ConfigError(f"reward.preset: there is no {self.preset!r}{hint}")
        preset = PRESETS[self.preset]
        chosen = {name: TermPart(weight=weight) for name, weight in preset.items()} | self.weights
        return {name: _weighted(name, part, preset.get(name)) for name, part in chosen.items()}

    def make_judges(self) -> list[Judge]:
        """The judges, in the order in which they are asked.

        Raises:
            ConfigError: an unknown judge, or a wrong option.
            MissingExtra: the `math` judge is not installed.
        """
        return [cast(Judge, build(part, JUDGES, "reward.judge")) for part in self.judge]


def _finite(value: float, where: str) -> float:
    """What a term returned. NaN would spread to every average, and to a trainer it is no reward."""
    try:
        if isfinite(value):
            return float(value)
    except TypeError:
        pass
    raise PluginError(f"{where}: expected a finite number from the term, got {value!r:.100}")


def _weighted(name: str, part: TermPart, usual: float | None) -> Weighted:
    """A term that is a function, or an instance of a class with the options of the part."""
    where = f"reward.weights.{name}"
    weight = usual if part.weight is None else part.weight
    if weight is None:
        raise ConfigError(f"{where}.weight: missing, and the preset gives this term none")
    options = part.model_extra or {}
    term = resolve(name, TERMS, "reward.weights")
    if isinstance(term, type):
        term = build(Part.model_validate({**options, "kind": name}), TERMS, where)
    elif options:
        raise ConfigError(f"{where}: a function takes no options, got {', '.join(options)}")
    if not callable(term):
        raise ConfigError(f"{where}: {term!r} is no function")
    return Weighted(weight, cast(Term, term))
