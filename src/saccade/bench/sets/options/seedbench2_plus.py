"""SEED-Bench-2-Plus: charts, maps and web pages, rich in text (Li et al., arXiv 2404.16790).

VLMEvalKit's `SEEDBench2_Plus.tsv`, the parquet files of lmms-eval, or the authors' JSON beside its
images, with the columns

    question_id  question_image_type  question  choice_A ... choice_D  answer  data_id  image

where the options of a TSV are in columns A to D.

Source: the data card of doolayer/SEED-Bench-2-Plus; lmms-eval 75571cfe,
tasks/seedbench_2_plus/utils.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from saccade.bench.benchmark import About, Benchmark, Difference, Item
from saccade.bench.scorers.letters import inferred
from saccade.bench.scorers.published import INFERRED
from saccade.bench.tsv import items_of, task_of_row
from saccade.formats.found import find_files
from saccade.formats.vlmevalkit import INDICES, TsvRow, read_tsv
from saccade.types import Task


class SeedBench2Plus(Benchmark):
    """SEED-Bench-2-Plus: chart, map and web."""

    name: ClassVar[str] = "seedbench2_plus"
    about: ClassVar[About] = About(
        title="SEED-Bench-2-Plus",
        items=2_277,
        licence="CC BY-NC 4.0",
        source="https://huggingface.co/datasets/AILab-CVC/SEED-Bench-2-plus",
        layout="SEEDBench2_Plus.tsv, or a folder with parquet files",
        metric="share of right options, overall and by chart, map and web",
        differs="VLMEvalKit reads letters with can_infer; lmms-eval takes the first character of a "
        "reply; the authors compare option likelihoods",
        paper="arXiv 2404.16790",
        tsv=("SEEDBench2_Plus",),
    )
    differences: ClassVar[tuple[Difference, ...]] = INFERRED

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row."""
        files = ("SEEDBench2_Plus.tsv", "*.tsv", "**/*.parquet", "*.jsonl", "*.json")
        for file in find_files(place, files, self.about.layout):
            yield from items_of(read_tsv(file, ("question_id", *INDICES)), self.name, _task)

    def compat(self, task: Task, reply: str) -> float | None:
        """What `can_infer` makes of it."""
        return inferred(task, reply)


def _task(row: TsvRow, name: str, max_pixels: int) -> Task:
    named = {x: row.text(f"choice_{x}", f"choice_{x.lower()}") for x in "ABCD"}
    options = row.options or {letter: text for letter, text in named.items() if text}
    question = row.text("question").replace("<img>", "").strip()
    if not question or not options:
        raise row.row.wrong("question, or A to D: missing or empty")
    return task_of_row(
        row, name, "seedbench2_plus", max_pixels=max_pixels, question=question, options=options,
        family=row.text("question_image_type", "category").capitalize(),
    )  # fmt: skip
