"""What several samples of each item are worth together."""

from __future__ import annotations

from collections.abc import Sequence

from saccade.bench.benchmark import ALL
from saccade.bench.measured.attempts import Attempt, vote_of
from saccade.measures.means import Metric, mean_of
from saccade.measures.samples import majority, pass_at


class _Item:
    """The scored samples of an item."""

    def __init__(self, samples: Sequence[Attempt]) -> None:
        self.unit = samples[0].unit
        self.groups = samples[0].groups
        scored = [a.correct for a in samples if a.correct is not None]
        self.n, self.correct = len(scored), sum(scored)
        votes = [vote_of(a.task, a.trajectory.answer) for a in samples]
        self.majority = majority(votes, [a.value for a in samples])


def of_samples(groups: Sequence[str], attempts: Sequence[Attempt]) -> tuple[Metric, ...]:
    """pass@k of all items for k from 1 to the number of samples, and the majority of each group.

    Nothing where no item has two samples. An item with fewer than k scored samples is not in
    pass@k: the n of each metric is the number of its items. Of graded answers the yes or no counts.
    """
    held: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.finished:
            held.setdefault(attempt.task.id, []).append(attempt)
    if max(map(len, held.values()), default=0) < 2:
        return ()
    items = [_Item(samples) for samples in held.values()]
    found = []
    for k in range(1, max(item.n for item in items) + 1):
        pairs = [(i.unit, pass_at(k, i.n, i.correct)) for i in items if i.n >= k]
        found.append(mean_of(f"pass@{k}", ALL, pairs))
    for group in groups:
        voted = [(i.unit, i.majority) for i in items if group in i.groups]
        known = [(unit, value) for unit, value in voted if value is not None]
        found.append(mean_of("majority", group, known))
    return tuple(found)
