"""InfoSeek: facts about the entity that a photograph shows (Chen et al., arXiv 2302.11713).

The annotations as their authors publish them, with the photographs of OVEN beside them,

    infoseek_val.jsonl
    {"data_id": "infoseek_val_00000000", "image_id": "oven_04990048", "question": "...",
     "answer": ["China"], "answer_eval": ["CN", "China", ...], "data_split": "val_unseen_entity"}
    images/oven_04990048.jpg

where a number has `"answer_eval": [{"wikidata": 1.0, "range": [0.9, 1.1]}]`; or the rows that
MMSearch-R1 made of some of them, in its training format (see `fvqa`).
Source: open-vision-language/infoseek, README; edchengg/infoseek_eval, infoseek_eval.py.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, Field, ValidationError

from saccade.bench.benchmark import About, Item
from saccade.bench.cells import IMAGE_SUFFIXES, Golds, Text
from saccade.bench.sets.search.base import SearchBenchmark, is_wanted, short_task, trained_task
from saccade.formats.found import find_files
from saccade.formats.records import Row, read_records
from saccade.rewards.text import normalised, number
from saccade.types import Task, Verdict

RANGE = "range"
"""Key of `Task.meta`: the smallest and largest number that are right."""
FOLDERS = ("", "images", "infoseek_images", "infoseek_val_images", "oven_images", "oven")


class _Named(BaseModel):
    data_id: Text = ""
    data_source: Text = ""


class _Number(BaseModel):
    range: tuple[float, float]


class _Question(BaseModel):
    data_id: Text = Field(min_length=1)
    image_id: Text = Field(min_length=1)
    question: Text = Field(min_length=1)
    answer: Golds = ()
    data_split: Text = ""


class InfoSeek(SearchBenchmark):
    """InfoSeek, from its annotations or in the format of MMSearch-R1."""

    name: ClassVar[str] = "infoseek"
    about: ClassVar[About] = About(
        title="InfoSeek (validation)",
        items=73620,
        licence="Apache-2.0",
        source="https://github.com/open-vision-language/infoseek",
        layout="the folder with infoseek_val.jsonl and images/, or a parquet file of MMSearch-R1",
        metric="share of answers that a judge finds right, by split and overall; beside it exact "
        "matches and the search ratio",
        differs="infoseek_eval takes the first two numbers of a reply as a range and a reply "
        "without a number as 0 to 0, and reports the harmonic mean of both splits; MMSearch-R1 and "
        "DeepEyesV2 judge 2,000 of the questions with a prompt that is not published",
        paper="arXiv 2302.11713",
    )

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row."""
        patterns = [
            "infoseek_val.jsonl",
            "**/infoseek_val.jsonl",
            "*infoseek*.parquet",
            "*.parquet",
        ]
        for file in find_files(place, patterns, self.about.layout):
            for n, row in enumerate(read_records(file, wanted=is_wanted)):
                trained = "reward_model" in row.values
                named = row.read(_Named)
                name = named.data_id or f"{file.stem}-{n}"
                name = name if name.startswith("infoseek") else f"infoseek-{name}"
                make = partial(_trained, name, row, n, named.data_source) if trained else None
                yield Item(name, row.place, make or partial(_task, name, row))

    async def judge(self, task: Task, answer: str) -> Verdict:
        """As of other short answers; a number in the range of the gold answer is right too."""
        verdict = await super().judge(task, answer)
        limits = task.meta.get(RANGE)
        value = number(normalised(answer))
        if verdict.correct is None and isinstance(limits, list) and value is not None:
            low, high = (float(str(limit)) for limit in limits)
            if low <= float(value) <= high:
                return Verdict(correct=True, reason="in the range", judge=verdict.judge)
        return verdict


def _trained(name: str, row: Row, number: int, source: str, max_pixels: int) -> Task:
    family = source.rpartition("/")[2]
    return trained_task(row, name, "infoseek", number, family=family, max_pixels=max_pixels)


def _task(name: str, row: Row, max_pixels: int) -> Task:
    asked = row.read(_Question)
    if not asked.answer:
        raise row.wrong("answer: none; those of the test split are not public: use the val split")
    image = row.image(_photo(row.file, asked.image_id), max_pixels=max_pixels, column="image_id")
    aliases = row.values.get("answer_eval")
    limits = _limits(aliases)
    more = _Aliases.model_validate({"answers": aliases}).answers if limits is None else ()
    shown = None
    if limits is not None:
        shown = f"{asked.answer[0]} (from {limits[0]:g} to {limits[1]:g})"
    return short_task(
        row, name, "infoseek", asked.question, [image],
        golds=(*asked.answer, *more), reference=shown, family=asked.data_split,
        meta={"data_id": asked.data_id, **({RANGE: list(limits)} if limits is not None else {})},
    )  # fmt: skip


class _Aliases(BaseModel):
    answers: Golds


def _limits(aliases: object) -> tuple[float, float] | None:
    """The range of a number; None where the answers are texts."""
    first = aliases[0] if isinstance(aliases, list) and aliases else aliases
    if not isinstance(first, dict):
        return None
    try:
        low, high = _Number.model_validate(first).range
    except ValidationError:
        return None
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def _photo(file: Path, image_id: str) -> str:
    """The photograph of an id, in one of the folders in which OVEN's lie."""
    part = image_id.rpartition("_")[2][:2]
    for folder in FOLDERS:
        for below in (folder, f"{folder}/{part}" if folder else part):
            for suffix in ("", *IMAGE_SUFFIXES, ".JPEG", ".JPG", ".PNG"):
                found = f"{below}/{image_id}{suffix}" if below else f"{image_id}{suffix}"
                if os.path.isfile(file.parent / found):
                    return found
    return f"images/{image_id}.jpg"
