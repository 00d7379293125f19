r"""The Vision-DeepResearch pack: ten sets of search questions in one format (Osilly et al., 2026).

A parquet file for each set, as its authors publish them, packed or unpacked:

    data/bcvl_level1_199.parquet
    {"id": "...", "question": "image_id: 1.jpg Question: ...", "answer": "...",
     "images": ["1.jpg"],
     "image_packed": "[{\"filename\": \"1.jpg\", \"data\": \"<base64>\"}]"}

Sets: BrowseComp-VL levels 1 and 2 (bcvl_level1_199, bcvl_level2_200), VDR-Bench (testmini500_v1),
MMSearch-Plus_221, livevqa_webwatcher_subset_300, worldvqa_sampled_300, and parts of FVQA, InfoSeek,
MMSearch and SimpleVQA.
Source: Osilly/Vision-DeepResearch, rllm/eval/unpack_parquet.py, eval_runner.py and README.md at
67af60f; `Osilly/Vision-DeepResearch-Eval` on the hub.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from saccade.bench.benchmark import About, Item
from saccade.bench.cells import Golds, Text, first_of, picture
from saccade.bench.sets.search.base import SearchBenchmark, short_task
from saccade.errors import FormatError
from saccade.formats.found import find_files
from saccade.formats.records import Row, read_records
from saccade.images.image import Image
from saccade.types import Task

READ = ("id", "idx", "_id", "question", "answer", "images", "image_packed")
_NAMES_ITS_FILE = re.compile(r"\s*(?:image_id\s*[:=]\s*\S+\s*)+(?=question\s*:)", re.IGNORECASE)
_LABEL = re.compile(r"\s*question\s*:\s*", re.IGNORECASE)
_MARK = re.compile(r"<image(?:[ _]?\d+)?>", re.IGNORECASE)


class _Question(BaseModel):
    question: Text = Field(min_length=1)
    answer: Golds = Field(min_length=1)


class _Packed(BaseModel):
    filename: str = ""
    data: str | None = None


_PACK: TypeAdapter[list[_Packed]] = TypeAdapter(list[_Packed])


class VDR(SearchBenchmark):
    """The Vision-DeepResearch pack; each of its files is a family."""

    name: ClassVar[str] = "vdr"
    about: ClassVar[About] = About(
        title="Vision-DeepResearch pack",
        items=2791,
        licence="not stated",
        source="https://huggingface.co/datasets/Osilly/Vision-DeepResearch-Eval",
        layout="the folder with its parquet files, or one of them",
        metric="share of answers that a judge finds right, by set and overall",
        differs="the published judge accepts a report that has the answer anywhere in it, and "
        "where it is down an exact match counts instead; the name of the image file, which the "
        "question gives there as image_id, is left out here",
        paper="arXiv 2601.22060",
    )

    sets: tuple[str, ...] = ()
    """Which sets are asked, by the names of their files or how these begin, as in ["bcvl"]; empty:
    all that are there."""

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row of the chosen sets."""
        files = find_files(place, ["data/*.parquet", "*.parquet", "**/*.parquet"],
                           self.about.layout)  # fmt: skip
        for file in self._chosen(files, place):
            for number, row in enumerate(read_records(file, wanted=lambda name: name in READ)):
                known = first_of(row, "id", "idx", "_id")
                named = _Named.model_validate({"id": known}).id if known is not None else ""
                name = f"vdr-{file.stem}-{named or number}"
                yield Item(name, row.place, partial(_task, name, row))

    def _chosen(self, files: Sequence[Path], place: Path) -> list[Path]:
        """The files of the sets that are asked for.

        Raises:
            FormatError: there is none of a name.
        """
        if not self.sets:
            return list(files)
        starts = [name.lower().removesuffix(".parquet") for name in self.sets]
        for start in starts:
            if not any(file.stem.lower().startswith(start) for file in files):
                there = ", ".join(file.stem for file in files)
                raise FormatError(f"{place}: bench.sets: no set {start!r}; there are {there[:400]}")
        return [file for file in files if file.stem.lower().startswith(tuple(starts))]


class _Named(BaseModel):
    id: Text


def _task(name: str, row: Row, max_pixels: int) -> Task:
    asked = row.read(_Question)
    packed = _packed(row)
    images = [
        row.packed_image(one.data, max_pixels=max_pixels, column=f"image_packed[{place}]")
        for place, one in enumerate(packed)
        if one.data
    ]
    if packed and not images:
        raise row.wrong("image_packed: none of its images has data")
    question = _question(asked.question, [one.filename for one in packed if one.data])
    return short_task(
        row, name, "vdr", question, images or _listed(row, max_pixels),
        golds=asked.answer, family=row.file.stem,
    )  # fmt: skip


def _packed(row: Row) -> list[_Packed]:
    held = first_of(row, "image_packed")
    if held is None:
        return []
    try:
        return _PACK.validate_python(json.loads(held) if isinstance(held, str) else held)
    except (ValueError, RecursionError, ValidationError) as error:
        raise row.wrong(
            'image_packed: expected JSON as in [{"filename": "1.jpg", "data": "<base64>"}], got '
            f"{str(held)[:80]!r}"
        ) from error


def _listed(row: Row, max_pixels: int) -> list[Image]:
    held = first_of(row, "images")
    listed = held if isinstance(held, list) else [] if held is None else [held]
    return [
        picture(row, one, max_pixels=max_pixels, column=f"images[{place}]",
                folders=("images",))
        for place, one in enumerate(listed)
    ]  # fmt: skip


def _question(text: str, names: Sequence[str]) -> str:
    """The question without the name of its image file, which means nothing to a model here."""
    asked = _MARK.sub("", text)
    for place, name in enumerate(names, start=1):
        if name:
            asked = re.sub(rf"image_id\s*[:=]\s*{re.escape(name)}\s*[,;]?", "", asked)
            asked = asked.replace(name, f"image_{place}")
    asked = _NAMES_ITS_FILE.sub("", asked, count=1)
    label = _LABEL.match(asked)
    return (asked[label.end() :] if label else asked).strip()
