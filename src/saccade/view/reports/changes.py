"""How the invocation rate changed between runs, on the questions that both were asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from saccade.bench.benchmark import unit_of
from saccade.measures.code_calls import OURS
from saccade.measures.multiple import holm
from saccade.measures.paired import Paired, paired
from saccade.measures.summary import Pair
from saccade.types import Record, Task
from saccade.view.compare import digest_of

ALL = "all"
"""The group of every question of a run."""


class Asked(Record):
    """What a run called for a task, over its finished samples."""

    family: str
    unit: str
    """What is drawn independently: the task, or the question of which it is one form."""
    digest: str
    """Of the question and its answer: tasks of one id may be others in another run."""
    called: float
    """Share of its samples with at least one call."""


class Change(Record):
    """The invocation rate of a run beside that of an earlier one, on the questions of both."""

    first: str
    run: str
    family: str
    before: float
    after: float
    paired: Paired
    """`gained` are the questions for which the later run calls more often."""
    holm_p: float
    """Its p, adjusted for all changes of the report."""


def asked_of(pairs: Sequence[Pair]) -> dict[str, Asked]:
    """What was called for each task, by its id."""
    held: dict[str, tuple[Task, list[float]]] = {}
    for task, made in pairs:
        if made.stop not in OURS:
            held.setdefault(task.id, (task, []))[1].append(float(bool(made.results)))
    return {
        name: Asked(
            family=task.family, unit=unit_of(task), digest=digest_of(task), called=fmean(called)
        )
        for name, (task, called) in held.items()
    }


def changes_of(runs: Mapping[str, Mapping[str, Asked]]) -> tuple[Change, ...]:
    """The changes from the first run that was asked the same, by family.

    Args:
        runs: What each run was asked, by its name.
    """
    found: list[tuple[str, str, str, Paired, float, float]] = []
    for place, (name, asked) in enumerate(runs.items()):
        earlier = [*runs.items()][:place]
        first = next((one for one in earlier if _shared(one[1], asked)), None)
        if first is None:
            continue
        shared = _shared(first[1], asked)
        families = sorted({asked[task].family for task in shared})
        for family in (*(families if len(families) > 1 else ()), ALL):
            of = [task for task in shared if family in (ALL, asked[task].family)]
            before, after = (_by_unit(held, of) for held in (first[1], asked))
            compared = paired(before, after)
            found.append((first[0], name, family, compared, fmean(before), fmean(after)))
    adjusted = holm([compared.p for _, _, _, compared, _, _ in found])
    return tuple(
        Change(
            first=first, run=run, family=family, before=before, after=after, paired=compared,
            holm_p=p,
        )
        for (first, run, family, compared, before, after), p in zip(found, adjusted, strict=True)
    )  # fmt: skip


def _shared(first: Mapping[str, Asked], second: Mapping[str, Asked]) -> list[str]:
    return [task for task in second if task in first and first[task].digest == second[task].digest]


def _by_unit(asked: Mapping[str, Asked], tasks: Sequence[str]) -> list[float]:
    units: dict[str, list[float]] = {}
    for task in tasks:
        units.setdefault(asked[task].unit, []).append(asked[task].called)
    return [fmean(values) for values in units.values()]
