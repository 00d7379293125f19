"""POPE: is there a thing in the image that is not (Li et al., arXiv 2305.10355)?

The authors' label files, a question a line, beside a folder with the images of COCO val2014,

    coco_pope_adversarial.json  coco_pope_popular.json  coco_pope_random.json  val2014/
    {"question_id": 1, "image": "COCO_val2014_000000310196.jpg",
     "text": "Is there a snowboard in the image?", "label": "yes"}

or VLMEvalKit's POPE.tsv, whose rows name the splits that they belong to ("adversarial,random"), or
the parquet files of lmms-eval. Questions whose answer is yes are the same in all three splits:
`all` counts an attempt once for each of its splits, and the interval knows them as one question.

An answer that says neither yes nor no is undecided, and in a number of its own. It is never no.

Source: AoiDragon/POPE, output/coco/ and evaluate.py; VLMEvalKit e8e78f05,
vlmeval/dataset/utils/yorn.py (`POPE_rating`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from saccade.bench.benchmark import ALL, UNIT, About, Benchmark, Difference, Item, Scored, unit_of
from saccade.bench.parts import task_of
from saccade.bench.scorers import letters
from saccade.bench.scorers.yes_no import yes_or_no
from saccade.bench.tsv import INDEX, task_of_row
from saccade.errors import FormatError, ImageError
from saccade.files import read_text_lines
from saccade.formats.found import find_files
from saccade.formats.records import MAX_LINE_BYTES, Row
from saccade.formats.vlmevalkit import TsvRow, read_tsv
from saccade.images.image import Image
from saccade.measures.means import Metric, means_by
from saccade.measures.totals import ratio_of_counts
from saccade.types import Task, Verdict

SPLITS = "splits"
NAMES = ("adversarial", "popular", "random")
IMAGES = ("", "val2014", "images", "coco/val2014", "COCO/val2014", "images/POPE")

COUNTED_AS_NO = 0.5
"""What VLMEvalKit makes of an answer that says neither where no is right: that is no in F1, and
wrong in accuracy."""

_PLAIN = re.compile(r"[\w.-]{1,200}")
_SAYS_YES = Task(id="-", prompt=("Is there a dog in the image?",), answer="yes")
_SAYS_NO = Task(id="-", prompt=("Is there a dog in the image?",), answer="no")


class _Label(BaseModel):
    question_id: int | str
    image: str = Field(min_length=1)
    text: str = Field(min_length=1)
    label: str = Field(pattern=r"(?i)^\s*(yes|no)\s*$")


class Pope(Benchmark):
    """POPE on COCO: adversarial, popular and random."""

    name: ClassVar[str] = "pope"
    about: ClassVar[About] = About(
        title="POPE",
        items=9_000,
        licence="MIT (labels); the images are those of COCO",
        source="https://github.com/AoiDragon/POPE",
        layout="a folder with coco_pope_*.json and val2014/, or POPE.tsv",
        metric="F1, precision, recall of yes; accuracy; yes ratio; for each split and all",
        differs="the authors count whatever is not no as yes; VLMEvalKit counts as no what says "
        "neither, in F1 but not in accuracy; lmms-eval reports the yes ratio of the labels",
        paper="arXiv 2305.10355",
        tsv=("POPE",),
    )
    headline: ClassVar[str] = "F1"
    differences: ClassVar[tuple[Difference, ...]] = (
        Difference(
            _SAYS_NO, "I cannot tell.", None, COUNTED_AS_NO,
            "YOrN_Extraction finds Unknown, which POPE_rating counts as no in F1",
        ),
        Difference(
            _SAYS_NO, "There is not a dog, yes I am sure; no dog.", None, COUNTED_AS_NO,
            "YOrN_Extraction finds both words: Unknown, which POPE_rating counts as no in F1",
        ),
        Difference(
            _SAYS_YES, "There is no doubt about the dog.", None, 0.0,
            "YOrN_Extraction takes any no for the answer",
        ),
    )  # fmt: skip

    published: Literal["vlmevalkit", "authors"] = "vlmevalkit"
    """Whose scorer `--compat` restates."""

    def items(self, place: Path) -> Iterator[Item]:
        """One for each line of the label files, or row of the TSV."""
        files = ("coco_pope_*.json", "**/coco_pope_*.json", "POPE.tsv", "*.tsv", "**/*.parquet")
        for file in find_files(place, files, self.about.layout):
            if file.suffix in (".json", ".jsonl"):
                for row in _lines(file):
                    label = row.read(_Label)
                    name = f"pope-{_split_of(file)}-{label.question_id}"
                    root = place if place.is_dir() else file.parent
                    yield Item(name, row.place, partial(_labelled, row, label, name, root))
            else:
                for found in read_tsv(file):
                    split = "" if file.suffix == ".tsv" else f"{found.text('category')}-"
                    name = f"pope-{split}{found.id}"
                    yield Item(name, found.place, partial(_packed, found, name))

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Right or wrong where an answer says yes or no; undecided where it says neither."""
        said = yes_or_no(answer)
        if said is None:
            reason = "it says neither yes nor no"
            return Verdict(correct=None, reason=reason, judge="yes_no", unread=True)
        return Verdict(correct=said == task.answer, judge="yes_no")

    def compat(self, task: Task, reply: str) -> float | None:
        """What the scorer that `published` names makes of it."""
        if self.published == "authors":
            return float(letters.pope_says(reply) == task.answer)
        said = letters.yes_or_no(reply)
        if said is None:
            return COUNTED_AS_NO if task.answer == "no" else 0.0
        return float(said == task.answer)

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """Whether an answer is right, by split; all holds one once for each of its splits."""
        groups = {ALL: list[tuple[str, float]](), **{name: [] for name in NAMES}}
        for one in scored:
            for split in _splits(one.task):
                if one.value is not None:
                    pair = (unit_of(one.task), float(one.value == 1))
                    for group in (ALL, split):
                        groups.setdefault(group, []).append(pair)
        return {name: pairs for name, pairs in groups.items() if pairs or name == ALL}

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """F1, accuracy, precision, recall, yes ratio, and the share that says neither."""
        accuracy = {m.group: m for m in means_by("accuracy", self.grouped(scored))}
        made = []
        for group in accuracy:
            of = [
                (one, split)
                for one in scored
                for split in _splits(one.task)
                if group in (ALL, split) and one.value is not None
            ]
            cells = [
                (unit_of(one.task), _cell(one.task.answer == "yes", bool(one.value)))
                for one, _ in of
            ]
            first, *rest = (
                ratio_of_counts(name, group, cells, top, bottom, f1=name == "F1")
                for name, (top, bottom) in FORMULAS.items()
            )
            made += [first, accuracy[group], *rest]
        answered = [one for one in scored if one.trajectory.answer is not None]
        unread = [one._replace(value=float(one.value is None)) for one in answered]
        return made + means_by("neither yes nor no", self.grouped(unread))


