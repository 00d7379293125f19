"""MathVista: mathematics on pictures of 28 data sets (Lu et al., arXiv 2310.02255).

The authors' files: `testmini.json` with pictures in `images/`, an object by number,

    {"1": {"question": "...", "image": "images/1.jpg", "choices": null, "unit": null,
           "precision": 1, "answer": "1.2", "question_type": "free_form", "answer_type": "float",
           "pid": "1", "metadata": {"task": "...", "source": "SciBench", "skills": ["..."], ...}}}

or parquet with the picture in `decoded_image`, or VLMEvalKit's TSV, whose questions hold the hint
and the options too. The answer of a question with options is the text of one.
Source: lupantech/MathVista, data/testmini.json and evaluation/calculate_score.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from saccade.bench.benchmark import About, Difference, Item, Scored
from saccade.bench.cells import (
    Table,
    Text,
    Texts,
    asked_in,
    list_of,
    noted,
    picture,
    picture_in,
    rows_of_set,
)
from saccade.bench.parts import checked, task_of
from saccade.bench.scorers.maths import compat as vlmevalkit
from saccade.bench.scorers.maths.groupings import grouped_by
from saccade.bench.scorers.maths.numbers import decimals, measured, same_number
from saccade.bench.scorers.maths.options import Asked, asked, with_choices
from saccade.bench.scorers.maths.rules import UNIT_OF_ANSWER, WITHIN, MathsBenchmark
from saccade.formats.found import find_files
from saccade.formats.records import Row
from saccade.types import OPTION_LETTERS, Task, Verdict

FILES = (
    "**/testmini-*.parquet", "**/testmini.parquet", "**/testmini.json", "**/testmini.jsonl",
    "**/MathVista_MINI.tsv",
)  # fmt: skip
GROUPS = {
    name: name
    for name in (
        "task", "skills", "context", "source", "category", "grade", "language", "question_type",
        "answer_type",
    )
}  # fmt: skip
_QUERY = re.compile(r"\s*Hint:.*?\nQuestion:\s*(.*?)(?:\n+Choices:.*)?\s*", re.DOTALL)
_FORMS = {
    "integer": "Answer with an integer.",
    "list": "Answer with a list of numbers, as in [1, 2, 3].",
}
_ITEM = re.compile(r"\s*(?:,|;|\band\b|\bto\b|\bbetween\b)\s*")
_RANGE = re.compile(r"\d\s*[-~\u2010-\u2014]\s*\d")
"""2007-2008 is two years or a difference."""


class _Problem(BaseModel):
    question: Text
    answer: Text = ""
    answer_option: Text = ""
    question_type: Text
    answer_type: Text
    choices: Texts = ()
    unit: Text = ""
    precision: Text = ""
    pid: Text = ""
    index: Text = ""
    metadata: Table = {}


class MathVista(MathsBenchmark):
    """MathVista testmini, from the authors' JSON or parquet, or from VLMEvalKit's TSV."""

    name: ClassVar[str] = "mathvista"
    about: ClassVar[About] = About(
        title="MathVista testmini",
        items=1000,
        licence="CC BY-SA 4.0",
        source="https://huggingface.co/datasets/AI4Math/MathVista",
        layout="a folder with testmini.json and images/, testmini-*.parquet, or the TSV",
        metric="share of right answers, overall and by task, skill, context and source "
        "(arXiv 2310.02255, section 3)",
        differs="a model extracts the answer first; the authors take the option of the smallest "
        "edit distance where none is found, and cut 2.9 to the integer 2; VLMEvalKit counts no "
        "list as right and reads no unit",
        paper="arXiv 2310.02255",
        tsv=("MathVista_MINI",),
    )

    def items(self, place: Path) -> Iterator[Item]:
        """One for each problem."""
        for file in find_files(place, FILES, self.about.layout):
            for row in rows_of_set(file):
                found = row.read(_Problem)
                number = found.pid or found.index or row.values.get("key", row.place)
                name = f"mathvista-{number}"
                yield Item(name, row.place, partial(_task, name, row, place))

    async def judge_value(self, task: Task, answer: str) -> Verdict:
        """Lists are compared item by item, in order."""
        gold = _listed(task.answer or "") if task.meta.get("answer_type") == "list" else None
        if gold is None:
            return await super().judge_value(task, answer)
        if (found := _listed(answer)) is None:
            return Verdict(correct=None, reason="no list of numbers", judge="list", unread=True)
        return Verdict(correct=_same_lists(gold, found), judge="list")

    def compat(self, task: Task, reply: str) -> float | None:
        """Numbers and letters that `post_check` reads; None where a model extracts."""
        kind = str(task.meta.get("answer_type"))
        return vlmevalkit.mathvista(with_choices(task), reply, kind)

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By each column of its metadata; a problem has several skills."""
        return grouped_by(scored, GROUPS)

    differences: ClassVar[tuple[Difference, ...]] = (
        Difference(
            Task(id="list", prompt=("Between which two years?",), answer="[2007, 2008]",
                 meta={"answer_type": "list"}),
            "[2007, 2008]", True, 0.0,
            "post_check compares the text of None with a list: no list is ever right",
        ),
        Difference(
            Task(id="article", prompt=("Which car?",), answer="B. blue", choices=("red", "blue")),
            "A blue one", True, 0.0,
            "can_infer takes the article for the option A",
        ),
    )  # fmt: skip


