"""Which episodes of teachers become demonstrations, and why the others do not.

An episode is dropped for the first of these that holds:

    aborted          our side failed; the same command plays it again
    not scored       the reward failed; the same command scores it again
    out of time      it was past its seconds limit: not the teacher's fault, and not played again
    no answer        it ended without one
    undecided        no judge could say whether the answer is right
    wrong answer
    leak             the teacher was told the gold answer: see `saccade.data.demos.leaks`
    failed call      code raised or was stopped, or a call was refused, in whatever turn
    stderr           code wrote to stderr
    format           a turn has a format problem, or its dialect cannot write it
    cut observation  what a tool returned did not fit and was left out
    no tool          no call succeeded where one must
    too long         it has more turns, tokens or characters than are wanted
    copy             the turns are those of an earlier sample of the question
    enough           other episodes of the question are kept
"""

from __future__ import annotations

from typing import NamedTuple

from saccade.data.demos.leaks import Leaks
from saccade.data.demos.recipe import FilterOptions
from saccade.data.demos.teachers import Teachers
from saccade.dialects import built_in
from saccade.dialects.as_text import as_text
from saccade.measures.summary import response_tokens
from saccade.tools.python import NAME as PYTHON
from saccade.tools.python import has_stderr
from saccade.types import ProblemKind, StopReason, Task, ToolResult, Trajectory

OPEN = ("aborted", "not scored")
"""Reasons that are our fault: the same command tries again."""
CHARS_PER_TOKEN = 3
"""Characters that count as a token where no server counts: fewer than most tokens have."""


class Drop(NamedTuple):
    """Why an episode is not kept."""

    reason: str
    detail: str = ""

    @property
    def is_open(self) -> bool:
        """Whether another start may still keep it."""
        return self.reason in OPEN


class Filters:
    """Decides on episodes one by one, each by itself."""

    def __init__(self, options: FilterOptions, leaks: Leaks, teachers: Teachers) -> None:
        self._options, self._leaks, self._teachers = options, leaks, teachers

    def drop(self, task: Task, trajectory: Trajectory) -> Drop | None:
        """Why an episode is dropped; None if it is kept."""
        return (
            _unfinished(trajectory)
            or _not_right(trajectory)
            or self._leak(task, trajectory)
            or _failed(trajectory, repaired=self._options.repaired)
            or _form(trajectory)
            or self._without_tools(task, trajectory)
            or self._too_long(trajectory)
        )

    def _leak(self, task: Task, trajectory: Trajectory) -> Drop | None:
        teacher = self._teachers.of(task.id, trajectory.sample)
        leak = self._leaks.before(task, teacher) or self._leaks.after(task, trajectory)
        return None if leak is None else Drop("leak", f"{leak.where}: {leak.detail}")

    def _without_tools(self, task: Task, trajectory: Trajectory) -> Drop | None:
        wanted = self._options.require_tools
        needed = wanted if isinstance(wanted, bool) else task.family in wanted
        return Drop("no tool") if needed and not trajectory.successes else None

    def _too_long(self, trajectory: Trajectory) -> Drop | None:
        options = self._options
        turns, tokens, chars = len(trajectory.turns), tokens_of(trajectory), chars_of(trajectory)
        if options.max_turns is not None and turns > options.max_turns:
            return Drop("too long", f"{turns} turns")
        if options.max_tokens is not None and tokens > options.max_tokens:
            return Drop("too long", f"{tokens} tokens")
        if options.max_chars is not None and chars > options.max_chars:
            return Drop("too long", f"{chars} characters")
        return None


def tokens_of(trajectory: Trajectory) -> int:
    """Tokens that the teacher wrote, as its server counts them, or about so many."""
    counted = response_tokens(trajectory)
    if counted is not None:
        return counted
    return sum(map(len, _written(trajectory))) // CHARS_PER_TOKEN


def chars_of(trajectory: Trajectory) -> int:
    """Characters of all turns and observations; the prompt and images count nothing."""
    seen = (message.text for turn in trajectory.turns for message in turn.observation)
    return sum(map(len, _written(trajectory))) + sum(map(len, seen))


def _written(trajectory: Trajectory) -> list[str]:
    completions = [turn.completion for turn in trajectory.turns]
    texts = [c.text + (c.thought or "") for c in completions]
    return texts + [wire.arguments for c in completions for wire in c.tool_calls]


def _unfinished(trajectory: Trajectory) -> Drop | None:
    match trajectory.stop:
        case StopReason.ABORTED:
            return Drop("aborted", trajectory.error or "")
        case StopReason.TIMEOUT:
            return Drop("out of time")
        case _ if trajectory.reward_failed:
            return Drop("not scored", trajectory.error or "")
        case StopReason.ANSWER:
            return None
        case other:
            return Drop("no answer", "" if other is None else other.value)


def _not_right(trajectory: Trajectory) -> Drop | None:
    correct = None if trajectory.verdict is None else trajectory.verdict.correct
    if correct is None:
        return Drop("undecided")
    return None if correct else Drop("wrong answer")


def _failed(trajectory: Trajectory, *, repaired: bool) -> Drop | None:
    """The first call that went wrong, or that was never made good."""
    found = [
        (number, result)
        for number, turn in enumerate(trajectory.turns, start=1)
        for result in turn.results
    ]
    for place, (number, result) in enumerate(found):
        mistake = _mistake(result)
        if mistake is None:
            continue
        later = (r for _, r in found[place + 1 :] if r.call.name == result.call.name)
        if not repaired or not any(_mistake(r) is None for r in later):
            name = result.call.name or "a call that could not be read"
            return Drop(mistake, f"turn {number}, {name}")
    return None


def _mistake(result: ToolResult) -> str | None:
    if result.failed:
        return "failed call"
    return "stderr" if result.call.name == PYTHON and has_stderr(result) else None


def _form(trajectory: Trajectory) -> Drop | None:
    dialect = built_in(trajectory.environment.dialect)
    for number, turn in enumerate(trajectory.turns, start=1):
        for problem in turn.action.problems:
            # What a server took apart is no mistake of the teacher, and was put back.
            if problem.kind is not ProblemKind.TAKEN_APART:
                return Drop("format", f"turn {number}: {problem.kind.value}")
        if as_text(turn, dialect) is None:
            return Drop("format", f"turn {number}: its dialect cannot write it")
        if turn.dropped is not None:
            return Drop("cut observation", f"turn {number}: {turn.dropped}")
    return None
