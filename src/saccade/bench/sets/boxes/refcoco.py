"""RefCOCO, RefCOCO+ and RefCOCOg: the box of what an expression refers to.

The parquet files of lmms-lab, a row for an object and a question for each of its expressions,

    data/testA-00000-of-00001.parquet
    question_id, image {bytes, path}, question ("Provide a short description ..."),
    answer ["far left baby", ...], bbox [x, y, w, h] in pixels, segmentation, iscrowd, file_name

or VLMEvalKit's TSV, which holds all three, a row for an expression:

    index  image   question                            answer                    category
    119    /9j/4.. Please ...: <ref>man in red</ref>   [0.09, 0.03, 0.47, 0.47]  RefCOCO+ test-A

where the answer is x1, y1, x2, y2 as shares of the sides. The expression stands in `answer` of the
former, whose question asks for a description, and in `question` of the latter.
Source: lmms-eval, tasks/refcoco/utils_rec.py (refcoco_bbox_rec_preprocess_dataset); VLMEvalKit,
dataset/refcoco.py, and a row of the file in its issue 1330.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from PIL import Image as PILImage
from pydantic import BaseModel

from saccade.bench.benchmark import UNIT, About, Difference, Item
from saccade.bench.cells import picture, rows_of_set
from saccade.bench.parts import boxes_of, task_of
from saccade.bench.scorers.boxes import BoxBenchmark, answer_of
from saccade.formats.found import find_files
from saccade.formats.records import Row, unpacked
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.types import TargetBox, Task

Split = Literal["val", "test", "testA", "testB", "train"]
QUESTION = (
    "Locate the one region of the image that this expression refers to: {}\n"
    "Answer with its box alone: [x1, y1, x2, y2]"
)

_SPLIT = re.compile(
    r"(?:^|[\W_])(val|test|train)(?:idation)?[-_ ]?([AB]?)(?=[\W_]|$)", re.IGNORECASE
)
_SET = re.compile(r"RefCOCO(\+|plus|g)?(?![a-z])", re.IGNORECASE)
_REF = re.compile(r"<ref>\s*(.*?)\s*</ref>|\bdescribes:\s*(.+)$", re.DOTALL)
_NUMBER = r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
_THEIRS = re.compile(r"\[\s*" + r"(?:\s*,\s*|\s+)".join([f"({_NUMBER})"] * 4) + r"\s*\]")
_CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
_SHARES = 1.5
"""Corners of the TSV that are at most this are shares of the sides. Source: VLMEvalKit, the same.
"""
_READ = {
    "question_id", "index", "image", "question", "answer", "bbox", "file_name", "split",
    "category", "dataset", *_CORNERS,
}  # fmt: skip


def about_of(title: str, folder: str, items: int, partition: str = "") -> About:
    """What there is to say of one of the three sets."""
    return About(
        title=title,
        items=items,  # of VLMEvalKit's TSV, which holds the partitions of papers
        licence="not stated; photographs of COCO, under their own licences",
        source=f"https://huggingface.co/datasets/lmms-lab/{folder}",
        layout="the folder with data/*.parquet, or VLMEvalKit's RefCOCO.tsv",
        metric="share of boxes with an IoU of 0.5 or more (Yu et al. 2016, arXiv 1608.00272), by "
        "split; mean IoU beside it",
        differs="VLMEvalKit takes a box whose numbers are at most 1000 for thousandths of the "
        "sides, the first of several, and any four numbers where there is no box, and averages "
        "over splits; lmms-eval asks for shares of the sides (bbox_rec), or tries two frames and "
        "keeps the one that fits better (grounding)" + (f"; {partition}" if partition else ""),
        paper="arXiv 1608.00272",
        tsv=("RefCOCO",),
    )


def _shown(answer: str) -> Task:
    image = Image.from_pixels(PILImage.new("RGB", (640, 480)))
    box = Box(*map(float, answer.strip("[]").split(",")))
    return Task(
        id="difference", prompt=(image, QUESTION.format("the kite")), answer=answer,
        boxes=(TargetBox(box=box),),
    )  # fmt: skip


_KITE = _shown("[100, 100, 300, 300]")
DIFFERENCES = (
    Difference(
        _KITE, "[100, 100, 300, 300]", True, 4048 / 48240,
        "`_to_absolute` takes pixels of a 640x480 photograph for thousandths of its sides",
    ),
    Difference(
        _KITE, "[156.25, 208.334, 468.75, 625] or [0, 0, 90, 90]", False, 1.0,
        "`_parse_prediction` takes the first of several boxes",
    ),
    Difference(
        _KITE, "Between 156.25, 208.334, 468.75 and 625 of 1000", False, 1.0,
        "`_parse_prediction` takes any four numbers where there is no box",
    ),
)  # fmt: skip


class _Given(BaseModel):
    question_id: str | int | None = None
    index: str | int | None = None
    image: object
    question: str | None = ""
    answer: object = None
    bbox: object = None
    file_name: str | None = None
    split: str | None = None
    dataset: str | None = None
    category: str | None = None


class _Object(NamedTuple):
    """What a row tells of an object."""

    expressions: Sequence[str]
    box: tuple[float, ...]
    """x1, y1, x2, y2, in pixels or as shares of the sides."""


class RefCoco(BoxBenchmark):
    """RefCOCO, from the parquet files of lmms-lab or VLMEvalKit's TSV."""

    name: ClassVar[str] = "refcoco"
    differences: ClassVar[tuple[Difference, ...]] = DIFFERENCES
    suffix: ClassVar[str] = ""
    """What the name of the set in the TSV ends in."""
    merged: ClassVar[tuple[str, ...]] = ("val",)
    """Splits in which lmms-lab has put two partitions together, so that an object may come twice.
    By their numbers: 8,811 objects are the 3,811 of UNC's `val` and the 5,000 of Google's."""
    about: ClassVar[About] = about_of(
        "RefCOCO", "RefCOCO", 21_586, "published figures are of the 3,811 objects (10,834 "
        "expressions) of UNC's val, lmms-lab's val holds 8,811",
    )  # fmt: skip

    split: Split | None = None
    """The split that is asked; None: all that are found, `train` aside."""

    def items(self, place: Path) -> Iterator[Item]:
        """One for each expression; those of an object are one unit."""
        patterns = ["data/*.parquet", "**/*.parquet", "*.tsv", "*.jsonl", "*.json"]
        seen: dict[str, list[object]] = {}
        for file in find_files(place, patterns, self.about.layout):
            for row in rows_of_set(file, wanted=_READ.__contains__):
                given = row.read(_Given)
                if (split := self._split(row, given)) is None:
                    continue
                found = _object(row, given)
                name = f"{self.name}-{split}-{_id(row, given)}"
                if split in self.merged:
                    known = seen.setdefault(name, [(given.file_name, found.box)])
                    if known[0] == (given.file_name, found.box):
                        name = name if len(known) == 1 else f"{name}~{len(known)}"
                        known.append(None)
                yield from self._asked(row, name, split, found)

    def _asked(self, row: Row, unit: str, split: str, found: _Object) -> Iterator[Item]:
        several = len(found.expressions) > 1
        for number, expression in enumerate(found.expressions, 1):
            name = f"{unit}-{number}" if several else unit
            make = partial(_task, row, name, self.name, expression, found.box, split, unit)
            yield Item(name, row.place, make)

    def _split(self, row: Row, given: _Given) -> str | None:
        """The split of a row; None if it is another set, or not asked."""
        label = given.split or given.dataset or given.category or ""
        if (of := _SET.search(label)) and (of[1] or "").lower().replace("plus", "+") != self.suffix:
            return None
        found = _SPLIT.search(label) or _SPLIT.search(row.file.name)
        split = f"{found[1].lower()}{found[2].upper()}" if found else "all"
        wanted = split == self.split if self.split else split != "train"
        return split if wanted else None

    def compat(self, task: Task, reply: str) -> float | None:
        """The IoU that VLMEvalKit finds: hits are those of 0.5 or more, as ours.

        Source: dataset/refcoco.py, `_parse_prediction`, `_to_absolute`.
        """
        width, height = task.images[0].source.size
        match = _THEIRS.search(reply)
        numbers = match.groups() if match else re.findall(_NUMBER, reply)[:4]
        if len(numbers) < 4:
            return 0.0
        values = [float(number) for number in numbers]
        largest = max(map(abs, values))
        per = 1.0 if largest <= _SHARES else 1000.0 if largest <= 1000 else None
        if per is not None:
            values = [v / per * side for v, side in zip(values, (width, height) * 2, strict=True)]
        x1, x2 = sorted(min(max(v, 0.0), width) for v in values[::2])
        y1, y2 = sorted(min(max(v, 0.0), height) for v in values[1::2])
        return Box(x1, y1, x2, y2).iou(task.boxes[0].box)


