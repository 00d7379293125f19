"""CV-Bench: counting, relations, depth and distance (Tong et al., Cambrian-1, arXiv 2406.16860).

The files as its authors publish them, `test_2d.parquet` and `test_3d.parquet` (or `test.parquet`,
or the `.jsonl` files beside `img/`), with the columns

    idx  type  task   image  question  choices     answer  prompt  filename  source  ...
    0    2D    Count  {...}  How many  [1, 2, 3]   (C)     ...     ...       ADE20K

or VLMEvalKit's `CV-Bench-2D.tsv` and `CV-Bench-3D.tsv`. The question is asked with the options of
the row, not with its ready `prompt`, in which they cannot be moved.

Accuracy of 2D is the mean over its sources ADE20K and COCO, that of 3D the accuracy on Omni3D, and
the overall one the mean of both. Source: the data card of nyu-visionx/CV-Bench; Cambrian-1,
appendix C; lmms-eval 75571cfe, tasks/cv_bench/utils.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from saccade.bench.benchmark import ALL, About, Benchmark, Difference, Item, Scored
from saccade.bench.scorers.groups import grouped_by, pairs_of
from saccade.bench.scorers.letters import inferred
from saccade.bench.scorers.published import INFERRED
from saccade.bench.tsv import rows_in, task_of_row
from saccade.formats.vlmevalkit import TsvRow
from saccade.measures.means import Metric, means_by
from saccade.measures.totals import mean_of_means
from saccade.types import Task

TYPE, SOURCE = "type", "source"


class CVBench(Benchmark):
    """CV-Bench, 2D and 3D."""

    name: ClassVar[str] = "cvbench"
    about: ClassVar[About] = About(
        title="CV-Bench",
        items=2_638,
        licence="Apache-2.0",
        source="https://huggingface.co/datasets/nyu-visionx/CV-Bench",
        layout="a folder with test_2d.parquet and test_3d.parquet, or CV-Bench-2D.tsv and -3D.tsv",
        metric="2D: mean of the accuracies on ADE20K and COCO; 3D: accuracy; all: mean of both",
        differs="VLMEvalKit reads letters with can_infer; lmms-eval takes the first letter of a "
        "reply, whatever word it begins",
        paper="arXiv 2406.16860",
    )
    differences: ClassVar[tuple[Difference, ...]] = INFERRED

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row."""
        patterns = (
            "CV-Bench-*.tsv", "test_[23]d.parquet", "test.parquet", "test_[23]d.jsonl",
            "test.jsonl", "**/*.parquet",
        )  # fmt: skip
        for row in rows_in(place, patterns, self.about.layout):
            name = f"cvbench-{row.text('type', 'split')}-{row.id}"
            yield Item(name, row.place, partial(_task, row, name))

    def compat(self, task: Task, reply: str) -> float | None:
        """What `can_infer` makes of it."""
        return inferred(task, reply)

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By source and by task, as in 2D/Count."""
        return grouped_by(scored, lambda task: [str(task.meta[SOURCE]), task.family])

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """The means over sources first, then plain accuracies of sources and tasks."""
        types: dict[str, dict[str, list[Scored]]] = {}
        for one in scored:
            if one.value is not None:
                sources = types.setdefault(str(one.task.meta[TYPE]), {})
                sources.setdefault(str(one.task.meta[SOURCE]), []).append(one)
        parts = {
            f"{kind}/{source}": pairs_of(many)
            for kind, sources in types.items()
            for source, many in sources.items()
        }
        weights = {name: 1 / len(types[name.partition("/")[0]]) for name in parts}
        made = [mean_of_means("accuracy", ALL, parts, weights=weights)]
        for kind in sorted(types):
            of = {name: pairs for name, pairs in parts.items() if name.startswith(f"{kind}/")}
            made.append(mean_of_means("accuracy", kind, of))
        rest = {name: pairs for name, pairs in self.grouped(scored).items() if name != ALL}
        return made + means_by("accuracy", rest)


def _task(row: TsvRow, name: str, max_pixels: int) -> Task:
    kind, source = row.text("type", "split").upper(), row.text("source")
    for column, value in (("type", kind), ("source", source)):
        if not value:
            raise row.row.wrong(f"{column}: missing or empty; the numbers are grouped by it")
    return task_of_row(
        row, name, "cvbench", max_pixels=max_pixels,
        family=f"{kind}/{row.text('task', 'category') or 'all'}",
        meta={TYPE: kind, SOURCE: source},
    )  # fmt: skip
