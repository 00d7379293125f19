r"""ZoomBench: what a small region shows, asked of the whole image and of the region (2602.11858).

One parquet file as its authors publish it; the card calls the columns `prompt` and `answer`:

    data/test.parquet
    {"id": "...", "query": "How many ...?\n(A) 0\n(B) 2", "response": "B", "question_type": "mcq",
     "image": {"bytes": b"..."}, "crop_image": {"bytes": b"..."} or null}

In the dual view each question is asked twice, of the image and of its crop: what is answered of the
crop alone is the zooming gap. Source: inclusionAI/Zooming-without-Zooming,
utils/convert_benchmark.py and mm-eval/judge_qwenlm.py; the card of
`inclusionAI/ZoomBench` on the hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import ClassVar, Literal

from pydantic import AliasChoices, BaseModel, Field

from saccade.bench.benchmark import ALL, UNIT, About, Benchmark, Item, Scored
from saccade.bench.cells import Text, first_of, picture
from saccade.bench.parts import task_of
from saccade.bench.scorers.short_answers import golds_of, judged
from saccade.formats.found import find_files
from saccade.formats.records import Row, read_records
from saccade.measures.means import Metric, mean_of, means_by
from saccade.measures.paired import paired
from saccade.rewards.text import same_text
from saccade.types import OPTION_LETTERS, Task, Verdict, option_letter

VIEW = "view"
"""Key of `Task.meta`: `full` or `crop`."""
_OPTION = re.compile(r"\s*\(?([A-Z])[.):]{1,2}\s*(\S.*?)\s*")
_LETTER = re.compile(r"\s*\(?([A-Za-z])(?:[.):]{1,2}(?:\s.*)?)?\s*", re.DOTALL)


class _Question(BaseModel):
    query: Text = Field(min_length=1, validation_alias=AliasChoices("query", "prompt", "question"))
    response: Text = Field(min_length=1, validation_alias=AliasChoices("response", "answer"))
    id: Text = Field(default="", validation_alias=AliasChoices("id", "index"))
    dimension: Text = Field(
        default="", validation_alias=AliasChoices("dimension", "category", "sub_task", "task")
    )
    question_type: Text = ""


class ZoomBench(Benchmark):
    """ZoomBench, of the whole images, of their crops, or of both."""

    name: ClassVar[str] = "zoombench"
    about: ClassVar[About] = About(
        title="ZoomBench",
        items=845,
        licence="Apache-2.0",
        source="https://huggingface.co/datasets/inclusionAI/ZoomBench",
        layout="the folder with data/test.parquet, or that file",
        metric="share of right answers, of the whole images; in the dual view also of the crops, "
        "and the gap between both, paired by question",
        differs="the authors ask a model whether an answer means the same also where options are "
        "given, and count any reply of it that has yes in it as right",
        paper="arXiv 2602.11858",
    )

    view: Literal["full", "crop", "dual"] = "full"
    """What is shown: the whole image, its crop, or each of them in a task of its own. A question
    without a crop is in the full view alone."""

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row and view."""
        patterns = ["data/test*.parquet", "test*.parquet", "**/*.parquet", "*.jsonl", "*.json"]
        number = 0
        for file in find_files(place, patterns, self.about.layout):
            for row in read_records(file):
                unit = f"zoombench-{row.read(_Question).id or number}"
                number += 1
                for view in self._views(row):
                    name = f"{unit}+{view}" if self.view == "dual" else unit
                    yield Item(name, row.place, partial(_task, name, row, unit, view), unit)

    def _views(self, row: Row) -> tuple[str, ...]:
        if self.view == "full":
            return ("full",)
        if _crop(row) is None:
            return ()
        return ("full", "crop") if self.view == "dual" else ("crop",)

    async def judge(self, task: Task, answer: str) -> Verdict:
        """By its options where a question has some, else as a short answer."""
        if task.choices:
            return await super().judge(task, answer)
        return judged(golds_of(task), answer)

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """The accuracy; of the dual view also that of the crops, and what both make of a question.

        The accuracy is that of the whole images wherever they are asked. A question of several
        samples is right in a view if more than half of them are.
        """
        whole = [one for one in scored if one.task.meta.get(VIEW) != "crop"]
        crops = [one for one in scored if one.task.meta.get(VIEW) == "crop"]
        if not whole or not crops:
            return super().metrics(scored)
        of_crops = {ALL: self.grouped(crops)[ALL]}
        return [
            *super().metrics(whole),
            *means_by("crop accuracy", of_crops),
            *_gap(self.grouped(whole)[ALL], of_crops[ALL]),
        ]


