"""MMSearch: news and rare knowledge that no model was trained on (Jiang et al., arXiv 2409.12959).

The end-to-end questions as their authors publish them; the other two files, whose web pages were
fetched already, are not read:

    end2end.parquet
    {"sample_id": "...", "query": "...", "query_image": {"bytes": b"..."} or null,
     "image_search_result": {"bytes": b"..."} or null, "area": "news", "subfield": "Sports",
     "timestamp": "...", "gt_requery": "...", "gt_answer": "...", "alternative_gt_answers": [...]}

Source: CaraJ7/MMSearch, eval_end2end.py and score/f1_score.py; `CaraJ/MMSearch` on the hub.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from saccade.bench.benchmark import About, Item, Scored, unit_of
from saccade.bench.cells import Golds, Text, picture
from saccade.bench.scorers.short_answers import best_f1, golds_of
from saccade.bench.sets.search.base import SearchBenchmark, short_task
from saccade.formats.found import find_files
from saccade.formats.records import Row, read_records
from saccade.measures.means import Metric
from saccade.types import Task

WITH_IMAGE = "with image"
READ = (
    "sample_id", "query", "query_image", "area", "subfield", "timestamp", "gt_answer",
    "alternative_gt_answers",
)  # fmt: skip
"""Columns. The published image search is left out: an agent searches itself."""


class _Query(BaseModel):
    sample_id: Text = Field(min_length=1)
    query: Text = Field(min_length=1)
    gt_answer: Text = Field(min_length=1)
    alternative_gt_answers: Golds = ()
    area: Text = ""
    subfield: Text = ""
    timestamp: Text = ""


class MMSearch(SearchBenchmark):
    """The end-to-end task of MMSearch."""

    name: ClassVar[str] = "mmsearch"
    about: ClassVar[About] = About(
        title="MMSearch (end-to-end)",
        items=300,
        licence="not stated",
        source="https://huggingface.co/datasets/CaraJ/MMSearch",
        layout="end2end.parquet, or the folder with it",
        metric="share of answers that a judge finds right, overall, of the questions with an image "
        "(as MMSearch-R1 and DeepEyesV2 report it), and by area; beside it the end-to-end F1 of "
        "the words",
        differs="the authors score the reply of a fixed pipeline (requery, rerank, summarise), "
        "weighted 0.75 end-to-end F1 + 0.05 requery + 0.1 rerank + 0.1 summarise; a question whose "
        "search returned nothing counts as 0 there",
        paper="arXiv 2409.12959",
    )

    subset: Literal["all", "image"] = "all"
    """Which questions are asked: all 300, or the 171 that have an image, the ones which MMSearch-R1
    and DeepEyesV2 report. The numbers of these stand apart in both cases."""

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row of the end-to-end file."""
        patterns = ["end2end.parquet", "**/end2end*.parquet", "**/end2end/**/*.parquet", "*.jsonl"]
        for file in find_files(place, patterns, self.about.layout):
            for row in read_records(file, wanted=lambda column: column in READ):
                if self.subset == "all" or _has_image(row):
                    name = f"mmsearch-{row.read(_Query).sample_id}"
                    yield Item(name, row.place, partial(_task, name, row))

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """As of other short answers, and the F1 of the words."""
        return [*super().metrics(scored), *self.shares("end-to-end F1", scored, _f1)]

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """All, those with an image, and by area."""
        shown = [
            (unit_of(one.task), one.value)
            for one in scored
            if one.value is not None and one.task.images
        ]
        groups = dict(super().grouped(scored))
        return {"all": groups.pop("all"), WITH_IMAGE: shown, **groups}


def _f1(one: Scored) -> float:
    return best_f1(golds_of(one.task), one.trajectory.answer or "")


def _has_image(row: Row) -> bool:
    held = row.values.get("query_image")
    if isinstance(held, dict):
        return bool(held.get("bytes") or held.get("path"))
    return isinstance(held, str | bytes) and bool(held)


def _task(name: str, row: Row, max_pixels: int) -> Task:
    asked = row.read(_Query)
    images = []
    if _has_image(row):
        held = row.values["query_image"]
        images = [picture(row, held, max_pixels=max_pixels, column="query_image")]
    return short_task(
        row, name, "mmsearch", asked.query, images,
        golds=(asked.gt_answer, *asked.alternative_gt_answers), family=asked.area,
        meta={"subfield": asked.subfield, "timestamp": asked.timestamp},
    )  # fmt: skip
