"""What benchmarks of looked-up answers share: several gold answers, and how often a model searched.

Beside the accuracy stand two numbers that need no judge: the share of exact matches, which is the
reward that such models are trained with, and the search ratio, the share of questions for which the
model called a search tool (Source of both: MMSearch-R1, arXiv 2506.20670, sections 3 and 5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from pydantic import BaseModel, JsonValue

from saccade.bench.benchmark import Benchmark, Scored
from saccade.bench.cells import Golds, first_of
from saccade.bench.measured.searches import is_search, searches_with
from saccade.bench.parts import task_of
from saccade.bench.scorers.short_answers import ANSWERS, distinct, golds_of, judged, matches
from saccade.bench.scorers.short_answers import reference as reference_of
from saccade.formats import rows
from saccade.formats.records import Row
from saccade.images.image import Image
from saccade.measures.means import Metric, means_by
from saccade.types import StopReason, Task, Trajectory, Verdict

FILES = ("data_id", "category", "image_urls")
"""Columns of MMSearch-R1's files that training does not read."""


class SearchBenchmark(Benchmark):
    """A benchmark of short answers that have to be looked up."""

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Right if it is a gold answer, wrong if it says that it cannot tell, else undecided."""
        return judged(golds_of(task), answer)

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """Accuracy, exact matches, and where search tools are offered the search ratio."""
        found = [*super().metrics(scored), *self.shares("exact match", scored, exact)]
        if any(offers_search(one.trajectory) for one in scored):
            found += self.shares("search ratio", scored, searched)
        return found

    def shares(
        self, name: str, scored: Sequence[Scored], value: Callable[[Scored], bool | float]
    ) -> list[Metric]:
        """A number of every finished attempt, whether a judge decided or not, by group."""
        ended = [s._replace(value=float(value(s))) for s in scored if is_finished(s.trajectory)]
        return means_by(name, self.grouped(ended))


def exact(one: Scored) -> bool:
    """Whether the answer of an attempt is one of the gold answers."""
    return matches(golds_of(one.task), one.trajectory.answer or "")


def searched(one: Scored) -> bool:
    """Whether an attempt called a search tool."""
    return any(map(is_search, one.trajectory.results))


def offers_search(trajectory: Trajectory) -> bool:
    """Whether the model could search."""
    return any(searches_with(tool.name) for tool in trajectory.environment.tools)


def is_finished(trajectory: Trajectory) -> bool:
    """Whether an episode neither failed on our side nor ran out of time."""
    return trajectory.stop not in (None, StopReason.ABORTED, StopReason.TIMEOUT)


def short_task(
    row: Row,
    name: str,
    source: str,
    question: str,
    images: Sequence[Image],
    *,
    golds: Sequence[str],
    reference: str | None = None,
    family: str = "",
    meta: Mapping[str, JsonValue] | None = None,
) -> Task:
    """The task of a row with several gold answers, of which any is right.

    Args:
        row: Where it stands.
        name: What it is called.
        source: The benchmark.
        question: Its text.
        images: What is shown before the text.
        golds: The gold answers.
        reference: What a model that judges is shown; None: "x or y" of the gold answers.
        family: The group by which numbers are told apart.
        meta: What scoring and grouping need beside these.

    Raises:
        FormatError: there is no answer, or a piece cannot be used; names file and row.
    """
    known = distinct(golds)
    if not known:
        raise row.wrong("answer: none")
    return task_of(
        row, name, source, question, images,
        answer=reference_of(known) if reference is None else reference,
        family=family, meta={ANSWERS: list(known), **(meta or {})},
    )  # fmt: skip


class _Reward(BaseModel):
    ground_truth: Golds
    candidate_answers: Golds = ()


class _Model(BaseModel):
    reward_model: _Reward


def is_wanted(column: str) -> bool:
    """Whether a column of a file in the format of MMSearch-R1 is read."""
    return column in FILES or rows.is_read(column)


def trained_task(
    row: Row, name: str, source: str, number: int, *, family: str, max_pixels: int
) -> Task:
    """The task of a row in the training format of MMSearch-R1; see `saccade.formats.parquet`.

    Raises:
        FormatError: it cannot be used; names file and row.
    """
    reward = row.read(_Model).reward_model
    golds = distinct((*reward.ground_truth, *reward.candidate_answers))
    if not golds:
        raise row.wrong("reward_model.ground_truth: no answer")
    ours = {key: value for key, value in row.values.items() if key != "reward_model"}
    known = {"reward_model": {"ground_truth": reference_of(golds)}}
    task = rows.task_of(ours | known, name, row.file, number, max_pixels)
    found: dict[str, object] = {"family": family, ANSWERS: list(golds)}
    for column in ("data_id", "image_urls"):
        if (value := first_of(row, column)) is not None:
            found[column] = [str(v) for v in value] if isinstance(value, list) else str(value)
    meta = cast(dict[str, JsonValue], {key: value for key, value in found.items() if value})
    return task.model_copy(update={"source": source, "meta": meta})