def _task(name: str, row: Row, place: Path, max_pixels: int) -> Task:
    found = row.read(_Problem)
    held = found.metadata or row.values
    meta = noted(
        {key: list_of(held.get(key)) if key == "skills" else held.get(key) for key in GROUPS},
        question_type=found.question_type,
        answer_type=found.answer_type,
    )
    shown = picture_in(row, "decoded_image", "image")
    image = picture(row, shown, place=place, max_pixels=max_pixels, folders=("", "images"))
    query = _QUERY.fullmatch(found.question)
    question = asked_in(row, query[1] if query else found.question)
    if found.question_type == "multi_choice":
        ask = _options(row, found, question)
    else:
        digits = _digits(row, found)
        if found.answer_type == "float":
            meta[WITHIN] = 0.5 * 10**-digits
        if found.unit:
            meta[UNIT_OF_ANSWER] = found.unit
        form = _FORMS.get(found.answer_type, f"Answer with a number with {digits} decimals.")
        unit = f" (Unit: {found.unit})" if found.unit else ""
        ask = Asked(f"{question}{unit}\n{form}", (), found.answer, {})
    return task_of(
        row, name, "mathvista", ask.question, [image],
        answer=ask.answer if found.answer.strip() else None, choices=ask.choices,
        family=str(meta.get("task", "")), meta={**meta, **ask.meta},
    )  # fmt: skip


def _digits(row: Row, found: _Problem) -> int:
    """The decimals of an answer: those that the row says, or those that the gold answer has."""
    if not found.precision or found.precision == "nan":
        return decimals(found.answer)
    if not re.fullmatch(r"\d{1,2}(\.0*)?", found.precision):
        raise row.wrong(f"precision: expected a number of decimals, got {found.precision[:80]!r}")
    return int(float(found.precision))


def _options(row: Row, found: _Problem, question: str) -> Asked:
    choices = checked(row, [choice.strip() for choice in found.choices])
    if not found.answer.strip():
        return Asked(question, tuple(dict.fromkeys(choices)), "", {})
    letter = found.answer_option or found.answer
    if found.answer.strip() in choices:
        gold = choices.index(found.answer.strip())
    elif letter in OPTION_LETTERS[: len(choices)] and len(letter) == 1:
        gold = OPTION_LETTERS.index(letter)
    else:
        raise row.wrong(f"answer: {found.answer[:80]!r} is none of the choices {choices!s:.400}")
    return asked(question, choices, gold)


def _listed(text: str) -> list[str] | None:
    """The items of a list of numbers; None if it is none."""
    inner = re.sub(r"^.*?(?:is|are|=|:)\s+(?=[\[(\d])", "", text.strip(), count=1).rstrip(".")
    inner = inner.strip("`*$ ").removeprefix("\\boxed{").strip("[](){}\\ ")
    if _RANGE.search(inner):
        return None
    items = [item for item in _ITEM.split(inner) if item]
    return items if items and all(measured(item) for item in items) else None


def _same_lists(gold: Sequence[str], found: Sequence[str]) -> bool:
    pairs = [(measured(a), measured(b)) for a, b in zip(gold, found, strict=False)]
    same = all(a and b and same_number(a, b) for a, b in pairs)
    return len(gold) == len(found) and same