class RefCocoPlus(RefCoco):
    """RefCOCO+, whose expressions name no places in the image."""

    name: ClassVar[str] = "refcoco_plus"
    suffix: ClassVar[str] = "+"
    merged: ClassVar[tuple[str, ...]] = ()
    about: ClassVar[About] = about_of("RefCOCO+", "RefCOCOplus", 21_373)


class RefCocoG(RefCoco):
    """RefCOCOg, whose expressions are longer."""

    name: ClassVar[str] = "refcocog"
    suffix: ClassVar[str] = "g"
    about: ClassVar[About] = about_of(
        "RefCOCOg", "RefCOCOg", 14_498, "published figures are of the 2,573 objects (4,896 "
        "expressions) of UMD's val, lmms-lab's val holds 7,573",
    )  # fmt: skip


def _id(row: Row, given: _Given) -> str:
    name = given.question_id if given.question_id is not None else given.index
    if name is None or name == "":
        raise row.wrong("question_id (or index): missing")
    return str(name)


def _object(row: Row, given: _Given) -> _Object:
    """The expressions and the box of a row."""
    answer = unpacked(given.answer)
    as_box = _four(answer)
    if as_box is not None or answer is None:
        match = _REF.search(given.question or "")
        written = (match[1] or match[2] if match else given.question) or ""
        expressions = [written.strip()]
    else:
        listed = answer if isinstance(answer, list | tuple) else [answer]
        expressions = [text for one in listed if (text := str(one).strip())]
    if not any(expressions):
        raise row.wrong("answer (or question): no expression")
    return _Object(expressions, _box(row, given, as_box))


