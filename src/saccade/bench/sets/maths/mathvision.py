r"""MATH-Vision: 3040 problems of competitions in 16 subjects (Wang et al., arXiv 2402.14804).

The authors' files `test.jsonl` and `testmini.jsonl` with pictures in `images/`,

    {"id": "6", "question": "... In which picture ...?\n<image1>",
     "options": ["A", "B", "C", "D", "E"], "answer": "D", "level": 3, "subject": "logic",
     "image": "images/6.jpg"}

or parquet with the picture in `decoded_image`, or VLMEvalKit's TSVs. A picture stands where its
mark is. Several are one picture, in which each has its mark above it: then it comes first, and the
text speaks of "image 1" and "image 2", in options too.
Source: mathllm/MATH-V, data/ and evaluation/evaluate.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel

from saccade.bench.benchmark import About, Difference, Item, Scored
from saccade.bench.cells import Text, Texts, asked_in, noted, picture, picture_in, rows_of_set
from saccade.bench.parts import checked, task_of
from saccade.bench.scorers.maths import compat as vlmevalkit
from saccade.bench.scorers.maths.groupings import grouped_by
from saccade.bench.scorers.maths.options import Asked, asked, with_choices
from saccade.bench.scorers.maths.rules import MathsBenchmark
from saccade.formats.found import find_files
from saccade.formats.marks import IMAGE
from saccade.formats.records import Row
from saccade.types import OPTION_LETTERS, Task

_MARK = re.compile(r"<image\s?(\d{1,2})>")
_LINE = re.compile(r"\\n(?![a-zR])")
"""A line break that was escaped once more, which no command of LaTeX begins with."""


class _Problem(BaseModel):
    question: Text
    answer: Text
    options: Texts = ()
    choices: Texts = ()
    level: Text = ""
    subject: Text = ""
    category: Text = ""
    id: Text = ""
    index: Text = ""


class MathVision(MathsBenchmark):
    """MATH-Vision, all problems or its small part."""

    name: ClassVar[str] = "mathvision"
    about: ClassVar[About] = About(
        title="MATH-Vision",
        items=3040,
        licence="MIT",
        source="https://huggingface.co/datasets/MathLLMs/MathVision",
        layout="a folder with test.jsonl (or testmini.jsonl) and images/, its parquet, or the TSV",
        metric="share of right answers, overall and by subject and level (arXiv 2402.14804, "
        "section 4)",
        differs="both published scorers run eval() on what the model wrote; the authors round to "
        "two decimals, VLMEvalKit takes 1e-6 for equal",
        paper="arXiv 2402.14804",
        tsv=("MathVision", "MathVision_MINI"),
    )
    split: Literal["test", "testmini"] = "test"
    """Which file of a folder is read: all 3040 problems, or 304 of them."""

    def items(self, place: Path) -> Iterator[Item]:
        """One for each problem."""
        tsv = "MathVision" if self.split == "test" else "MathVision_MINI"
        patterns = [
            f"**/{self.split}{end}" for end in ("-*.parquet", ".parquet", ".jsonl", ".json")
        ]
        for file in find_files(place, [*patterns, f"**/{tsv}.tsv"], self.about.layout):
            for row in rows_of_set(file):
                found = row.read(_Problem)
                name = f"mathvision-{found.id or found.index or row.place}"
                yield Item(name, row.place, partial(_task, name, row, place))

    def compat(self, task: Task, reply: str) -> float | None:
        """The letter of `can_infer`, or `is_equal`; None where a model extracts."""
        return vlmevalkit.mathvision(with_choices(task), reply)

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By subject and by level."""
        return grouped_by(scored, {"subject": "subject", "level": "level"})

    differences: ClassVar[tuple[Difference, ...]] = (
        Difference(
            Task(id="small", prompt=("How much?",), answer="0"), "0.0000005", False, 1.0,
            "is_equal takes numbers that differ by less than 1e-6 for equal",
        ),
    )  # fmt: skip


def _task(name: str, row: Row, place: Path, max_pixels: int) -> Task:
    found = row.read(_Problem)
    checked(row, found.options or found.choices)
    several = len(set(_MARK.findall(" ".join([found.question, *found.options])))) > 1
    options = [_named(option, several=True) for option in found.options or found.choices]
    question = _named(_LINE.sub("\n", asked_in(row, found.question)), several=several)
    ask = Asked(f"{question}\nAnswer with the value alone.", (), found.answer.strip(), {})
    if options:
        letter = found.answer.strip()
        if len(letter) != 1 or letter not in OPTION_LETTERS[: len(options)]:
            raise row.wrong(f"answer: expected the letter of an option, got {letter[:80]!r}")
        ask = asked(question, options, OPTION_LETTERS.index(letter))
    held = picture_in(row, "decoded_image", "image")
    image = picture(row, held, place=place, max_pixels=max_pixels, folders=("", "images"))
    subject = found.subject or found.category
    return task_of(
        row, name, "mathvision", ask.question, [image], answer=ask.answer, choices=ask.choices,
        family=subject, meta=noted({"subject": subject, "level": found.level}) | ask.meta,
        placed=not several,
    )  # fmt: skip


def _named(text: str, *, several: bool) -> str:
    """A text with marks: the image where it stands first, or the names of several in one."""
    if several:
        return _MARK.sub(r"image \1", text)
    first, *others = _MARK.split(text)[::2]
    return first + IMAGE + "the image".join(others) if others else text
