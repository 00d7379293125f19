"""Any TSV file of VLMEvalKit: `saccade bench vlmevalkit data=MMBench_DEV_EN.tsv`.

Where there are columns A, B, ... the questions have options; else their answers are texts, which
only equal ones are right by rule. Files whose names say that VLMEvalKit takes their rows for cycles
of a question (MMBench, CCBench, MMCR) are read so: the rows whose index is the same modulo
1,000,000 are one question, their options are not moved, and `all cycles right` is their number.

Source: VLMEvalKit e8e78f05, vlmeval/dataset/image_mcq.py (`evaluate_heuristic`) and
vlmeval/dataset/utils/multiple_choice.py (`mcq_circular_eval`, `report_acc`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import JsonValue

from saccade.bench.benchmark import UNIT, About, Benchmark, Difference, Item, Scored
from saccade.bench.order import KEPT
from saccade.bench.scorers import letters
from saccade.bench.scorers.groups import all_right, grouped_by
from saccade.bench.scorers.published import INFERRED
from saccade.bench.tsv import items_of, task_of_row
from saccade.errors import FormatError
from saccade.formats.found import find_files
from saccade.formats.vlmevalkit import TsvRow, read_tsv
from saccade.measures.means import Metric
from saccade.types import Task

GROUPS = "groups"
CIRCULAR = ("mmbench", "ccbench", "circular", "mmcr")


class VLMEvalKit(Benchmark):
    """A TSV file of VLMEvalKit, of whatever data set."""

    name: ClassVar[str] = "vlmevalkit"
    about: ClassVar[About] = About(
        title="a TSV file of VLMEvalKit",
        items=None,
        licence="that of the data set",
        source="https://github.com/open-compass/VLMEvalKit",
        layout="a .tsv file with the columns index, image, question, answer",
        metric="share of right answers, overall, by split, l2-category and category",
        differs="VLMEvalKit reads letters with can_infer, and draws an option by lot where its "
        "judge fails; data sets with scorers of their own are not restated",
    )
    differences: ClassVar[tuple[Difference, ...]] = (
        *INFERRED,
        Difference(
            Task(id="-", prompt=("Is it red?",), answer="Yes"), "no, wait, yes", None, None,
            "YOrN_Extraction finds both words and asks a model",
        ),
    )  # fmt: skip

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row of the file."""
        files = find_files(place, ["*.tsv"], self.about.layout)
        if len(files) > 1:
            names = ", ".join(file.name for file in files[:5])
            raise FormatError(f"{place}: several files ({names}); name one with data=FILE")
        return items_of(read_tsv(files[0]), files[0].stem, _task)

    def compat(self, task: Task, reply: str) -> float | None:
        """What `can_infer`, or `YOrN_Extraction`, makes of it; None for other texts."""
        if task.choices:
            return letters.inferred(task, reply)
        if (task.answer or "").lower() not in ("yes", "no"):
            return None
        said = letters.yes_or_no(reply)
        return None if said is None else float(said == (task.answer or "").lower())

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By split, l2-category and category, where the file has them."""
        return grouped_by(scored, _groups)

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """Accuracies, and of files with cycles the share of questions right in all of them."""
        cycles = [one for one in scored if UNIT in one.task.meta and KEPT in one.task.meta]
        return super().metrics(scored) + all_right("all cycles right", cycles, _groups)


def _groups(task: Task) -> list[str]:
    groups = task.meta.get(GROUPS)
    return [str(group) for group in groups] if isinstance(groups, list) else []


def _task(row: TsvRow, name: str, max_pixels: int) -> Task:
    category = row.text("category")
    levels = (row.text("split"), row.text("l2-category", "L2-category", "l2_category"), category)
    meta: dict[str, JsonValue] = {GROUPS: [level for level in levels if level]}
    stem = row.row.file.stem
    if row.id.isdigit() and any(mark in stem.lower() for mark in CIRCULAR):
        meta |= {
            UNIT: f"{stem}-{row.text('g_index') or int(row.id) % 10**6}",
            KEPT: "the rows of this file are cycles of questions",
        }
    return task_of_row(
        row, name, stem, max_pixels=max_pixels, family=category, meta=meta, text_only=True
    )
