"""Two runs of the same tasks, compared task by task."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import NamedTuple
from urllib.parse import quote

from saccade.measures.paired import Paired, paired
from saccade.measures.summary import Pair, is_correct
from saccade.runs.manifest import Manifest, differences
from saccade.types import Record, Task
from saccade.view.record import anchor
from saccade.view.tables import Link, Part, Table, interval, number

FLIPS_SHOWN = 10
"""Number of tasks that a terminal shows for each direction; files hold all of them."""

LinkTo = Callable[[str], str | None]
"""Maps the anchor of an episode to where a link to it leads; None makes no link."""


class Attempts(NamedTuple):
    """What a run made of a task."""

    digest: str
    """Of the question and its answer: tasks of one id may be others in another run."""
    question: str
    correct: dict[int, bool | None]
    """For each sample whether the answer is right; None where it is not scored."""


class Outcomes(NamedTuple):
    """What a run made of its tasks."""

    run: str
    manifest: Manifest
    tasks: dict[str, Attempts]


class Flip(Record):
    """A task that one of two runs answers correctly more often than the other."""

    task: str
    question: str
    before: float
    """Share of the samples that the first run answers correctly; 0 or 1 with one sample."""
    after: float
    anchor: str
    """Where the task is on a page of the two runs: `view.html#ANCHOR`."""


class Comparison(Record):
    """A run compared with the first one, on the tasks that both have scored."""

    first: str
    run: str
    paired: Paired | None
    """None if no task is scored in both runs."""
    samples: int
    """The most samples that a compared task has in a run."""
    common: int
    """Number of tasks that both runs attempted."""
    unscored: int
    """Number of common tasks that are not compared, since a run has no scored sample of them."""
    only_first: int
    only_second: int
    changed: int
    """Number of task ids that both runs have, with another question or answer."""
    gained: tuple[Flip, ...]
    """Tasks that this run answers correctly more often, in the order of the first run."""
    lost: tuple[Flip, ...]
    """Tasks that the first run answers correctly more often."""
    differs: tuple[str, ...]
    """Settings that differ and change the meaning of a run, the one that is compared included."""


def outcomes_of(run: str, manifest: Manifest, pairs: Iterable[Pair]) -> Outcomes:
    """What is compared of a run that is called `run`."""
    tasks: dict[str, Attempts] = {}
    for task, trajectory in pairs:
        if task.id not in tasks:
            tasks[task.id] = Attempts(_digest(task), task.question, {})
        tasks[task.id].correct[trajectory.sample] = is_correct(trajectory)
    return Outcomes(run, manifest, tasks)


def compare(first: Outcomes, second: Outcomes) -> Comparison:
    """Compare a run with another one, each task with itself."""
    shared = [task for task in first.tasks if task in second.tasks]
    common = [task for task in shared if first.tasks[task].digest == second.tasks[task].digest]
    rates = {task: (_rate(first.tasks[task]), _rate(second.tasks[task])) for task in common}
    known = {task: (a, b) for task, (a, b) in rates.items() if a is not None and b is not None}
    flips = [_flip(first.tasks[t], second.tasks[t], t, *known[t]) for t in known]
    attempts = (run.tasks[task].correct for task in known for run in (first, second))
    before, after = ([pair[side] for pair in known.values()] for side in (0, 1))
    return Comparison(
        first=first.run,
        run=second.run,
        paired=paired(before, after) if known else None,
        samples=max(map(len, attempts), default=0),
        common=len(common),
        unscored=len(common) - len(known),
        only_first=len(first.tasks) - len(shared),
        only_second=len(second.tasks) - len(shared),
        changed=len(shared) - len(common),
        gained=tuple(flip for flip in flips if flip.after > flip.before),
        lost=tuple(flip for flip in flips if flip.after < flip.before),
        differs=tuple(differences(first.manifest, second.manifest)),
    )


def comparison_parts(
    comparisons: Sequence[Comparison], link: LinkTo, *, at_most: int | None = None
) -> list[Part]:
    """The comparisons as a table, what is to be known of them, and the tasks that flipped.

    Args:
        comparisons: Of each run with the first.
        link: Where the name of a task leads.
        at_most: Number of flipped tasks that are shown for each direction; None shows all.
    """
    parts: list[Part] = []
    compared = [(made, made.paired) for made in comparisons if made.paired is not None]
    rows = tuple(_row(made, result) for made, result in compared)
    if rows:
        title = f"Accuracy compared with {comparisons[0].first}, on common tasks"
        head = ("run", "n", "difference", "95 % CI", "McNemar p", "gained", "lost")
        parts.append(Table(title, head, rows))
    for made in comparisons:
        parts.append(_explained(made))
        flips = (("gained", made.gained), ("lost", made.lost))
        shown = [(name, flip) for name, of in flips for flip in of[:at_most]]
        if shown:
            parts.append(_flip_table(made, shown, link))
        if left := len(made.gained) + len(made.lost) - len(shown):
            parts.append(f"{left} more tasks flipped; --json and --out hold all of them.")
    return parts


def _row(made: Comparison, result: Paired) -> tuple[str, ...]:
    p = "<0.0001" if result.p < 1e-4 else f"{result.p:.4f}"
    low, high = result.interval
    ends = interval(low, high, sign=True)
    counts = (str(result.gained), str(result.lost))
    return (made.run, str(result.n), f"{result.difference:+.3f}", ends, p, *counts)


def _explained(made: Comparison) -> str:
    """What the numbers stand on, in sentences."""
    said = [f"{made.run}: {made.common} tasks are common with {made.first}"]
    if made.only_first or made.only_second:
        said[0] += f" ({made.only_first} only there, {made.only_second} only here)"
    if made.changed:
        said.append(f"{made.changed} task ids are shared by other questions, and left out")
    if made.unscored:
        said.append(f"{made.unscored} common tasks are not scored in both, and left out")
    if made.paired is None:
        said.append("There is nothing to compare")
    elif made.samples > 1:
        said.append("A task counts by the share of its samples that are right; p: sign test")
    if made.differs:
        said.append("Settings that differ: " + "; ".join(made.differs))
    return ". ".join(said)


def _flip_table(made: Comparison, shown: Sequence[tuple[str, Flip]], link: LinkTo) -> Table:
    """The tasks that flipped; with several samples the shares of right answers."""
    rows = []
    for name, flip in shown:
        target = link(flip.anchor)
        task = flip.task if target is None else Link(flip.task, target)
        shares = (_share(flip.before, made.samples), _share(flip.after, made.samples))
        rows.append((name, task, *shares, flip.question))
    head = ("", "task", made.first, made.run, "question")
    title = f"Tasks that flipped from {made.first} to {made.run}"
    return Table(title, head, tuple(rows), keys=2, prose=("question",))


def _share(value: float, samples: int) -> str:
    return number(value, 2) if samples > 1 else ("right" if value else "wrong")


def _flip(first: Attempts, second: Attempts, task: str, before: float, after: float) -> Flip:
    """A task of both runs; its anchor is the first sample that they do not agree on."""
    samples = [s for s in first.correct if s in second.correct] or list(first.correct)
    differ = [s for s in samples if first.correct[s] != second.correct.get(s)]
    place = anchor(task, (differ or samples)[0])
    question = " ".join(first.question.split())[:80]
    return Flip(task=task, question=question, before=before, after=after, anchor=quote(place))


def _rate(attempts: Attempts) -> float | None:
    scored = [float(correct) for correct in attempts.correct.values() if correct is not None]
    return fmean(scored) if scored else None


def _digest(task: Task) -> str:
    """What makes a question the same: its text, images, options, boxes of none, and answer."""
    images = [image.source.digest for image in task.images]
    parts = (task.question, images, list(task.choices), task.answer)
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()
