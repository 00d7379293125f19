"""ReasonSeg: the region that an implicit question asks for (Lai et al., arXiv 2308.00692).

Folders of photographs, each with a file beside it,

    val/100000_1.json
    {"text": ["the part that keeps the rain off"], "is_sentence": false,
     "shapes": [{"label": "target", "points": [[10.5, 20.0], [60, 20], [60, 70]]},
                {"label": "ignore", "points": [...]}]}

The mask is drawn as the authors draw it: polygons with their outlines, at whole pixels, larger ones
first; those whose label holds "ignore" cover others, and "flag" marks nothing. Here a model answers
with a box, which is compared with the bounding box of all target pixels. What is ignored changes no
box. Of several texts the authors ask the first in `val` and `test`; in `train` they are
other wordings of one question.
Source: dvlab-research/LISA, utils/data_processing.py (get_mask_from_json), utils/dataset.py
(ValDataset), README (Dataset).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

from PIL import Image as PILImage
from PIL import ImageDraw
from pydantic import BaseModel, Field

from saccade.bench.benchmark import UNIT, About, Item, Scored, unit_of
from saccade.bench.parts import boxes_of, task_of
from saccade.bench.scorers.boxes import ACCURACY, HIT, BoxBenchmark, answer_of, cumulative_iou
from saccade.errors import FormatError
from saccade.files import read_whole
from saccade.formats.found import find_files
from saccade.formats.records import Row
from saccade.images.geometry import Box, Size
from saccade.measures.means import Metric, means_by
from saccade.types import Task

Split = Literal["train", "val", "test"]
IMAGES = (".jpg", ".jpeg", ".png", ".JPG")
MAX_BYTES = 64 * 2**20
QUESTION = "{}\nAnswer with the box of the region alone: [x1, y1, x2, y2]"
SENTENCE = "Locate the region of the image that this asks for: {}"
PHRASE = "Locate the region of the image that this describes: {}"
SHORT, LONG = "short query", "long query"


Place = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class _Shape(BaseModel):
    label: str
    points: list[tuple[Place, Place]] = Field(max_length=100_000)


class _Asked(BaseModel):
    text: list[str] = Field(min_length=1)
    is_sentence: bool = False
    shapes: list[_Shape] = Field(max_length=1000)


class ReasonSeg(BoxBenchmark):
    """ReasonSeg, scored by boxes."""

    name: ClassVar[str] = "reasonseg"
    headline: ClassVar[str] = "gIoU"
    about: ClassVar[About] = About(
        title="ReasonSeg",
        items=979,
        licence="not stated",
        source="https://github.com/dvlab-research/LISA#dataset",
        layout="the folder with val/ and test/, a .json beside each photograph",
        metric="gIoU, the mean IoU of images, and cIoU, shared over covered area (arXiv "
        "2308.00692, section 4.1), here of bounding boxes",
        differs="the authors compare masks and leave out ignored pixels; DeepEyes reports 68.6 for "
        "boxes and has released no script for it",
        paper="arXiv 2308.00692",
    )

    split: Split | None = None
    """The split that is asked; None: all that are found, `train` aside."""
    texts: Literal["first", "all"] = "first"
    """Which texts of an image are asked: the first, as the authors do, or each; those of an image
    are one unit."""

    def items(self, place: Path) -> Iterator[Item]:
        """One for each file beside a photograph, or for each of its texts."""
        for file in find_files(place, ["**/*.json"], self.about.layout):
            split = file.parent.name if file.parent.name in ("train", "val", "test") else "all"
            wanted = split == self.split if self.split else split != "train"
            if not wanted or file.parent.name == "explanatory":
                continue
            row = _row(file)
            asked = row.read(_Asked)
            texts = asked.text if self.texts == "all" else asked.text[:1]
            for number, text in enumerate(texts, 1):
                unit = f"reasonseg-{split}-{file.stem}"
                name = unit if len(texts) == 1 else f"{unit}-{number}"
                make = partial(_task, row, name, asked, text, split, unit)
                yield Item(name, row.place, make)

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """GIoU and the share of hits by group, and cIoU of all."""
        groups = self.grouped(scored)
        hits = {g: [(unit, float(v >= HIT)) for unit, v in pairs] for g, pairs in groups.items()}
        return [*means_by("gIoU", groups), cumulative_iou(scored), *means_by(ACCURACY, hits)]

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By split, and by the length of the query, as in the table of the authors."""
        groups = dict(super().grouped(scored))
        for length in (SHORT, LONG):
            pairs = [
                (unit_of(one.task), one.value)
                for one in scored
                if one.value is not None and one.task.meta.get("query") == length
            ]
            if pairs:
                groups[length] = pairs
        return groups


def _row(file: Path) -> Row:
    """A file as a row; some are in the encoding of Windows, as the authors read them too."""
    try:
        data = read_whole(file, most=MAX_BYTES)
    except OSError as error:
        raise FormatError(f"{file}: cannot be read ({error.strerror})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{file}: not JSON ({error})") from error
    if not isinstance(values, dict):
        raise FormatError(f"{file}: expected an object, got {type(values).__name__}")
    return Row(file, str(file), values)


def _task(
    row: Row, name: str, asked: _Asked, text: str, split: str, unit: str, max_pixels: int
) -> Task:
    beside = (row.file.with_suffix(suffix) for suffix in IMAGES)
    photo = next((file.name for file in beside if file.is_file()), f"{row.file.stem}.jpg")
    image = row.image(photo, max_pixels=max_pixels)
    box = target_box(asked.shapes, image.source.size)
    if box is None:
        raise row.wrong("shapes: no pixel of a target is on the image")
    targets = boxes_of(row, [box], image)
    written = (SENTENCE if asked.is_sentence else PHRASE).format(text.strip())
    meta = {UNIT: unit, "query": LONG if asked.is_sentence else SHORT}
    if not text.strip():
        raise row.wrong("text: empty")
    return task_of(
        row, name, "reasonseg", QUESTION.format(written), [image],
        answer=answer_of(targets[0]), boxes=targets, family=split, meta=meta,
    )  # fmt: skip


class _Polygon(NamedTuple):
    corners: list[tuple[int, int]]
    value: int
    area: int


def target_box(shapes: Sequence[_Shape], size: Size) -> Box | None:
    """The bounding box of the target pixels; None if there are none.

    Args:
        shapes: The polygons.
        size: Of the image.
    """
    polygons = []
    for shape in shapes:
        label = shape.label.lower()
        if label == "flag" or not shape.points:
            continue
        corners = [(int(x), int(y)) for x, y in shape.points]
        area = sum(_drawn([_Polygon(corners, 1, 0)], size).histogram()[1:])
        polygons.append(_Polygon(corners, 2 if "ignore" in label else 1, area))
    mask = _drawn(sorted(polygons, key=lambda polygon: -polygon.area), size)
    bounds = mask.point([0, 255, *[0] * 254]).getbbox()
    return None if bounds is None else Box(*map(float, bounds))


def _drawn(polygons: Sequence[_Polygon], size: Size) -> PILImage.Image:
    mask = PILImage.new("L", size)
    draw = ImageDraw.Draw(mask)
    for corners, value, _ in polygons:
        if len(corners) == 1:
            draw.point(corners, value)
        elif len(corners) == 2:
            draw.line(corners, value)
        else:
            draw.polygon(corners, fill=value, outline=value)
    return mask