def _cell(gold: bool, right: bool) -> int:
    """0: yes and right; 1: yes and wrong; 2: no and wrong; 3: no and right."""
    return (0 if right else 2) if gold else (3 if right else 1)


FORMULAS = {
    "F1": ({0}, {0, 1, 2}),
    "precision": ({0}, {0, 1}),
    "recall": ({0}, {0, 2}),
    "yes ratio": ({0, 1}, {0, 1, 2, 3}),
}
"""Cells of `_cell` that are counted, and those that they are a share of; F1 is made of its share.
"""


def _splits(task: Task) -> list[str]:
    return str(task.meta.get(SPLITS) or "").split(",")


def _split_of(file: Path) -> str:
    return next((name for name in NAMES if name in file.stem), file.stem)


def _lines(file: Path) -> Iterator[Row]:
    """The rows of a label file: its name ends in .json, and it holds an object a line."""
    for number, text in read_text_lines(file, most=MAX_LINE_BYTES):
        if text.strip():
            place = f"{file}:{number}"
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise FormatError(f"{place}: expected an object a line ({error})") from error
            if not isinstance(value, dict):
                raise FormatError(f"{place}: expected an object, got {type(value).__name__}")
            yield Row(file, place, value)


def _labelled(row: Row, label: _Label, name: str, root: Path, max_pixels: int) -> Task:
    if not _PLAIN.fullmatch(label.image):
        raise row.wrong(f"image: expected the name of a file of COCO, got {label.image[:80]!r}")
    tried = [base / folder / label.image for base in (root, row.file.parent) for folder in IMAGES]
    file = next((file for file in tried if file.is_file()), None)
    if file is None:
        raise row.wrong(
            f"image: no {label.image} in {root}, nor in {', '.join(filter(None, IMAGES))} below it"
        )
    try:
        image = Image.open(file, name=f"{row.place}: {label.image}", max_pixels=max_pixels)
    except ImageError as error:
        raise FormatError(str(error)) from error
    meta = {SPLITS: _split_of(row.file), UNIT: f"{label.image}: {label.text.strip()}"}
    return task_of(
        row, name, "pope", label.text, [image], answer=label.label.strip().lower(),
        family=_split_of(row.file), meta={INDEX: str(label.question_id), **meta},
    )  # fmt: skip


def _packed(row: TsvRow, name: str, max_pixels: int) -> Task:
    answer = row.text("answer", "label").lower()
    if answer not in ("yes", "no"):
        raise row.row.wrong(f"answer: expected yes or no, got {answer[:80]!r}")
    task = task_of_row(
        row, name, "pope", max_pixels=max_pixels, answer=answer, options={},
        question=row.text("question", "text"),
    )  # fmt: skip
    splits = [split.strip() for split in row.text("category", "split").split(",")]
    unit = ": ".join([*(image.source.digest for image in task.images), task.question])
    meta = {SPLITS: ",".join(splits), UNIT: unit, "family": "+".join(splits)}
    return task.model_copy(update={"meta": {**task.meta, **meta}})
