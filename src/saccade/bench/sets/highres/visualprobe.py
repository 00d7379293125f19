r"""VisualProbe: small things in large photographs, asked openly (Mini-o3, arXiv 2509.07969).

A folder for each level as its authors publish them, with photographs whose paths begin above it:

    VisualProbe_Hard/val.json
    [{"images": ["VisualProbe_Hard/data/1.jpg"], "doc_id": "...", "problem": "<image>\n...",
      "solution": "...", "data_source": "visual_probe_hard"}]

Source: Mini-o3/Mini-o3, docs/mini_o3_demo.md and verl/utils/dataset/multimodal_dataset.py;
`Mini-o3/VisualProbe_Hard`, `_Medium` and `_Easy` on the hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, BaseModel, Field

from saccade.bench.benchmark import About, Benchmark, Item
from saccade.bench.cells import Golds, Text, first_of, picture
from saccade.bench.parts import task_of
from saccade.bench.scorers.short_answers import ANSWERS, golds_of, judged, reference
from saccade.formats.found import find_files
from saccade.formats.records import Row, read_records
from saccade.types import Task, Verdict

LEVELS = ("easy", "medium", "hard")
_MARK = re.compile(r"<image>", re.IGNORECASE)


class _Question(BaseModel):
    problem: Text = Field(
        min_length=1, validation_alias=AliasChoices("problem", "question", "prompt")
    )
    solution: Golds = Field(
        min_length=1, validation_alias=AliasChoices("solution", "answer", "ground_truth")
    )
    doc_id: Text = Field(default="", validation_alias=AliasChoices("doc_id", "id", "index"))
    data_source: Text = ""


class VisualProbe(Benchmark):
    """VisualProbe, of one level or of all that are there."""

    name: ClassVar[str] = "visualprobe"
    about: ClassVar[About] = About(
        title="VisualProbe",
        items=500,
        licence="not stated",
        source="https://huggingface.co/datasets/Mini-o3/VisualProbe_Hard (also _Medium, _Easy)",
        layout="the folder with VisualProbe_Easy/, _Medium/ and _Hard/, or one of these",
        metric="share of answers that a judge finds right, by level and overall",
        differs="the authors average 32 samples (Avg@32) and give each level apart",
        paper="arXiv 2509.07969",
    )

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row."""
        patterns = ["val.json", "VisualProbe_*/val.json", "*/val.json", "val.parquet",
                    "*/val.parquet", "*.jsonl", "*.json", "*.parquet",
                    "**/*.parquet"]  # fmt: skip
        for file in find_files(place, patterns, self.about.layout):
            for number, row in enumerate(read_records(file)):
                asked = row.read(_Question)
                level = _level(asked.data_source, file)
                known = asked.doc_id or f"{file.stem}-{number}"
                name = f"visualprobe-{level}-{known}" if level else f"visualprobe-{known}"
                yield Item(name, row.place, partial(_task, name, row, level))

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Right if it is the gold answer, wrong if it says that it cannot tell."""
        return judged(golds_of(task), answer)


def _level(source: str, file: Path) -> str:
    """Easy, medium or hard, as the row or its file or folder says; else empty."""
    for name in (source, file.stem, file.parent.name, file.parent.parent.name):
        found = [level for level in LEVELS if level in name.lower()]
        if len(found) == 1:
            return found[0]
    return ""


def _task(name: str, row: Row, level: str, max_pixels: int) -> Task:
    asked = row.read(_Question)
    image = picture(
        row, first_of(row, "images", "image"), max_pixels=max_pixels, column="images",
        folders=("images", "data"),
    )  # fmt: skip
    return task_of(
        row, name, "visualprobe", _MARK.sub("", asked.problem), [image],
        answer=reference(asked.solution), family=level, meta={ANSWERS: list(asked.solution)},
    )  # fmt: skip
