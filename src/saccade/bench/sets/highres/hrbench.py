"""HR-Bench 4K and 8K: photographs of 4,000 and 8,000 pixels (Wang et al., arXiv 2408.15556).

The files as its authors publish them, `hr_bench_4k.tsv` or `.parquet`, with the columns

    index  question  answer  category  A  B  C  D  cycle_category  image

where `image` is base64 and `category` is `single` (FSP) or `cross` (FCP). There are 200 questions;
each stands in four rows, the cycles of its options, so that the right letter is A, B, C and D once
each. No column says which rows belong together: those with one question, category and image do.

The options are not moved: four cycles of every question are balanced already, and the cycles that
are published are the protocol.

Source: the data card of DreamMr/HR-Bench; VLMEvalKit e8e78f05, vlmeval/dataset/utils/hrbench.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from saccade.bench.benchmark import ALL, UNIT, About, Benchmark, Difference, Item, Scored
from saccade.bench.order import KEPT
from saccade.bench.scorers.groups import all_right, pairs_of
from saccade.bench.scorers.letters import inferred
from saccade.bench.scorers.published import INFERRED
from saccade.bench.tsv import items_of, rows_in, task_of_row
from saccade.formats.vlmevalkit import TsvRow
from saccade.measures.means import Metric, mean_of
from saccade.measures.totals import mean_of_means
from saccade.types import Task

CYCLE = "cycle"
FAMILIES = {"single": "FSP", "cross": "FCP"}
"""Fine-grained single-instance and cross-instance perception."""


class _HRBench(Benchmark):
    differences: ClassVar[tuple[Difference, ...]] = INFERRED
    files: ClassVar[tuple[str, ...]]

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row: four for each question."""
        rows = rows_in(place, self.files, self.about.layout)
        return items_of(rows, self.name, partial(_task, self.name))

    def compat(self, task: Task, reply: str) -> float | None:
        """What `can_infer` makes of it."""
        return inferred(task, reply)

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """Accuracy as the mean over the cycles, and the share of questions right in all four."""
        families = sorted({one.task.family for one in scored if one.task.family in ("FSP", "FCP")})
        made = [_mean_over_cycles(ALL, scored)]
        for family in reversed(families):
            of = [one for one in scored if one.task.family == family]
            made.append(_mean_over_cycles(family, of))
        return made + all_right("all cycles right", scored, lambda task: [task.family])


def _mean_over_cycles(group: str, scored: Sequence[Scored]) -> Metric:
    cycles = {str(one.task.meta.get(CYCLE)): list[Scored]() for one in scored}
    for one in scored:
        cycles[str(one.task.meta.get(CYCLE))].append(one)
    parts = {cycle: pairs_of(many) for cycle, many in sorted(cycles.items())}
    if len({len(pairs) for pairs in parts.values()}) == 1:  # then it is the mean of all attempts
        return mean_of("accuracy", group, pairs_of(scored))
    return mean_of_means("accuracy", group, parts)


def _task(source: str, row: TsvRow, name: str, max_pixels: int) -> Task:
    category = row.text("category")
    task = task_of_row(
        row, name, source, max_pixels=max_pixels,
        family=FAMILIES.get(category.lower(), category),
        meta={
            CYCLE: row.text("cycle_category") or "none",
            KEPT: "the four cycles of a question are balanced already",
        },
    )  # fmt: skip
    asked = [task.question, category, *(image.source.digest for image in task.images)]
    unit = hashlib.sha256("\n".join(asked).encode()).hexdigest()[:16]
    return task.model_copy(update={"meta": {**task.meta, UNIT: f"{source}-{unit}"}})


def _about(size: str, gigabytes: str) -> About:
    low = size.lower()
    return About(
        title=f"HR-Bench {size}",
        items=800,
        licence="other (no text is given)",
        source="https://huggingface.co/datasets/DreamMr/HR-Bench",
        layout=f"hr_bench_{low}.tsv ({gigabytes}) or .parquet, or the folder with it",
        metric="mean over the four option cycles of the share of right options: FSP, FCP, all",
        differs="VLMEvalKit reads letters with can_infer, and draws an option by lot where its "
        "judge fails; the authors ask a language model yes or no",
        paper="arXiv 2408.15556",
        tsv=(f"HRBench{size}", f"hr_bench_{low}"),
    )


class HRBench4K(_HRBench):
    """HR-Bench 4K: 200 questions in four cycles."""

    name: ClassVar[str] = "hrbench_4k"
    about: ClassVar[About] = _about("4K", "1.9 GB")
    files: ClassVar[tuple[str, ...]] = (
        "HRBench4K.tsv", "hr_bench_4k.tsv", "hr_bench_4k.parquet", "**/hr*bench_4k*.parquet",
    )  # fmt: skip


class HRBench8K(_HRBench):
    """HR-Bench 8K: 200 questions in four cycles."""

    name: ClassVar[str] = "hrbench_8k"
    about: ClassVar[About] = _about("8K", "4.6 GB")
    files: ClassVar[tuple[str, ...]] = (
        "HRBench8K.tsv", "hr_bench_8k.tsv", "hr_bench_8k.parquet", "**/hr*bench_8k*.parquet",
    )  # fmt: skip
