"""vstar_mini: twelve questions about small text in photographs of up to 21 megapixels.

The questions are ours and in the package (`vstar_mini.json`); what the photographs show is not ours
to give away. They are ten example images of two repositories, under the names that they have there,
in one folder or in its `images/`. A `questions.json` in the folder is read in place of ours:

    [{"id": "vm-01", "image": "images/blackmug.JPG", "question": "What conference name is ...?",
      "options": ["SIGGRAPH", "CVPR", ...], "answer_index": 0, "bbox": [2053, 1368, 2312, 1620],
      "category": "direct_attributes"}, ...]

where a box is x1, y1, x2, y2 in pixels of the photograph.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, Field

from saccade.bench.benchmark import About, Benchmark, Item
from saccade.bench.parts import boxes_of, task_of
from saccade.errors import FormatError
from saccade.formats.found import find_files
from saccade.formats.records import Row, read_records
from saccade.types import Task, option_letter

OURS = Path(__file__).with_suffix(".json")
THEIRS = "questions.json"
PHOTOGRAPHS = {
    "https://github.com/penghao-wu/vstar, assets/example_images": (
        "bag_of_bottle.jpeg", "blackmug.JPG", "doll.JPG", "flag.JPG", "instrument.webp", "nba.png",
        "queue_time.jpg", "signicade.JPG", "vending_machine.jpg",
    ),
    "https://github.com/QwenLM/Qwen3-VL, cookbooks/assets/spatial_understanding": (
        "football_field.jpg",
    ),
}  # fmt: skip
"""Where the photographs of our questions are published."""
SOURCE = "; ".join(f"{where}: {', '.join(names)}" for where, names in PHOTOGRAPHS.items())


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
        source=SOURCE,
        layout="a folder with these ten photographs, side by side or in images/; the questions are "
        "in the package, or are those of a questions.json in the folder",
        metric="share of right options, by category and overall",
        differs="no published scorer",
    )

    def items(self, place: Path) -> Iterator[Item]:
        """One for each question."""
        if place.is_dir() and not (place / THEIRS).exists():
            rows = _asked_here(place, self.about.source)
        else:
            rows = read_records(find_files(place, [THEIRS], self.about.layout)[0])
        for row in rows:
            asked = row.read(_Question)
            yield Item(asked.id, row.place, partial(_task, row, asked))


def _asked_here(place: Path, source: str) -> Iterator[Row]:
    """Our questions about the photographs of a folder.

    Raises:
        FormatError: some are not there; names them, and where they are published.
    """
    inner = place / "images"
    folder = inner if inner.is_dir() else place
    wanted = [name for names in PHOTOGRAPHS.values() for name in names]
    if missing := [name for name in wanted if not (folder / name).is_file()]:
        raise FormatError(
            f"{folder}: of the ten photographs {len(missing)} are missing: {', '.join(missing)}; "
            f"they are published in {source}"
        )
    for row in read_records(OURS):
        yield Row(folder / OURS.name, f"{OURS.name}: {row.values['id']}", row.values)


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
