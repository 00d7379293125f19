"""MME-RealWorld and its Lite part: 43 tasks on large photographs (Zhang et al., arXiv 2408.13257).

Read are the TSV files of VLMEvalKit, whose options are a list as text and whose category holds
both levels,

    index  image  question  multi-choice options  answer  category                   l2-category
    0      ...    What ...  ['(A) red', ...]      B       Perception/Remote Sensing  color

the parquet files of lmms-eval with such columns, and the authors' own JSON beside its folders of
images:

    {"Question_id": "...", "Image": "monitoring_images/1.jpg", "Text": "What ...?",
     "Answer choices": ["(A) 13", ..., "(E) The image does not feature ..."], "Ground truth": "E",
     "Task": "Perception", "Subtask": "Monitoring", "Category": "Vehicle/counting"}

Source: yfzhang114/MME-RealWorld, evaluation/eval_your_results.py and output_test_template.json;
VLMEvalKit e8e78f05, vlmeval/dataset/image_mcq.py (`MMERealWorld`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from saccade.bench.benchmark import ALL, About, Benchmark, Difference, Item, Scored
from saccade.bench.scorers.groups import grouped_by
from saccade.bench.scorers.letters import by_first_capital
from saccade.bench.scorers.published import FIRST_CAPITAL
from saccade.bench.tsv import items_of, task_of_row
from saccade.formats.found import find_files
from saccade.formats.vlmevalkit import INDICES, TsvRow, read_options, read_tsv
from saccade.measures.means import Metric, means_by
from saccade.measures.totals import mean_of_means
from saccade.types import Task

CATEGORY = "category"
KINDS = ("perception", "reasoning")


class _MMERealWorld(Benchmark):
    differences: ClassVar[tuple[Difference, ...]] = FIRST_CAPITAL
    files: ClassVar[tuple[str, ...]]

    def items(self, place: Path) -> Iterator[Item]:
        """One for each question."""
        for file in find_files(place, self.files, self.about.layout):
            rows = read_tsv(file, (*INDICES, "Question_id"))
            yield from items_of(rows, self.name, partial(_task, self.name))

    def compat(self, task: Task, reply: str) -> float | None:
        """What `extract_characters_regex` makes of it, as the authors do too."""
        return by_first_capital(task, reply)

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By task, by subtask, and by category, as in Perception/Remote Sensing/color."""
        return grouped_by(scored, _groups)

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """Accuracy over items, and the authors' mean over subtasks, which they call Avg-C."""
        groups = self.grouped(scored)
        subtasks = {name: pairs for name, pairs in groups.items() if name.count("/") == 1}
        tasks = sorted({name.partition("/")[0] for name in subtasks})
        made = means_by("accuracy", groups)
        for task in (ALL, *tasks):
            of = {n: p for n, p in subtasks.items() if task == ALL or n.startswith(f"{task}/")}
            made.append(mean_of_means("macro accuracy", task, of))
        return made


def _groups(task: Task) -> list[str]:
    kind, _, _ = task.family.partition("/")
    category = str(task.meta.get(CATEGORY) or "")
    return [kind, task.family, *([f"{task.family}/{category}"] if category else [])]


def _task(source: str, row: TsvRow, name: str, max_pixels: int) -> Task:
    authors = row.has("Ground truth")
    kind, _, subtask = row.text("category").partition("/")
    if authors:
        kind, subtask = row.text("Task"), row.text("Subtask")
        if kind.lower() not in KINDS:  # what the row is called begins with it
            kind = row.id.partition("/")[0]
    category = row.text("Category" if authors else "l2-category").lower()
    if "attribute" in category:  # as in the authors' script: one for each kind of object
        category = category.partition("/")[0] + "/attribute"
    return task_of_row(
        row, name, source, max_pixels=max_pixels,
        question=row.text("Text") if authors else None,
        options=dict(read_options(row.value("Answer choices"), row.row)) if authors else None,
        answer=row.text("Ground truth") if authors else None,
        family=f"{kind.capitalize()}/{subtask}" if subtask else kind.capitalize(),
        meta={CATEGORY: category} if category else {},
    )  # fmt: skip


def _about(title: str, items: int, tsv: str) -> About:
    return About(
        title=title,
        items=items,
        licence="no redistribution, no commercial use",
        source="https://huggingface.co/datasets/yifanzhang114/MME-RealWorld-Base64",
        layout=f"{tsv}.tsv, or the authors' {tsv.replace('-', '_')}.json beside its images",
        metric="accuracy: share of right options of five; macro accuracy: the mean of the subtasks",
        differs="the authors and VLMEvalKit take the first capital from A to E of a reply, and an "
        "empty reply for A",
        paper="arXiv 2408.13257",
        tsv=(tsv, tsv.lower().replace("-", "_")),
    )


class MMERealWorld(_MMERealWorld):
    """MME-RealWorld, the English part."""

    name: ClassVar[str] = "mme_realworld"
    about: ClassVar[About] = _about("MME-RealWorld", 23_609, "MME-RealWorld")
    files: ClassVar[tuple[str, ...]] = (
        "MME-RealWorld.tsv", "MME_RealWorld.json", "**/MME_RealWorld.json", "*.tsv", "*.parquet",
        "**/*.parquet",
    )  # fmt: skip


class MMERealWorldLite(_MMERealWorld):
    """MME-RealWorld-Lite: at most 50 items of each task."""

    name: ClassVar[str] = "mme_realworld_lite"
    about: ClassVar[About] = _about("MME-RealWorld-Lite", 1_919, "MME-RealWorld-Lite")
    files: ClassVar[tuple[str, ...]] = (
        "MME-RealWorld-Lite.tsv", "mme_realworld_lite.tsv", "MME-RealWorld-Lite.json",
        "MME_RealWorld_Lite.json", "**/MME*Lite*.json", "*.tsv", "*.parquet", "**/*.parquet",
    )  # fmt: skip
