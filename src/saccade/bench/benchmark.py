"""What a public benchmark is: how its files are read, its answers scored, its numbers grouped.

A benchmark is one file below `saccade.bench.sets` and a row of `saccade.bench.BENCHMARKS`:

    class Signs(Benchmark):
        name = "signs"
        about = About(title="Signs", items=120, licence="CC BY 4.0", source="https://...", ...)

        def items(self, place: Path) -> Iterator[Item]:
            for row in read_records(find_files(place, ["signs.jsonl"], self.about.layout)[0]):
                yield Item(f"signs-{row.read(Sign).id}", row.place, partial(_task, row))

Everything else has a default: an answer is judged as an option or as text, and the numbers are
accuracies, of all items and by `Task.family`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from saccade.measures.means import Metric, means_by
from saccade.rewards.judges import Choice, Exact, Judge
from saccade.types import Record, Task, Trajectory, Verdict

UNIT = "unit"
"""Key of `Task.meta`: tasks of one unit are no independent trials (the cycles of a question)."""
ALL = "all"


class About(NamedTuple):
    """What there is to say of a benchmark beside its items."""

    title: str
    items: int | None
    """Number of items of the public set, all splits that are read by default; None where it grows
    or is the user's own."""
    licence: str
    """As its authors give it; "not stated" where they do not."""
    source: str
    """Where to get it."""
    layout: str
    """What `data` has to be, as in "a folder with test.jsonl and images/"."""
    metric: str
    """The formula of the headline number, and the source of the formula."""
    differs: str
    """What the published scorers do otherwise, as far as it is known."""
    paper: str = ""
    tsv: tuple[str, ...] = ()
    """Names of its files in the folder of VLMEvalKit ($LMUData), without .tsv."""


class Item(NamedTuple):
    """A row of a benchmark; its images are opened when the task is made."""

    id: str
    where: str
    """File and row, for messages."""
    make: Callable[[int], Task]
    """Maps the most pixels that an image may have to the task.

    Raises FormatError, with file and row, if the row cannot be used.
    """
    unit: str = ""
    """What it is one form of, as in `Task.meta[UNIT]`; where a part of a benchmark is drawn, all
    forms of a question are in it or none."""


class Scored(NamedTuple):
    """An attempt with what one way of scoring makes of it."""

    task: Task
    trajectory: Trajectory
    value: float | None
    """In [0, 1]; None: not scored in this way, and in no average."""


class Difference(NamedTuple):
    """A reply on which our rule and VLMEvalKit's scorer differ; a test plays each."""

    task: Task
    reply: str
    ours: bool | None
    theirs: float | None
    why: str
    """A sentence, with the function of VLMEvalKit."""


class Benchmark(Record):
    """A public benchmark; the fields of a subclass are its options in a run file. Immutable."""

    name: ClassVar[str]
    about: ClassVar[About]
    headline: ClassVar[str] = "accuracy"
    """Name of the metric that tables show first."""
    in_package: ClassVar[bool] = False
    """Whether it needs no data set: `items` then leaves its place alone."""
    differences: ClassVar[tuple[Difference, ...]] = ()
    """At least one for each scorer that `compat` restates."""

    def items(self, place: Path) -> Iterator[Item]:
        """Its rows, in the order of its files.

        Args:
            place: A file or folder, of the layout that `about` describes.

        Raises:
            FormatError: a file or a row cannot be used; names both.
        """
        raise NotImplementedError

    async def judge(self, task: Task, answer: str) -> Verdict:
        """What a rule says of an answer: right, wrong, or undecided. The same for the same answer.

        Where `Verdict.grade` is set, it is what enters the averages.
        """
        rule = Choice() if task.choices else Exact(mismatch="undecided")
        return await rule.judge(task, answer)

    async def judge_episode(self, task: Task, trajectory: Trajectory) -> Verdict:
        """What the rule says of an episode that ended with an answer: by default, of the answer.

        For rules that depend on what the model was shown: a box is in pixels of a shown image.
        """
        return await self.judge(task, trajectory.answer or "")

    def check_tools(self, offered: Collection[str]) -> None:
        """Find out if a run offers the tools that the options of the benchmark speak of.

        Args:
            offered: The names of the tools that a model can call.

        Raises:
            ConfigError: it offers others, so that its numbers would stand for something else.
        """

    def judging(self, model: Judge) -> Judge:
        """How a language model judges where the rule leaves an answer undecided."""
        return model

    def compat(self, task: Task, reply: str) -> float | None:
        """What VLMEvalKit makes of a reply, its known mistakes included; for `--compat` alone.

        None where it has no fixed answer: where it draws one by lot, or asks a model.
        """
        return None

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """The numbers of the benchmark, by group; the default is the mean of the values."""
        return means_by(self.headline, self.grouped(scored))

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """Group -> unit and value of each scored attempt in it: the units are what is drawn anew.

        `all` comes first, then the families in alphabetical order.
        """
        groups: dict[str, list[tuple[str, float]]] = {ALL: []}
        for one in sorted(scored, key=lambda s: s.task.family):
            if one.value is not None:
                pair = (unit_of(one.task), one.value)
                groups[ALL].append(pair)
                if one.task.family != one.task.source:
                    groups.setdefault(one.task.family, []).append(pair)
        return groups

    async def close(self) -> None:
        """Give back what judging has started."""


def unit_of(task: Task) -> str:
    """What is drawn independently: the task, or the question of which it is one form."""
    return str(task.meta.get(UNIT) or task.id)
