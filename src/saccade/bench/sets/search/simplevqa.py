"""SimpleVQA: short facts in Chinese and English, and whether a model knows when it does not know.

The file as its authors publish it, or VLMEvalKit's TSV:

    test.parquet
    {"data_id": 1, "image": "<base64>", "image_description": "...", "language": "EN",
     "question": "...", "answer": "...", "original_category": "...", "source": "...",
     "atomic_question": "...", "atomic_fact": "...", "vqa_category": "..."}

An answer is correct, incorrect, or not attempted. A reply that only says that it cannot tell is not
attempted by rule, before any judge is asked, and so is an episode that ends without an answer.
Source: `m-a-p/SimpleVQA` on the hub; arXiv 2502.13059; VLMEvalKit, vlmeval/dataset/simplevqa.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import AliasChoices, BaseModel, Field

from saccade.bench.benchmark import About, Item, Scored
from saccade.bench.cells import Text, picture, picture_in, rows_of_set
from saccade.bench.scorers.short_answers import golds_of, is_attempted
from saccade.bench.sets.search.base import SearchBenchmark, is_finished, short_task
from saccade.formats.found import find_files
from saccade.formats.records import Row
from saccade.measures.means import Metric, mean_of, means_by
from saccade.types import Task

LANGUAGES = {
    "en": "en", "english": "en", "zh": "zh", "cn": "zh", "chinese": "zh", "\u4e2d\u6587": "zh",
    "\u82f1\u6587": "en",
}  # fmt: skip


class _Question(BaseModel):
    data_id: Text = Field(min_length=1, validation_alias=AliasChoices("data_id", "index", "id"))
    question: Text = Field(min_length=1)
    answer: Text = Field(min_length=1)
    language: Text = ""
    category: Text = Field(
        default="", validation_alias=AliasChoices("original_category", "vqa_category", "category")
    )


class SimpleVQA(SearchBenchmark):
    """SimpleVQA."""

    name: ClassVar[str] = "simplevqa"
    about: ClassVar[About] = About(
        title="SimpleVQA",
        items=2025,
        licence="Apache-2.0",
        source="https://huggingface.co/datasets/m-a-p/SimpleVQA",
        layout="test.parquet, the folder with it, or SimpleVQA.tsv",
        metric="share of correct answers, overall and by language; beside it the shares of "
        "incorrect and of not attempted ones, correct given attempted, and the F-score, the "
        "harmonic mean of correct and correct given attempted: 2 correct / (all + attempted)",
        differs="VLMEvalKit asks gpt-4o at temperature 1, counts a reply of the judge that it "
        "cannot read as not attempted, and an answer whose judge is down as wrong; lmms-eval "
        "compares exactly: their numbers do not compare",
        paper="arXiv 2502.13059",
        tsv=("SimpleVQA",),
    )

    language: Literal["all", "en", "zh"] = "all"
    """The language of the questions that are asked."""

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row."""
        patterns = ["test.parquet", "SimpleVQA.tsv", "**/test*.parquet", "*.tsv",
                    "simpleVQA_final*.json", "*.jsonl", "*.json", "*.parquet"]  # fmt: skip
        for file in find_files(place, patterns, self.about.layout):
            for row in rows_of_set(file):
                asked = row.read(_Question)
                spoken = _language(asked, row)
                if self.language in ("all", spoken):
                    name = f"simplevqa-{spoken}-{asked.data_id}"
                    yield Item(name, row.place, partial(_task, name, row, spoken))

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """Correct, incorrect and not attempted; see `about`."""
        decided = [s for s in scored if s.value is not None and is_finished(s.trajectory)]
        tried = [s for s in decided if _attempted(s)]
        incorrect = [s._replace(value=float(_attempted(s) and not s.value)) for s in decided]
        untried = [s._replace(value=float(not _attempted(s))) for s in decided]
        return [
            *super().metrics(scored),
            *means_by("incorrect", self.grouped(incorrect)),
            *means_by("not attempted", self.grouped(untried)),
            *means_by("correct given attempted", self.grouped(tried)),
            *(_f_score(group, self.grouped(decided), self.grouped(tried))
              for group in self.grouped(decided)),
        ]  # fmt: skip


def _f_score(
    group: str,
    decided: Mapping[str, list[tuple[str, float]]],
    tried: Mapping[str, list[tuple[str, float]]],
) -> Metric:
    """The harmonic mean of correct / all and correct / attempted.

    It is 2 correct / (all + attempted): the mean of all values and, once more, of the attempted
    ones. So its interval is that of a mean over questions, as of the other numbers.
    Source: simple-evals of SimpleQA (arXiv 2411.04368, section 3).
    """
    pairs = decided[group]
    found = mean_of("F-score", group, [*pairs, *tried.get(group, [])])
    return found.model_copy(update={"n": len(pairs), "units": len({unit for unit, _ in pairs})})


def _attempted(one: Scored) -> bool:
    return is_attempted(golds_of(one.task), one.trajectory.answer)


def _language(asked: _Question, row: Row) -> str:
    """`en` or `zh`; where the row does not say so, by the letters of its question."""
    if not asked.language:
        chinese = any("\u4e00" <= letter <= "\u9fff" for letter in asked.question)
        return "zh" if chinese else "en"
    if (known := LANGUAGES.get(asked.language.strip().lower())) is None:
        raise row.wrong(f"language: expected EN or CN, got {asked.language[:40]!r}")
    return known


def _task(name: str, row: Row, language: str, max_pixels: int) -> Task:
    asked = row.read(_Question)
    held = picture_in(row, "image", "image_path")
    image = picture(row, held, max_pixels=max_pixels)
    return short_task(
        row, name, "simplevqa", asked.question, [image],
        golds=(asked.answer,), family=language, meta={"category": asked.category},
    )  # fmt: skip
