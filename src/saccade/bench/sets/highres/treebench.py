"""TreeBench: small things in crowded scenes, with the boxes that an answer rests on.

One file, `TreeBench.tsv`, with the columns

    index  image  question  A  B  C  D  multi-choice options  answer  category  target_instances

where `category` is as in Perception/Attributes and `target_instances` is a list of boxes as text,
"[[x1, y1, x2, y2], ...]", in pixels of the image. A model is asked to write where it looks as
<box>[x1,y1,x2,y2]</box> in its reasoning; mIoU is the mean over the questions of the mean over the
targets of the best IoU of any box, and 0 where no box was written.

Boxes are read from all turns, and in the frame that the run records (`CoordSpace`), as the image
was shown; they are compared in pixels of the file.

Source: Haochen-Wang409/TreeVGR (arXiv 2507.07999), the inference script of the repository;
VLMEvalKit e8e78f05, vlmeval/dataset/image_mcq.py (`TreeBench.evaluate_box_iou`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import ClassVar

from saccade.bench.benchmark import About, Benchmark, Difference, Item, Scored
from saccade.bench.scorers.groups import grouped_by
from saccade.bench.scorers.letters import by_first_capital
from saccade.bench.scorers.published import FIRST_CAPITAL
from saccade.bench.tsv import items_of, rows_in, task_of_row
from saccade.formats.vlmevalkit import TsvRow, listed_text
from saccade.images.geometry import Box
from saccade.measures.means import Metric, means_by
from saccade.types import StopReason, Task, Trajectory

_NUMBER = r"\s*(-?\d{1,6}(?:\.\d{1,8})?)\s*"
_BOX = re.compile(r"<box>\s*\[" + ",".join([_NUMBER] * 4) + r"\]\s*</box>")
OURS = (StopReason.ABORTED, StopReason.TIMEOUT, None)
"""Episodes that say nothing of the model."""


class TreeBench(Benchmark):
    """TreeBench, from its TSV."""

    name: ClassVar[str] = "treebench"
    about: ClassVar[About] = About(
        title="TreeBench",
        items=405,
        licence="Apache-2.0",
        source="https://huggingface.co/datasets/HaochenWang/TreeBench",
        layout="TreeBench.tsv, or the folder with it",
        metric="share of right options; mIoU: for each target the best IoU of a <box> in the "
        "reasoning, averaged over targets and questions, 0 without a box",
        differs="VLMEvalKit takes the first capital from A to E, reads boxes of whole numbers "
        "without blanks only, and compares boxes on the shown image with pixels of the file",
        paper="arXiv 2507.07999",
        tsv=("TreeBench",),
    )
    differences: ClassVar[tuple[Difference, ...]] = FIRST_CAPITAL

    def items(self, place: Path) -> Iterator[Item]:
        """One for each question."""
        files = ("TreeBench.tsv", "*.tsv", "**/*.parquet")
        return items_of(rows_in(place, files, self.about.layout), self.name, _task)

    def compat(self, task: Task, reply: str) -> float | None:
        """What `extract_characters_regex` makes of it."""
        return by_first_capital(task, reply)

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By perception and reasoning, and by their parts."""
        return grouped_by(scored, _groups)

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """Accuracy of answers, and mIoU of the boxes in the reasoning."""
        traced = [one._replace(value=box_iou(one.task, one.trajectory)) for one in scored]
        return [
            *means_by("accuracy", self.grouped(scored)),
            *(m for m in means_by("mIoU", self.grouped(traced)) if m.n),
        ]


def box_iou(task: Task, trajectory: Trajectory) -> float | None:
    """The mean over the targets of a question of the best IoU of any box in the reasoning.

    None where the question has no target, or the episode failed on our side.
    """
    if trajectory.stop in OURS or not task.boxes or not trajectory.images:
        return None
    shown = trajectory.images[0]
    named = []
    for turn in trajectory.turns:
        text = f"{turn.completion.thought or ''}\n{turn.prefix}{turn.completion.text}"
        for found in _BOX.findall(text):
            box = Box(*map(float, found))
            box = shown.to_source(trajectory.environment.coords.to_pixels(box, shown.size))
            if box.x1 < box.x2 and box.y1 < box.y2:
                named.append(box)
    return fmean(max((b.iou(t.box) for b in named), default=0.0) for t in task.boxes)


def _groups(task: Task) -> list[str]:
    return [task.family.partition("/")[0], task.family]


def _task(row: TsvRow, name: str, max_pixels: int) -> Task:
    return task_of_row(
        row, name, "treebench", max_pixels=max_pixels, family=row.text("category"),
        boxes=[*_targets(row)],
    )  # fmt: skip


def _targets(row: TsvRow) -> Iterator[tuple[float, float, float, float]]:
    """The boxes of a question; corners in any order, and none without an area."""
    if not row.has("target_instances"):
        raise row.row.wrong("target_instances: this column is missing; mIoU is measured by it")
    text = row.text("target_instances")
    boxes = listed_text(text) if text else []
    for box in [text] if boxes is None else boxes:
        try:
            x1, y1, x2, y2 = (
                float(str(side)) for side in (box if isinstance(box, list | tuple) else ())
            )
        except ValueError as error:
            raise row.row.wrong(
                f"target_instances: expected boxes as in [[x1, y1, x2, y2]], got {str(box)[:80]!r}"
            ) from error
        if x1 != x2 and y1 != y2:
            yield min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
