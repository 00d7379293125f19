"""V*Bench: tiny things in large photographs (Wu and Xie, arXiv 2312.14135).

The files as its authors publish them: two folders of photographs, each with a file beside it,

    direct_attributes/sa_4690.json
    {"target_object": ["glove"], "bbox": [[1000, 500, 50, 40]], "question": "What ...?",
     "options": ["The color of the glove is rubber.", ...]}

where a box is x, y, width, height and the first option is right. VLMEvalKit's `VStarBench.tsv` is
read too; it has no boxes.
Source: penghao-wu/vstar, vstar_bench_eval.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, Field

from saccade.bench.benchmark import About, Benchmark, Difference, Item
from saccade.bench.parts import boxes_of, task_of
from saccade.bench.scorers.letters import inferred
from saccade.bench.scorers.published import INFERRED
from saccade.bench.tsv import items_of, task_of_row
from saccade.formats.found import find_files
from saccade.formats.records import Row, read_records
from saccade.formats.vlmevalkit import TsvRow, read_tsv
from saccade.types import Task

IMAGES = (".jpg", ".jpeg", ".png", ".JPG", ".webp")


class _Question(BaseModel):
    question: str = Field(min_length=1)
    options: tuple[str, ...] = Field(min_length=2)
    target_object: tuple[str, ...] = ()
    bbox: tuple[tuple[float, float, float, float], ...] = ()


class VStar(Benchmark):
    """V*Bench, from its folders or from VLMEvalKit's TSV."""

    name: ClassVar[str] = "vstar"
    about: ClassVar[About] = About(
        title="V*Bench",
        items=191,
        licence="MIT",
        source="https://huggingface.co/datasets/craigwu/vstar_bench",
        layout="the folder with direct_attributes/ and relative_position/, or VStarBench.tsv",
        metric="share of right options, by type and overall",
        differs="the authors compare option likelihoods; DeepEyes never shuffles, so that the "
        "right letter is always A; VLMEvalKit reads letters with can_infer",
        paper="arXiv 2312.14135",
        tsv=("VStarBench",),
    )

    differences: ClassVar[tuple[Difference, ...]] = INFERRED

    def items(self, place: Path) -> Iterator[Item]:
        """One for each file beside a photograph, or row of the TSV."""
        if place.suffix == ".tsv":
            yield from items_of(read_tsv(place), self.name, _task_of_tsv)
            return
        for file in find_files(place, ["*/*.json", "**/*.json"], self.about.layout):
            for row in read_records(file):
                name = f"vstar-{file.parent.name}-{file.stem}"
                yield Item(name, row.place, partial(_task, name, row))

    def compat(self, task: Task, reply: str) -> float | None:
        """What `can_infer` makes of it."""
        return inferred(task, reply)


def _task_of_tsv(row: TsvRow, name: str, max_pixels: int) -> Task:
    return task_of_row(row, name, "vstar", max_pixels=max_pixels, family=row.text("category"))


def _task(name: str, row: Row, max_pixels: int) -> Task:
    asked = row.read(_Question)
    beside = (row.file.with_suffix(suffix) for suffix in IMAGES)
    photo = next((file.name for file in beside if file.is_file()), f"{row.file.stem}.jpg")
    image = row.image(photo, max_pixels=max_pixels)
    boxes = [(x, y, x + w, y + h) for x, y, w, h in asked.bbox]
    return task_of(
        row, name, "vstar", asked.question, [image],
        choices=asked.options, answer=f"A. {asked.options[0]}",
        boxes=boxes_of(row, boxes, image, asked.target_object),
        family=row.file.parent.name,
    )  # fmt: skip
