"""How each family of questions goes in a training, and which of them are no longer drawn.

A family that is never answered right teaches to give up: where every attempt is wrong, nothing but
the cost of a call or a slip of form tells them apart, and that is what is learned (measured in
docs/reproducing.md). `train.drop_hopeless` takes such a family out of the draw.

What is dropped follows from what was logged: a run that goes on reads the steps before its
checkpoint, and draws what it would have drawn.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from saccade.measures.summary import Facts, is_correct, summary_of
from saccade.tasks import UNNAMED
from saccade.train.advantages import Group
from saccade.train.recipe import DropHopeless, Training
from saccade.untrusted.printable import one_line

_log = logging.getLogger(__name__)

SHOWN = ("accuracy", "low", "high", "scored", "tool_calls", "tool_call_rate")
"""What is logged of the episodes of each family; see `saccade.measures.summary.Summary`."""

_COUNT = re.compile(r"families/(.+)/(questions|right)", re.DOTALL)


class Attempted(NamedTuple):
    """A question that was attempted in a batch, and has at least one scored attempt."""

    family: str
    right: int
    """Number of attempts that were right, forced ones among them."""


class _Streak(NamedTuple):
    """Since the last right attempt at a family."""

    questions: int = 0
    batches: int = 0


class Families:
    """Counts right attempts by family, batch by batch; all processes count the same."""

    def __init__(self, options: Training, history: Iterable[Mapping[str, float]] = ()) -> None:
        """Begin, or go on.

        Args:
            options: The `train` section.
            history: The metrics of the steps before, in their order, each with its `step`.
        """
        self._rule, self._limit = options.drop_hopeless, options.drop_hopeless or DropHopeless()
        self._updates, self._sampled = options.updates, options.prompts * options.oversample
        self._streaks: dict[str, _Streak] = {}
        self._warned: set[str] = set()
        self.dropped: dict[str, int] = {}
        """Family -> number of the prompt, counted from 0, from which on it is not drawn."""
        for metrics in history:
            counts = _counts(metrics)
            if counts:
                self._count(int(metrics["step"] - 1) // self._updates, counts)

    def steps_of_drops(self) -> dict[str, int]:
        """Family -> the last step that was trained on a batch in which it was drawn."""
        return {name: at // self._sampled * self._updates for name, at in self.dropped.items()}

    def record(self, number: int, attempted: Iterable[Attempted]) -> dict[str, float]:
        """Count a batch.

        Args:
            number: Number of the batch.
            attempted: The questions of all processes.

        Returns:
            The counts as metrics; those of families that are not drawn from now on are marked.
        """
        questions: dict[str, list[int]] = {}
        for question in attempted:
            questions.setdefault(question.family, []).append(question.right)
        counts = {family: (len(right), sum(right)) for family, right in questions.items()}
        before = set(self.dropped)
        self._warn(self._count(number, counts))
        metrics: dict[str, float] = {}
        for family, (asked, right) in sorted(counts.items()):
            metrics[f"families/{family}/questions"] = float(asked)
            metrics[f"families/{family}/right"] = float(right)
            if family in self.dropped and family not in before:
                metrics[f"families/{family}/dropped"] = 1.0
        return metrics

    def _count(self, number: int, counts: Mapping[str, tuple[int, int]]) -> list[str]:
        """Count a batch; returns the families that are hopeless by now."""
        for family, (asked, right) in counts.items():
            streak = self._streaks.get(family, _Streak())
            going_on = _Streak(streak.questions + asked, streak.batches + 1)
            self._streaks[family] = _Streak() if right else going_on
        hopeless = [name for name in sorted(counts) if self._is_hopeless(self._streaks[name])]
        for family in hopeless if self._rule is not None else ():
            if len(self._streaks.keys() - self.dropped.keys()) > 1:  # the last one stays
                self.dropped.setdefault(family, (number + 1) * self._sampled)
        return hopeless

    def _is_hopeless(self, streak: _Streak) -> bool:
        limit = self._limit
        return streak.questions >= limit.questions and streak.batches >= limit.batches

    def _warn(self, hopeless: Sequence[str]) -> None:
        for family in hopeless:
            if family in self._warned:
                continue
            self._warned.add(family)
            streak = self._streaks[family]
            if family in self.dropped:
                then = "it is no longer drawn"
            elif self._rule is not None:
                then = "it stays in the draw, since no other family is left"
            else:
                then = "that teaches to give up; train.drop_hopeless = {} takes it out of the draw"
            _log.warning(
                "family %s: no right attempt at its last %d questions, in %d batches: %s",
                one_line(family), streak.questions, streak.batches, then,
            )  # fmt: skip


def attempted(groups_P: Iterable[Group]) -> list[Attempted]:
    """The questions of a batch of this process of which an attempt is scored."""
    found = []
    for task, trajectories in groups_P:
        verdicts = [v for v in map(is_correct, trajectories) if v is not None]
        if verdicts:
            found.append(Attempted(task.family or UNNAMED, sum(verdicts)))
    return found


def family_metrics(measured: Iterable[tuple[str, Facts]]) -> dict[str, float]:
    """What is logged of the episodes of each family.

    Args:
        measured: The family and the facts of each.
    """
    by_family: dict[str, list[Facts]] = {}
    for family, episode in measured:
        by_family.setdefault(family or UNNAMED, []).append(episode)
    metrics = {}
    for family, episodes in sorted(by_family.items()):
        part = summary_of(episodes)
        for name in SHOWN:
            if (value := getattr(part, name)) is not None:
                metrics[f"families/{family}/{name}"] = float(value)
    return metrics


def _counts(metrics: Mapping[str, float]) -> dict[str, tuple[int, int]]:
    """Family -> questions and right attempts, from the metrics of a step."""
    found: dict[str, dict[str, int]] = {}
    for key, value in metrics.items():
        if match := _COUNT.fullmatch(key):
            found.setdefault(match[1], {})[match[2]] = int(value)
    return {name: (c["questions"], c.get("right", 0)) for name, c in found.items()}
