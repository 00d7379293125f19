r"""FVQA-test of MMSearch-R1: facts about what a photograph shows (Wu et al., arXiv 2506.20670).

The file as its authors publish it, in the format in which they train:

    fvqa_test.parquet
    {"data_id": "...", "prompt": [{"role": "user", "content": "Who ...?"}],
     "images": [{"bytes": b"..."}], "reward_model": {"ground_truth": "...",
     "candidate_answers": "[\"...\"]"}, "data_source": "mmsearch_r1/...",
     "image_urls": [...], "category": "search_required"}

Source: EvolvingLMMs-Lab/multimodal-search-r1, mmsearch_r1/data/data_example.ipynb and
workers/multimodal/reward/mmsearch_r1.py; `lmms-lab/FVQA` on the hub.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from saccade.bench.benchmark import About, Item
from saccade.bench.cells import Text
from saccade.bench.sets.search.base import SearchBenchmark, is_wanted, trained_task
from saccade.formats.found import find_files
from saccade.formats.records import Row, read_records
from saccade.types import Task


class _Named(BaseModel):
    data_id: Text = ""
    category: Text = ""


class FVQA(SearchBenchmark):
    """FVQA-test."""

    name: ClassVar[str] = "fvqa"
    about: ClassVar[About] = About(
        title="FVQA-test",
        items=1800,
        licence="Apache-2.0",
        source="https://huggingface.co/datasets/lmms-lab/FVQA",
        layout="fvqa_test.parquet, or the folder with it",
        metric="share of answers that a judge finds right, by search_required / search_free and "
        "overall; beside it exact matches and the search ratio",
        differs="there is no published evaluator: MMSearch-R1 trains with exact matches after "
        'taking all punctuation and articles out, so that "3.5" is "35", and reports a judge whose '
        "prompt is not published",
        paper="arXiv 2506.20670",
    )

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row."""
        patterns = ["*test*.parquet", "**/*test*.parquet", "*.parquet"]
        for file in find_files(place, patterns, self.about.layout):
            for number, row in enumerate(read_records(file, wanted=is_wanted)):
                named = row.read(_Named)
                name = f"fvqa-{named.data_id or f'{file.stem}-{number}'}"
                yield Item(name, row.place, partial(_task, name, row, number, named.category))


def _task(name: str, row: Row, number: int, category: str, max_pixels: int) -> Task:
    return trained_task(row, name, "fvqa", number, family=category, max_pixels=max_pixels)
