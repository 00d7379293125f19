"""OCRBench: 1000 questions on text in pictures, of ten kinds (Liu et al., arXiv 2305.07895).

The authors' file `OCRBench.json` with pictures in `OCRBench_Images/`, a list of

    {"dataset_name": "IIIT5K", "id": 2843, "image_path": "IIIT5K/test/918_1.png",
     "question": "what is written in the image?", "answers": "CENTRE",
     "type": "Regular Text Recognition"}

or parquet (`dataset`, `question`, `question_type`, `answer` (a list), `image`), or VLMEvalKit's TSV
(`category`, `answer` as the text of a list).
Source: Yuliang-Liu/MultimodalOCR, OCRBench/; echo840/OCRBench; VLMEvalKit, vlmeval/dataset/utils/
ocrbench.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, BaseModel, Field

from saccade.bench.benchmark import About, Benchmark, Difference, Item, Scored
from saccade.bench.cells import Text, Texts, picture, picture_in, rows_of_set
from saccade.bench.parts import task_of
from saccade.bench.scorers.maths import compat as vlmevalkit
from saccade.bench.scorers.maths.groupings import grouped_by
from saccade.formats.found import find_files
from saccade.formats.records import Row
from saccade.types import Task, Verdict

FILES = (
    "**/test-*.parquet", "**/OCRBench.json", "**/OCRBench.tsv", "**/test.parquet", "**/*.parquet",
)  # fmt: skip
FOLDERS = ("OCRBench_Images", "", "images", "OCRBench/OCRBench_Images")
FORMULA = "Handwritten Mathematical Expression Recognition"
RECOGNITION = "Text Recognition"
"""What the six kinds of text recognition are together."""
GOLD = "gold"
AREA = "area"
RULE = "contains"
_LATIN = "[a-z\u00df-\u024f]"
"""Letters of words between which there are blanks; in Chinese there are none."""
_NOT = re.compile(
    r"(?:\b(?:not|cannot|never|neither|nor)\b|n['\u2019]t\b|\u4e0d\u662f|\u5e76\u975e)[^.!?;\n\u3002]*$"
)


class _Question(BaseModel):
    question: Text
    answers: Texts = Field(validation_alias=AliasChoices("answers", "answer"))
    type: Text = Field(validation_alias=AliasChoices("type", "question_type", "category"))
    dataset: Text = Field("", validation_alias=AliasChoices("dataset_name", "dataset"))


class OCRBench(Benchmark):
    """OCRBench; 1000 times its accuracy is the score of its table."""

    name: ClassVar[str] = "ocrbench"
    about: ClassVar[About] = About(
        title="OCRBench",
        items=1000,
        licence="MIT (code); pictures of 26 data sets",
        source="https://huggingface.co/datasets/echo840/OCRBench",
        layout="a folder with OCRBench.json and OCRBench_Images/, test-*.parquet, or the TSV",
        metric="share of replies that hold a gold text, case aside; of formulas spaces aside; "
        "times 1000 it is the published score (arXiv 2305.07895)",
        differs='published scorers find "3" in "13", and do not know full-width letters',
        paper="arXiv 2305.07895",
        tsv=("OCRBench",),
    )

    def items(self, place: Path) -> Iterator[Item]:
        """One for each question; the ids of the file are not unique, so rows are counted."""
        for file in find_files(place, FILES, self.about.layout):
            for number, row in enumerate(rows_of_set(file)):
                found = row.read(_Question)
                name = f"ocrbench-{found.dataset or 'item'}-{file.stem}-{number}"
                yield Item(name, row.place, partial(_task, name, row, place))

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Whether a gold text is part of the answer, by whole words and numbers.

        Undecided where it is part of a longer word, is there but for blanks and marks, or denied.
        """
        formula = task.family == FORMULA
        held = [_holds(one, answer, formula=formula) for one in _gold(task)]
        if True in held or None not in held:
            return Verdict(correct=True in held, judge=RULE)
        reason = "it holds the text otherwise than as an answer"
        return Verdict(correct=None, reason=reason, judge=RULE, unread=True)

    def compat(self, task: Task, reply: str) -> float:
        """Whether a gold text is part of the reply, letter by letter."""
        return vlmevalkit.holds(_gold(task), reply, formula=task.family == FORMULA)

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By the five areas of the published table, then by the ten kinds."""
        return grouped_by(scored, {"area": AREA, "type": "family"})

    differences: ClassVar[tuple[Difference, ...]] = (
        Difference(
            Task(id="digit", prompt=("What is the number?",), answer="3"), "13", False, 1.0,
            "OCRBench.evaluate asks for a substring: 3 is part of 13",
        ),
        Difference(
            Task(id="wide", prompt=("What is written?",), answer="ABC"),
            "\uff21\uff22\uff23", True, 0.0,
            "OCRBench.evaluate compares full-width letters with plain ones",
        ),
    )  # fmt: skip


def _holds(gold: str, answer: str, *, formula: bool) -> bool | None:
    a, b = (unicodedata.normalize("NFKC", text) for text in (gold, answer))
    if formula:
        a, b = ("".join(text.split()) for text in (a, b))
        return bool(a) and a in b
    a, b = (" ".join(text.lower().split()) for text in (a, b))
    if not a:
        return False
    before = r"(?<!\d)(?<!\d[.,:/])" if a[0].isdigit() else f"(?<!{_LATIN})" * _latin(a[0])
    after = r"(?!\d)(?![.,:/]\d)" if a[-1].isdigit() else f"(?!{_LATIN})" * _latin(a[-1])
    found = [*re.finditer(before + re.escape(a) + after, b)]
    if any(not _NOT.search(b[max(0, match.start() - 200) : match.start()]) for match in found):
        return True
    letters = re.search(r"[^\W\d_]", a) is not None and _bare(a) in _bare(b)
    return None if found or letters else False


def _latin(sign: str) -> bool:
    return re.match(_LATIN, sign) is not None


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text)


def _gold(task: Task) -> list[str]:
    held = task.meta.get(GOLD)
    return [str(one) for one in held] if isinstance(held, list) else [task.answer or ""]


def _task(name: str, row: Row, place: Path, max_pixels: int) -> Task:
    found = row.read(_Question)
    raw = row.values.get("answers", row.values.get("answer"))
    plain = isinstance(raw, str) and not found.answers
    answers = [raw] if plain and isinstance(raw, str) else list(found.answers)
    answers = [one for one in answers if one.strip()]
    if not answers:
        raise row.wrong("answers: no answer")
    held = picture_in(row, "image", "image_path")
    image = picture(row, held, place=place, max_pixels=max_pixels, folders=FOLDERS)
    area = RECOGNITION if found.type.endswith(("Text Recognition", "Handwriting Recognition",
                                               "String Recognition")) else found.type  # fmt: skip
    return task_of(
        row, name, "ocrbench", found.question, [image], answer=answers[0].strip(),
        family=found.type, meta={GOLD: [*answers], AREA: area},
    )  # fmt: skip