def _gap(whole: Sequence[tuple[str, float]], crops: Sequence[tuple[str, float]]) -> list[Metric]:
    """What is gained by the crop, over the questions that are scored in both views."""
    full, crop = _by_unit(whole), _by_unit(crops)
    units = sorted(full.keys() & crop.keys())
    if not units:
        return [Metric(name="zooming gap", value=None, n=0, units=0)]
    found = paired([full[unit] for unit in units], [crop[unit] for unit in units])
    kinds = {
        "right in both views": (True, True),
        "right in the full view alone": (True, False),
        "right in the crop alone": (False, True),
        "right in neither view": (False, False),
    }
    right = [(unit, (full[unit] > 0.5, crop[unit] > 0.5)) for unit in units]
    return [
        Metric(
            name="zooming gap", value=found.difference, low=found.interval.low,
            high=found.interval.high, n=len(units), units=len(units), method="paired",
        ),
        *(mean_of(name, ALL, [(unit, float(is_ == kind)) for unit, is_ in right])
          for name, kind in kinds.items()),
    ]  # fmt: skip


def _by_unit(pairs: Sequence[tuple[str, float]]) -> dict[str, float]:
    units: dict[str, list[float]] = {}
    for unit, value in pairs:
        units.setdefault(unit, []).append(value)
    return {unit: fmean(values) for unit, values in units.items()}


def _crop(row: Row) -> object:
    held = first_of(row, "crop_image", "crop_images")
    empty = isinstance(held, dict) and not held.get("bytes") and not held.get("path")
    return None if empty else held


def _task(name: str, row: Row, unit: str, view: str, max_pixels: int) -> Task:
    asked = row.read(_Question)
    column = "crop_image" if view == "crop" else "image"
    held = _crop(row) if view == "crop" else first_of(row, "image", "images")
    image = picture(row, held, max_pixels=max_pixels, column=column)
    question = asked.query.replace("<image>", "")
    text, choices = _options(question)
    gold = _gold(asked.response, choices)
    return task_of(
        row, name, "zoombench", text if gold else question, [image],
        answer=gold or asked.response, choices=choices if gold else (), family=asked.dimension,
        meta={UNIT: unit, VIEW: view, "question_type": asked.question_type},
    )  # fmt: skip


def _gold(response: str, choices: Sequence[str]) -> str | None:
    """The option that is right, with its letter; None where the answer names none."""
    letter = _LETTER.fullmatch(response)
    place = OPTION_LETTERS.index(letter[1].upper()) if letter else len(choices)
    if place >= len(choices):
        place = next((k for k, c in enumerate(choices) if same_text(c, response)), len(choices))
    return f"{option_letter(place)}. {choices[place]}" if place < len(choices) else None


def _options(question: str) -> tuple[str, tuple[str, ...]]:
    """The text of a question, and the options A, B, ... that its last lines give."""
    lines = question.rstrip().splitlines()
    found: list[str] = []
    for line in reversed(lines):
        option = _OPTION.fullmatch(line)
        if option is None:
            break
        found.append(option[1] + option[2])
    found.reverse()
    letters = "".join(option[0] for option in found)
    if len(found) < 2 or letters != OPTION_LETTERS[: len(found)]:
        return question, ()
    return "\n".join(lines[: -len(found)]).rstrip(), tuple(option[1:] for option in found)
