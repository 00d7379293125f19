"""Two runs of the same tasks, compared task by task."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import NamedTuple
from urllib.parse import quote

from saccade.bench.benchmark import unit_of
from saccade.bench.order import ORDER, place_in_file
from saccade.bench.results import is_bench
from saccade.measures.multiple import holm
from saccade.measures.paired import Paired, paired
from saccade.measures.summary import Pair
from saccade.rewards.judges import gold_option
from saccade.runs.manifest import Manifest, differences
from saccade.types import Record, Task, Trajectory
from saccade.view.record import anchor
from saccade.view.tables import Link, Part, Table, interval, number, p_value

FLIPS_SHOWN = 10
"""Number of tasks that a terminal shows for each direction; files hold all of them."""

LinkTo = Callable[[str], str | None]
"""Maps the anchor of an episode to where a link to it leads; None makes no link."""


class Attempts(NamedTuple):
    """What a run made of a task."""

    digest: str
    """Of the question and its answer: tasks of one id may be others in another run."""
    question: str
    unit: str
    """What is drawn independently: the task, or the question of which it is one form."""
    values: dict[int, float | None]
    """For each sample how right the answer is, 0 or 1 where that is a yes or no; None where it is
    not scored."""


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
    holm_p: float | None = None
    """The p of `paired`, adjusted for all comparisons of the report; None of a single one."""
    samples: int
    """The most samples that a compared task has in a run."""
    graded: bool = False
    """Whether answers are right in part, or several tasks are forms of one question: then what is
    compared of a question is a mean."""
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
            tasks[task.id] = Attempts(digest_of(task), task.question, unit_of(task), {})
        tasks[task.id].values[trajectory.sample] = _value(trajectory)
    return Outcomes(run, manifest, tasks)


def compare_all(runs: Sequence[Outcomes]) -> tuple[Comparison, ...]:
    """Compare each run with the first one of the same benchmark, or of none.

    With more than one comparison their p-values are adjusted by Holm's method.
    """
    firsts: dict[str, Outcomes] = {}
    made = []
    for run in runs:
        first = firsts.setdefault(subject_of(run.manifest), run)
        if first is not run:
            made.append(compare(first, run))
    tested = [found for found in made if found.paired is not None]
    if len(tested) < 2:
        return tuple(made)
    adjusted = holm([found.paired.p for found in tested if found.paired is not None])
    of = {id(found): p for found, p in zip(tested, adjusted, strict=True)}
    return tuple(found.model_copy(update={"holm_p": of.get(id(found))}) for found in made)


def subject_of(manifest: Manifest) -> str:
    """The benchmark that a run is of; empty of other runs. Only runs of one are compared."""
    part = manifest.config["bench"] if is_bench(manifest) else None
    return str(part.get("kind")) if isinstance(part, dict) else ""


def compare(first: Outcomes, second: Outcomes) -> Comparison:
    """Compare a run with another one, each task with itself."""
    shared = [task for task in first.tasks if task in second.tasks]
    common = [task for task in shared if first.tasks[task].digest == second.tasks[task].digest]
    rates = {task: (_rate(first.tasks[task]), _rate(second.tasks[task])) for task in common}
    known = {task: (a, b) for task, (a, b) in rates.items() if a is not None and b is not None}
    flips = [_flip(first.tasks[t], second.tasks[t], t, *known[t]) for t in known]
    attempts = [run.tasks[task].values for task in known for run in (first, second)]
    units: dict[str, list[tuple[float, float]]] = {}
    for task, pair in known.items():
        units.setdefault(first.tasks[task].unit, []).append(pair)
    before, after = ([fmean(pair[side] for pair in of) for of in units.values()] for side in (0, 1))
    values = (value for samples in attempts for value in samples.values())
    return Comparison(
        first=first.run,
        run=second.run,
        paired=paired(before, after) if known else None,
        samples=max(map(len, attempts), default=0),
        graded=len(units) < len(known) or any(value not in (None, 0, 1) for value in values),
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
    adjusted = any(made.holm_p is not None for made, _ in compared)
    for first in dict.fromkeys(made.first for made, _ in compared):
        rows = tuple(_row(*pair, adjusted) for pair in compared if pair[0].first == first)
        title = f"Accuracy compared with {first}, on common tasks"
        tests = ("McNemar p", "Holm p") if adjusted else ("McNemar p",)
        head = ("run", "n", "difference", "95 % CI", *tests, "gained", "lost")
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


def _row(made: Comparison, result: Paired, adjusted: bool) -> tuple[str, ...]:
    p = (p_value(result.p), *((p_value(made.holm_p),) if adjusted else ()))
    low, high = result.interval
    ends = interval(low, high, sign=True)
    counts = (str(result.gained), str(result.lost))
    return (made.run, str(result.n), f"{result.difference:+.3f}", ends, *p, *counts)


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
    elif made.graded:
        said.append(
            "A question counts by the mean of its tasks and samples; n: questions; p: sign test"
        )
    elif made.samples > 1:
        said.append("A task counts by the share of its samples that are right; p: sign test")
    if made.holm_p is not None:
        said.append("Holm p: adjusted for all comparisons here")
    if made.differs:
        said.append("Settings that differ: " + "; ".join(made.differs))
    return ". ".join(said)


def _flip_table(made: Comparison, shown: Sequence[tuple[str, Flip]], link: LinkTo) -> Table:
    """The tasks that flipped; with several samples the shares of right answers."""
    rows = []
    for name, flip in shown:
        target = link(flip.anchor)
        task = flip.task if target is None else Link(flip.task, target)
        shares = (_share(flip.before, made), _share(flip.after, made))
        rows.append((name, task, *shares, flip.question))
    head = ("", "task", made.first, made.run, "question")
    title = f"Tasks that flipped from {made.first} to {made.run}"
    return Table(title, head, tuple(rows), keys=2, prose=("question",))


def _share(value: float, made: Comparison) -> str:
    if made.samples > 1 or made.graded:
        return number(value, 2)
    return "right" if value else "wrong"


def _flip(first: Attempts, second: Attempts, task: str, before: float, after: float) -> Flip:
    """A task of both runs; its anchor is the first sample that they do not agree on."""
    samples = [s for s in first.values if s in second.values] or list(first.values)
    differ = [s for s in samples if first.values[s] != second.values.get(s)]
    place = anchor(task, (differ or samples)[0])
    question = " ".join(first.question.split())[:80]
    return Flip(task=task, question=question, before=before, after=after, anchor=quote(place))


def _rate(attempts: Attempts) -> float | None:
    scored = [value for value in attempts.values.values() if value is not None]
    return fmean(scored) if scored else None


def _value(trajectory: Trajectory) -> float | None:
    """How right the answer is; None if it is not scored."""
    verdict = trajectory.verdict
    return None if trajectory.score is None or verdict is None else verdict.value


def digest_of(task: Task) -> str:
    """What makes a question the same: its text, images, options, boxes of none, and answer.

    Options that were moved are put back to their places in the file, so that a question is the same
    in every order of them.
    """
    images = [image.source.digest for image in task.images]
    choices, answer = _in_file(task)
    parts = (task.question, images, choices, answer)
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _in_file(task: Task) -> tuple[list[str], str | int | None]:
    """The options as they stand in the file of a benchmark, and the right one's place there."""
    gold = gold_option(task) if task.choices else None
    if gold is None:
        return list(task.choices), task.answer
    order, shown = task.meta.get(ORDER), range(len(task.choices))
    moved = isinstance(order, list) and sorted(map(str, order)) == sorted(map(str, shown))
    places = [place_in_file(task, place) if moved else place for place in shown]
    return [task.choices[places.index(place)] for place in shown], places[gold]
