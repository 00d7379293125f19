r"""MathVerse: one problem in five versions, from all in text to all in the picture.

The authors' file `testmini.json` (Zhang et al., arXiv 2403.14624), a list of

    {"sample_index": "1", "problem_index": "1", "problem_version": "Text Dominant",
     "question": "... ()\nChoices:\nA:40\nB:60", "image": "images_version_1-4/image_1.png",
     "answer": "D", "question_type": "multi-choice",
     "metadata": {"subject": "Plane Geometry", "subfield": "Angle", ...}, ...}

or the parquet with the pictures inside, or VLMEvalKit's TSVs. The question of `Vision Only` is
empty: it stands in the picture. Options stand in the text, or in the picture, and are not moved.
Source: ZrrSkywalker/MathVerse, data/ and evaluation/score_answer_s2.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from saccade.bench.benchmark import UNIT, About, Item, Scored
from saccade.bench.cells import Table, Text, noted, picture, rows_of_set, text_of
from saccade.bench.parts import task_of
from saccade.bench.scorers.maths.groupings import grouped_by
from saccade.bench.scorers.maths.options import SHOWN, gold_letters, letters_up_to, options_in
from saccade.bench.scorers.maths.rules import MathsBenchmark
from saccade.formats.found import find_files
from saccade.formats.records import Row
from saccade.rewards.text import same_text
from saccade.types import OPTION_LETTERS, Task

FILES = (
    "**/testmini-*.parquet", "**/testmini.parquet", "**/testmini.json", "**/MathVerse_MINIV.tsv",
    "**/MathVerse_MINI*.tsv",
)  # fmt: skip
FOLDERS = ("", "images")
IN_PICTURE = "Answer the question that stands in the picture."
FORMS = {
    "multi-choice": "Answer with the letter of the right option.",
    "free-form": "Answer with the value alone.",
}


class _Problem(BaseModel):
    question: Text = ""
    question_for_eval: Text = ""
    answer: Text
    question_type: Text
    problem_version: Text
    problem_index: Text = ""
    sample_index: Text = ""
    index: Text = ""
    metadata: Table = {}


class MathVerse(MathsBenchmark):
    """MathVerse testmini; the versions of a problem are one unit."""

    name: ClassVar[str] = "mathverse"
    about: ClassVar[About] = About(
        title="MathVerse testmini",
        items=3940,
        licence="MIT",
        source="https://huggingface.co/datasets/AI4Math/MathVerse",
        layout="a folder with testmini.json and images/, testmini.parquet, or the TSVs",
        metric="share of right answers, overall and by version, subject and subfield; intervals "
        "over problems (arXiv 2403.14624, section 3)",
        differs="a model extracts the answer, and a model compares it; here a rule comes first, "
        "and one judgement after it",
        paper="arXiv 2403.14624",
        tsv=("MathVerse_MINI", "MathVerse_MINIV"),
    )

    def items(self, place: Path) -> Iterator[Item]:
        """One for each version of each problem."""
        for file in find_files(place, FILES, self.about.layout):
            for row in rows_of_set(file):
                found = row.read(_Problem)
                number = found.sample_index or found.index or row.place
                version = found.problem_version.replace(" ", "-").lower()
                name = f"mathverse-{number}-{version}"
                yield Item(name, row.place, partial(_task, name, row, place))

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By version, subject, subfield and type of question."""
        return grouped_by(
            scored,
            {"version": "problem_version", "subject": "subject", "subfield": "subfield",
             "type": "question_type"},
        )  # fmt: skip


def _task(name: str, row: Row, place: Path, max_pixels: int) -> Task:
    found = row.read(_Problem)
    subject = {key: found.metadata.get(key) for key in ("subject", "subfield", "source")}
    meta = noted(subject, problem_version=found.problem_version, question_type=found.question_type)
    if found.problem_index:
        meta[UNIT] = f"mathverse-{found.problem_index}"
    answer = _mended(found.answer)
    if found.question_type == "multi-choice":
        # Of a question in a picture the text for the judge tells the options.
        options = options_in(found.question) or options_in(found.question_for_eval)
        answer = _letters(row, answer, options)
        gold = gold_letters(answer)
        meta[SHOWN] = list(options if len(options) > max(gold) else letters_up_to(gold))
    held = row.values.get("image")
    images = []
    if not isinstance(held, str) or held.strip():
        images = [picture(row, held, place=place, max_pixels=max_pixels, folders=FOLDERS)]
    elif found.problem_version != "Text Only":
        raise row.wrong("image: no image")
    form = FORMS.get(found.question_type, "")
    question = f"{text_of(found.question).strip() or IN_PICTURE}\n{form}"
    return task_of(
        row, name, "mathverse", question, images, answer=answer.strip(),
        family=found.problem_version, meta=meta,
    )  # fmt: skip


def _letters(row: Row, answer: str, options: tuple[str, ...]) -> str:
    """The letters of a gold answer; some rows have the text of an option instead."""
    if places := gold_letters(answer):
        return ", ".join(OPTION_LETTERS[place] for place in sorted(places))
    same = [place for place, option in enumerate(options) if same_text(option, answer)]
    if len(same) != 1:
        raise row.wrong(f"answer: expected the letter of an option, got {answer[:80]!r}")
    return OPTION_LETTERS[same[0]]


def _mended(answer: str) -> str:
    """The degree sign that the file holds in a wrong encoding (U+63B3)."""
    return answer.replace("\u63b3", "\N{DEGREE SIGN}")