def _box(row: Row, given: _Given, as_box: list[float] | None) -> tuple[float, ...]:
    listed = [row.values.get(key) for key in _CORNERS]
    if (corners := _four(listed)) is not None:
        return tuple(corners)
    box = _four(unpacked(given.bbox))
    if box is not None and row.file.suffix != ".tsv":
        x, y, width, height = box
        return x, y, x + width, y + height
    if as_box is not None or box is not None:
        return tuple(as_box or box or ())
    raise row.wrong("bbox: expected four numbers, x, y, width and height")


def _four(value: object) -> list[float] | None:
    """Four finite numbers of a list, which may be written as texts."""
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    try:
        numbers = [float(str(number)) for number in value]
    except ValueError:
        return None
    return numbers if all(map(isfinite, numbers)) else None


def _task(
    row: Row,
    name: str,
    source: str,
    expression: str,
    box: tuple[float, ...],
    split: str,
    unit: str,
    max_pixels: int,
) -> Task:
    image = picture(row, row.values["image"], max_pixels=max_pixels)
    if max(box) <= _SHARES:
        width, height = image.source.size
        box = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
    targets = boxes_of(row, [box], image, [expression])
    return task_of(
        row, name, source, QUESTION.format(expression), [image],
        answer=answer_of(targets[0]), boxes=targets, family=split, meta={UNIT: unit},
    )  # fmt: skip
