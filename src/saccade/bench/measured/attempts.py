"""An episode of a benchmark, and what each way of scoring makes of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from saccade.bench.benchmark import ALL, Benchmark, Scored, unit_of
from saccade.bench.order import place_in_file
from saccade.bench.scoring import rule_verdict
from saccade.plugins import guarded
from saccade.rewards.choices import BEYOND, Reading, read
from saccade.rewards.text import MAX_CHARS, normalised, number
from saccade.types import StopReason, Task, Trajectory

OURS = (StopReason.ABORTED, StopReason.TIMEOUT, None)
"""How an episode ends that says nothing of the model: it is in no average."""


class Attempt(NamedTuple):
    """An episode with its task, of a benchmark."""

    task: Task
    trajectory: Trajectory
    """Without token ids and log-probabilities: nothing here needs them, and they are most of it."""
    groups: tuple[str, ...]
    """The groups of its benchmark that it is in, `all` among them."""
    value: float | None
    """By the final verdict; None: not scored."""
    correct: bool | None
    """Likewise, as a yes or no."""
    rule: float | None
    """By the rule of the benchmark alone; None: the rule left the answer open."""
    reply: str
    """What a scorer reads that knows of no episodes: the answer, else the last text."""

    @property
    def finished(self) -> bool:
        return self.trajectory.stop not in OURS

    @property
    def unit(self) -> str:
        """What is drawn independently: the question of which the task may be one form."""
        return unit_of(self.task)


def attempts_of(benchmark: Benchmark, pairs: Iterable[tuple[Task, Trajectory]]) -> list[Attempt]:
    """The episodes of a run."""
    return [_attempt(benchmark, task, trajectory) for task, trajectory in pairs]


def groups_of(benchmark: Benchmark, attempts: Sequence[Attempt]) -> list[str]:
    """The groups that attempts are in, in the order of the benchmark; `all` comes first."""
    scored = [Scored(a.task, a.trajectory, 0.0) for a in attempts]
    with guarded(f"benchmark {benchmark.name}"):
        named = [name for name, pairs in benchmark.grouped(scored).items() if pairs]
    return list(dict.fromkeys((ALL, *named)))


def groups_with(benchmark: Benchmark, task: Task, trajectory: Trajectory) -> tuple[str, ...]:
    """The groups that an episode is in; `all` comes first."""
    with guarded(f"benchmark {benchmark.name}"):
        held = benchmark.grouped([Scored(task, trajectory, 0.0)])
    return tuple(dict.fromkeys((ALL, *(name for name, pairs in held.items() if pairs))))


def in_group(attempts: Sequence[Attempt], group: str) -> list[Attempt]:
    """The attempts of a group."""
    return [a for a in attempts if group in a.groups]


def vote_of(task: Task, answer: str | None) -> Hashable | None:
    """What an answer votes for, equal for answers that are the same; None without an answer.

    An option that it names counts by its place in the file of the benchmark, so that samples that
    were shown the options in other orders vote together; what names none counts by its normalised
    text, numbers by value.
    """
    if answer is None:
        return None
    if task.choices:
        named = _read(answer, task.choices, task.question)
        if not named.unread and len(named.named) == 1 and BEYOND not in named.named:
            with suppress(ValueError, IndexError):  # an order that was tampered with
                return place_in_file(task, next(iter(named.named)))
    text = normalised(answer[:MAX_CHARS])
    value = number(text)
    return ("text", text) if value is None else ("number", value)


@lru_cache(maxsize=4096)
def _read(answer: str, choices: tuple[str, ...], question: str) -> Reading:
    """What an answer names; samples of a question often give the same one."""
    return read(answer, choices, question)


def _attempt(benchmark: Benchmark, task: Task, trajectory: Trajectory) -> Attempt:
    slim = _slim(trajectory)
    finished = trajectory.stop not in OURS
    verdict = trajectory.verdict if finished and trajectory.score is not None else None
    return Attempt(
        task=task,
        trajectory=slim,
        groups=groups_with(benchmark, task, slim),
        value=None if verdict is None else verdict.value,
        correct=None if verdict is None else verdict.correct,
        rule=_by_rule(task, trajectory) if finished else None,
        reply=_reply(trajectory),
    )


def _by_rule(task: Task, trajectory: Trajectory) -> float | None:
    """An episode that ended without an answer is wrong by every rule."""
    if task.answer is None:
        return None
    if trajectory.answer is None:
        return 0.0
    verdict = rule_verdict(trajectory)
    return None if verdict is None else verdict.value


def _reply(trajectory: Trajectory) -> str:
    if trajectory.answer is not None:
        return trajectory.answer
    return trajectory.turns[-1].completion.text if trajectory.turns else ""


def _slim(trajectory: Trajectory) -> Trajectory:
    turns = []
    for turn in trajectory.turns:
        ids = turn.completion.token_ids
        written = turn.completion.completion_tokens if ids is None else len(ids)
        bare = {"token_ids": None, "log_probs": None, "completion_tokens": written}
        completion = turn.completion.model_copy(update=bare)
        turns.append(turn.model_copy(update={"completion": completion}))
    return trajectory.model_copy(update={"turns": tuple(turns)})
