"""DynaMath: 501 questions, each in ten variants that a program draws (arXiv 2411.00836).

The authors' files: a folder `trial1` to `trial10` for each variant (or parquet files `sample1-*` to
`sample10-*` with the picture in `decoded_image`), each with

    {"1": {"question": "...", "answer": "2.0944", "image": "image/image1.png",
           "answer_type": "float", "subject": "analytic geometry", "level": "high school"}, ...}

or VLMEvalKit's TSV with `qid` and `varid`. Options stand in the text, and are not moved.
Source: DynaMath/DynaMath, `samples and result/`; VLMEvalKit, vlmeval/dataset/dynamath.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, BaseModel, Field

from saccade.bench.benchmark import UNIT, About, Difference, Item, Scored, unit_of
from saccade.bench.cells import Text, asked_in, noted, picture, picture_in, rows_of_set
from saccade.bench.parts import task_of
from saccade.bench.scorers.maths import compat as vlmevalkit
from saccade.bench.scorers.maths.groupings import grouped_by
from saccade.bench.scorers.maths.options import SHOWN, gold_letters, letters_up_to, options_in
from saccade.bench.scorers.maths.rules import WITHIN, MathsBenchmark
from saccade.formats.found import find_files
from saccade.formats.records import Row
from saccade.measures.means import Metric, means_by
from saccade.types import Task, Verdict

FILES = (
    "**/trial*/*.json", "**/variant*/*.json", "**/sample_variant*.parquet",
    "**/sample[0-9]*.parquet", "**/test-*.parquet", "**/DynaMath.tsv", "**/dataset.json",
)  # fmt: skip
GROUPS = {"subject": "subject", "level": "level", "type": "answer_type"}
TOLERANCE = 1e-3
"""Of numbers. Source: VLMEvalKit, DynaMath_auxeval."""
FORMS = {
    "float": "Answer with a number, to three decimals.",
    "multiple choice": "Answer with the letter of the right option.",
}
KIND = "answer_type"
_VARIANT = re.compile(r"(?:trial|variant|sample)[_ ]?(\d+)")


class _Question(BaseModel):
    question: Text
    answer: Text = Field(validation_alias=AliasChoices("answer", "ground_truth"))
    answer_type: Text
    subject: Text = ""
    level: Text = Field("", validation_alias=AliasChoices("level", "knowledge_level"))
    seed: Text = Field(validation_alias=AliasChoices("qid", "question_id", "id", "key"))
    variant: Text = Field("", validation_alias=AliasChoices("varid", "variant", "variant_id"))


class DynaMath(MathsBenchmark):
    """DynaMath; the variants of a seed question are one unit."""

    name: ClassVar[str] = "dynamath"
    headline: ClassVar[str] = "average accuracy"
    about: ClassVar[About] = About(
        title="DynaMath",
        items=5010,
        licence="Apache-2.0 (data card), MIT (code)",
        source="https://huggingface.co/datasets/DynaMath/DynaMath_Sample",
        layout="a folder with trial1/ to trial10/, its parquet files, or the TSV",
        metric="average over all variants; worst case: share of questions with all variants right "
        "(arXiv 2411.00836, section 4)",
        differs='VLMEvalKit takes an empty "short answer" for right, since it is part of every '
        "text, and a text for right that is part of the gold one",
        paper="arXiv 2411.00836",
        tsv=("DynaMath",),
    )
    variants: int = Field(default=10, ge=1)
    """Number of variants of a question; one with fewer that are scored is in no worst case."""

    def items(self, place: Path) -> Iterator[Item]:
        """One for each variant of each question."""
        for file in find_files(place, FILES, self.about.layout):
            below = str(file.relative_to(place)) if place.is_dir() else file.name
            held = _VARIANT.findall(below)
            for row in rows_of_set(file):
                found = row.read(_Question)
                variant = found.variant or (held[-1] if held else "1")
                if "question_id" in row.values:  # there the id is that of the variant
                    variant = found.variant or str(row.values.get("id", variant))
                name = f"dynamath-{found.seed}-{variant}"
                yield Item(name, row.place, partial(_task, name, row, place))

    async def judge_value(self, task: Task, answer: str) -> Verdict:
        """The rule; of an answer in JSON what stands under "short answer"."""
        short = _short(answer)
        if not short.strip():
            return Verdict(correct=False, reason="no answer", judge=self.name)
        return await super().judge_value(task, short)

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Options by letter or text, of an answer in JSON too."""
        return await super().judge(task, _short(answer))

    def compat(self, task: Task, reply: str) -> float | None:
        """What `DynaMath_auxeval` reads of a reply in JSON; None where a model extracts."""
        return vlmevalkit.dynamath(task, reply, str(task.meta.get(KIND)))

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By subject, level and type of answer."""
        return grouped_by(scored, GROUPS)

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """Average and worst-case accuracy, both by group."""
        worst = list(self._worst(scored))
        return [
            *means_by(self.headline, self.grouped(scored)),
            *means_by("worst-case accuracy", self.grouped(worst)),
        ]

    def _worst(self, scored: Sequence[Scored]) -> Iterator[Scored]:
        """For each question and sample one attempt, with the least value of its variants."""
        questions: dict[tuple[str, int], list[Scored]] = {}
        for one in scored:
            key = (unit_of(one.task), one.trajectory.sample)
            questions.setdefault(key, []).append(one)
        for variants in questions.values():
            values = [one.value for one in variants if one.value is not None]
            if len(values) >= self.variants and len(values) == len(variants):
                yield variants[0]._replace(value=min(values))

    differences: ClassVar[tuple[Difference, ...]] = (
        Difference(
            Task(id="empty", prompt=("Which month?",), answer="May", meta={KIND: "text"}),
            '{"solution": "...", "short answer": ""}', False, 1.0,
            'DynaMath_auxeval asks whether the answer is part of the gold text: "" always is',
        ),
        Difference(
            Task(id="part", prompt=("Which day?",), answer="Thursday", meta={KIND: "text"}),
            '{"short answer": "day"}', False, 1.0,
            "DynaMath_auxeval takes any part of the gold text for right",
        ),
    )  # fmt: skip


def _task(name: str, row: Row, place: Path, max_pixels: int) -> Task:
    found = row.read(_Question)
    meta = noted(
        {"subject": " ".join(found.subject.split()), "level": found.level, KIND: found.answer_type},
        **{UNIT: f"dynamath-{found.seed}"},
    )
    answer = found.answer.strip()
    if found.answer_type == "multiple choice":
        gold = gold_letters(answer)
        if len(gold) != 1:
            raise row.wrong(f"answer: expected the letter of an option, got {answer[:80]!r}")
        options = options_in(found.question)
        meta[SHOWN] = list(options if len(options) > max(gold) else letters_up_to(gold))
    elif found.answer_type == "float":
        meta[WITHIN] = TOLERANCE
    held = picture_in(row, "decoded_image", "image")
    image = picture(row, held, place=place, max_pixels=max_pixels, folders=("", "image", "images"))
    form = FORMS.get(found.answer_type, "Answer in a few words or numbers.")
    question = f"{asked_in(row, found.question)}\n{form}"
    return task_of(
        row, name, "dynamath", question, [image], answer=answer,
        family=str(meta.get("subject", "")), meta=meta,
    )  # fmt: skip


def _short(answer: str) -> str:
    """What stands under "short answer" of an answer in JSON; else the answer."""
    start, end = answer.find("{"), answer.rfind("}")
    if not 0 <= start < end or "short answer" not in answer:
        return answer
    try:
        content = json.loads(answer[start : end + 1], strict=False)
    except (ValueError, RecursionError):
        return answer
    short = content.get("short answer") if isinstance(content, dict) else None
    return answer if short is None else str(short)
