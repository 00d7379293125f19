"""vstar_mini: twelve questions about small text in photographs of up to 21 megapixels.

A folder with `questions.json` and `images/`:

    [{"id": "vm-01", "image": "images/blackmug.JPG", "question": "What conference name is ...?",
      "options": ["SIGGRAPH", "CVPR", ...], "answer_index": 0, "bbox": [2053, 1368, 2312, 1620],
      "category": "direct_attributes", "free_answer": "SIGGRAPH"}, ...]

where a box is x1, y1, x2, y2 in pixels of the photograph. The photographs are examples of the
repositories penghao-wu/vstar and QwenLM/Qwen3-VL; what they show is not ours to give away.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, Field

from saccade.bench.benchmark import About, Benchmark, Item
from saccade.bench.parts import boxes_of, task_of
from saccade.formats.found import find_files
from saccade.formats.records import Row, read_records
from saccade.types import Task, option_letter


class _Question(BaseModel):
    id: Annotated[str, BeforeValidator(str)] = Field(min_length=1)
    image: str = Field(min_length=1)
    question: str = Field(min_length=1)
    options: tuple[str, ...] = Field(min_length=2)
    answer_index: int = Field(ge=0)
    bbox: tuple[float, float, float, float] | None = None
    category: str = ""


class VStarMini(Benchmark):
    """Small text in large photographs: what a rule that reads text can be tried on."""

    name: ClassVar[str] = "vstar_mini"
    about: ClassVar[About] = About(
        title="V* mini",
        items=12,
        licence="photographs: MIT (penghao-wu/vstar) and Apache-2.0 (QwenLM/Qwen3-VL), not in the "
        "package; questions: Apache-2.0",
        source="the example images of https://github.com/penghao-wu/vstar and "
        "https://github.com/QwenLM/Qwen3-VL, with questions.json beside them",
        layout="the folder with questions.json and images/",
        metric="share of right options, by category and overall",
        differs="no published scorer",
    )

    def items(self, place: Path) -> Iterator[Item]:
        """One for each question."""
        for file in find_files(place, ["questions.json"], self.about.layout):
            for row in read_records(file):
                asked = row.read(_Question)
                yield Item(asked.id, row.place, partial(_task, row, asked))


def _task(row: Row, asked: _Question, max_pixels: int) -> Task:
    if asked.answer_index >= len(asked.options):
        raise row.wrong(f"answer_index: {asked.answer_index} of {len(asked.options)} options")
    image = row.image(asked.image, max_pixels=max_pixels)
    right = f"{option_letter(asked.answer_index)}. {asked.options[asked.answer_index]}"
    boxes = [] if asked.bbox is None else [asked.bbox]
    return task_of(
        row, asked.id, "vstar_mini", asked.question, [image],
        choices=asked.options, answer=right, boxes=boxes_of(row, boxes, image),
        family=asked.category,
    )  # fmt: skip
