"""AgentVista: long questions for agents with search, code and vision (arXiv 2602.23166).

The parquet files of the hub, or `val.json` with its images beside it, in either spelling:

    question_id (doc_id), problem (question), images [{bytes, path}, ...] or ["a.png", ...],
    solution (answer), domain, subdomain

Answers are short texts, judged by a language model; a rule accepts what is the same text.
Source: hkust-nlp/AgentVista, README (Data Format); the card of Warrieryes/AgentVista.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, BaseModel, Field

from saccade.bench.benchmark import About, Benchmark, Item, Scored, unit_of
from saccade.bench.cells import picture
from saccade.bench.parts import task_of
from saccade.formats.found import find_files
from saccade.formats.records import Row, read_records, unpacked
from saccade.types import Task

ONE, SEVERAL = "single image", "several images"


class _Question(BaseModel):
    problem: str = Field(validation_alias=AliasChoices("problem", "question"), min_length=1)
    solution: str | int | float = Field(validation_alias=AliasChoices("solution", "answer"))
    domain: str | None = Field(default=None, validation_alias=AliasChoices("domain", "category"))
    subdomain: str | None = None


class AgentVista(Benchmark):
    """AgentVista, judged."""

    name: ClassVar[str] = "agentvista"
    about: ClassVar[About] = About(
        title="AgentVista",
        items=209,
        licence="not stated",
        source="https://huggingface.co/datasets/Warrieryes/AgentVista",
        layout="the folder with data/*.parquet, or val.json with its images",
        metric="judged accuracy, by domain and by the number of images (arXiv 2602.23166, table 2)",
        differs="the authors ask GPT-4.1 about every answer; here a rule accepts the same text "
        "first, and what no judge could read is not scored",
        paper="arXiv 2602.23166",
    )

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row."""
        patterns = ["data/*.parquet", "**/*.parquet", "val.json", "*.json", "*.jsonl"]
        number = 0
        for file in find_files(place, patterns, self.about.layout):
            for row in read_records(file):
                known = (row.values.get(key) for key in ("question_id", "doc_id", "id", "key"))
                own = next((str(one) for one in known if one not in (None, "")), str(number))
                number += 1
                yield Item(f"agentvista-{own}", row.place, partial(_task, row, f"agentvista-{own}"))

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By domain, and apart from that by whether there is one image or several."""
        groups = dict(super().grouped(scored))
        for one in scored:
            if one.value is not None:
                group = ONE if len(one.task.images) == 1 else SEVERAL
                groups.setdefault(group, []).append((unit_of(one.task), one.value))
        return groups


def _task(row: Row, name: str, max_pixels: int) -> Task:
    asked = row.read(_Question)
    given = unpacked(row.values.get("images", row.values.get("image")))
    listed = given if isinstance(given, list | tuple) else [given] if given else []
    if not listed:
        raise row.wrong("images: expected a list of images, got none")
    images = [picture(row, value, max_pixels=max_pixels, column="images") for value in listed]
    question = re.sub(r"\s*<image>\s*", "\n", asked.problem).strip()
    meta = {"subdomain": asked.subdomain} if asked.subdomain else None
    return task_of(
        row, name, "agentvista", question, images,
        answer=str(asked.solution), family=asked.domain or "", meta=meta,
    )  # fmt: skip
