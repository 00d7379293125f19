"""LogicVista: tests of reasoning, of five skills (Xiao et al., arXiv 2407.04973).

The authors' file `dataset.json` with pictures in `images/`, an object by name,

    {"v1_1": {"imagename": "v1_1.png", "question": "Which choices in the image (A-D) ...?",
              "answer": "A, C", "skill": ["inductive"], "broad_capability": ["diagram"], ...}}

or parquet, or VLMEvalKit's TSV. An answer is a set of letters, whose options stand in the text or
in the picture. One item of 448 has neither question nor answer, and one is answered with a digit.
Source: Yijia-Xiao/LogicVista, data/dataset.json; VLMEvalKit, vlmeval/dataset/utils/logicvista.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, BaseModel, Field

from saccade.bench.benchmark import About, Item, Scored
from saccade.bench.cells import Text, Texts, noted, picture, picture_in, rows_of_set
from saccade.bench.parts import task_of
from saccade.bench.scorers.maths.groupings import grouped_by
from saccade.bench.scorers.maths.options import SHOWN, gold_letters, letters_up_to, options_in
from saccade.bench.scorers.maths.rules import MathsBenchmark
from saccade.formats.found import find_files
from saccade.formats.records import Row
from saccade.types import OPTION_LETTERS, Task

FILES = (
    "**/dataset.json", "**/test-*.parquet", "**/*.parquet", "**/LogicVista.tsv",
)  # fmt: skip
IN_PICTURE = "Answer the question that stands in the picture."
FORM = "Answer with the letter of the right option, or with all letters if several are right."
_RANGE = re.compile(r"\b([A-I])\s?(?:-|to|through|\u2013)\s?([A-I])\b")


class _Question(BaseModel):
    question: Text
    answer: Text
    skill: Texts = ()
    capability: Texts = Field((), validation_alias=AliasChoices("broad_capability", "capability"))
    name: Text = Field("", validation_alias=AliasChoices("key", "index", "id", "imagename"))


class LogicVista(MathsBenchmark):
    """LogicVista; right is exactly the set of right letters."""

    name: ClassVar[str] = "logicvista"
    about: ClassVar[About] = About(
        title="LogicVista",
        items=448,
        licence="Apache-2.0 (code); pictures of other owners",
        source="https://github.com/Yijia-Xiao/LogicVista",
        layout="a folder with dataset.json and images/, parquet, or the TSV",
        metric="share of answers with exactly the right letters, overall and by skill "
        "(arXiv 2407.04973)",
        differs="a model extracts the letters; a reply of it that is no row of capitals counts as "
        "wrong, and so does the item without an answer, which here is not scored",
        paper="arXiv 2407.04973",
        tsv=("LogicVista",),
    )

    def items(self, place: Path) -> Iterator[Item]:
        """One for each question."""
        for file in find_files(place, FILES, self.about.layout):
            for row in rows_of_set(file):
                found = row.read(_Question)
                name = f"logicvista-{found.name or row.place}"
                yield Item(name, row.place, partial(_task, name, row, place))

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By skill and by capability."""
        return grouped_by(scored, {"skill": "skill", "capability": "capability"})


def _task(name: str, row: Row, place: Path, max_pixels: int) -> Task:
    found = row.read(_Question)
    meta = noted({"skill": found.skill, "capability": found.capability})
    answer = found.answer.strip()
    if gold := gold_letters(answer):
        meta[SHOWN] = list(_shown(found.question, gold))
    held = picture_in(row, "image", "imagename")
    image = picture(row, held, place=place, max_pixels=max_pixels, folders=("images", ""))
    question = f"{found.question.strip() or IN_PICTURE}\n{FORM}"
    return task_of(
        row, name, "logicvista", question, [image], answer=answer or None,
        family=found.skill[0] if found.skill else "", meta=meta,
    )  # fmt: skip


def _shown(question: str, gold: frozenset[int]) -> tuple[str, ...]:
    """The options of a question, or their letters; as many as it says, and as are right."""
    options = options_in(question)
    if len(options) > max(gold):
        return options
    ends = [OPTION_LETTERS.index(found[2]) for found in _RANGE.finditer(question)]
    return letters_up_to(gold | frozenset(ends))
