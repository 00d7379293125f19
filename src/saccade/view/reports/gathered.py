"""What the figures show, gathered from run folders and trainings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from saccade.measures.means import Metric
from saccade.measures.summary import Pair, Summary, summary, summary_by
from saccade.measures.tool_use import ToolUse, tool_use, tool_use_by
from saccade.types import Record, Task
from saccade.view.dynamics import Dynamics
from saccade.view.reports.changes import ALL, Asked, asked_of
from saccade.view.sound import Damage, sound_entries
from saccade.view.steps import kept_steps

_FAMILY = re.compile(
    r"families/(?P<family>.{1,200})/"
    r"(?P<name>accuracy|low|high|scored|tool_calls|tool_call_rate)"
)
"""What a training logs of each family of its questions; the names are those of `Summary`."""
_OLDER = re.compile(r"(?P<name>accuracy|tool_call_rate)/(?P<family>.{1,200})")
CURVES = {
    "accuracy": "accuracy", "tool_calls": "calls per episode", "tool_call_rate": "episodes with a "
    "successful call",
}  # fmt: skip
"""Those of them that are drawn, and what they are called; the others are intervals and n."""


class RunTools(Record):
    """What a run of episodes called, and how well it answered, by family."""

    run: str
    families: dict[str, ToolUse]
    """By the family of the tasks, if there are several; last those of `all`."""
    summaries: dict[str, Summary]
    asked: dict[str, Asked]
    """By the id of its task, what was done with each question of finished episodes."""

    def accuracy(self, family: str) -> Metric | None:
        """The accuracy of a family with its interval; None where nothing of it is scored."""
        found = self.summaries.get(family)
        if found is None or found.accuracy is None:
            return None
        units = found.scored if found.tasks is None else found.tasks
        return Metric(
            name="accuracy", group=family, value=found.accuracy, low=found.low, high=found.high,
            n=found.scored, units=units, method="wilson",
        )  # fmt: skip


class StepTools(Record):
    """What the episodes of a kept step of a training called."""

    step: int
    use: ToolUse
    summary: Summary
    notes: tuple[str, ...] = ()
    """Records that could not be used, and why."""


class FamilyColumn(NamedTuple):
    """A metric that a training logs for each family."""

    family: str
    name: str
    key: str
    """In its metrics."""


def run_tools(run: str, pairs: Sequence[Pair]) -> RunTools:
    """What the episodes of a run called."""
    families, summaries = (tool_use_by(_family, pairs), summary_by(_family, pairs))
    several = len(families) > 1
    return RunTools(
        run=run,
        families={**(families if several else {}), ALL: tool_use(ALL, pairs)},
        summaries={**(summaries if several else {}), ALL: summary(pairs)},
        asked=asked_of(pairs),
    )


def steps_tools(training: Path) -> tuple[StepTools, ...]:
    """What was called in the steps whose episodes a training kept; empty where it kept none."""
    made = []
    for step in kept_steps(training):
        damage = Damage()
        pairs = [
            (entry.task, entry.trajectory)
            for folder in step.folders
            for entry in sound_entries(folder, damage)
        ]
        made.append(
            StepTools(
                step=step.number, use=tool_use(ALL, pairs), summary=summary(pairs),
                notes=damage.sentences,
            )
        )  # fmt: skip
    return tuple(made)


def families_of(runs: Sequence[RunTools]) -> list[str]:
    """The families of the runs in the order in which they come; `all` last."""
    names = dict.fromkeys(name for run in runs for name in run.families if name != ALL)
    return [*names, ALL]


def family_columns(runs: Sequence[Dynamics]) -> list[FamilyColumn]:
    """What trainings log for each family, in the order of the metrics."""
    found: dict[str, FamilyColumn] = {}
    for key in _keys(runs):
        if match := _FAMILY.fullmatch(key) or _OLDER.fullmatch(key):
            found[key] = FamilyColumn(match["family"], match["name"], key)
    return sorted(found.values(), key=lambda column: column.family)


def metrics_of(
    runs: Sequence[RunTools], family: str, of: Mapping[str, str]
) -> dict[str, dict[str, Metric]]:
    """Rates of code, by run and by the sentence that names them.

    Args:
        runs: What they called.
        family: Of which questions.
        of: Field of `CodeCalls` -> what it is called.
    """
    made: dict[str, dict[str, Metric]] = {}
    for run in runs:
        use = run.families.get(family)
        if use is not None and use.code is not None:
            made[run.run] = {title: getattr(use.code, name) for name, title in of.items()}
    return made


def _family(task: Task) -> str:
    return task.family


def _keys(runs: Sequence[Dynamics]) -> Iterator[str]:
    for run in runs:
        for row in run.steps:
            yield from row
