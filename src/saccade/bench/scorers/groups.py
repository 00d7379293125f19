"""Attempts by group, and the questions whose forms are all answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from saccade.bench.benchmark import ALL, Scored, unit_of
from saccade.measures.means import Metric, means_by
from saccade.types import Task

Groups = dict[str, list[tuple[str, float]]]
"""Group -> unit and value of each scored attempt in it."""


def grouped_by(scored: Sequence[Scored], groups: Callable[[Task], Iterable[str]]) -> Groups:
    """The scored attempts by the groups of their tasks: all first, then in alphabetical order."""
    found: Groups = {}
    for one in scored:
        if one.value is not None:
            for group in dict.fromkeys(groups(one.task)):
                found.setdefault(group, []).append((unit_of(one.task), one.value))
    return {ALL: pairs_of(scored), **{group: found[group] for group in sorted(found)}}


def pairs_of(scored: Iterable[Scored]) -> list[tuple[str, float]]:
    """Unit and value of each attempt that is scored."""
    return [(unit_of(one.task), one.value) for one in scored if one.value is not None]


def all_right(
    name: str,
    scored: Sequence[Scored],
    groups: Callable[[Task], Iterable[str]],
    question: Callable[[Task], str] = unit_of,
) -> list[Metric]:
    """The share of questions that are answered right in every one of their forms.

    A question counts once for each sample, and only if all its forms that were attempted are
    scored; one that has a single form is left out.
    """
    forms: dict[tuple[str, int], list[Scored]] = {}
    for one in scored:
        forms.setdefault((question(one.task), one.trajectory.sample), []).append(one)
    kept = [
        many[0]._replace(value=float(all(one.value == 1 for one in many)))
        for many in forms.values()
        if len({one.task.id for one in many}) > 1 and all(one.value is not None for one in many)
    ]
    return means_by(name, grouped_by(kept, groups)) if kept else []
