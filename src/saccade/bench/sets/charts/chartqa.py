"""ChartQA: questions on charts, by people and by a program (Masry et al., arXiv 2203.10244).

The authors' files: `test/test_human.json` and `test/test_augmented.json` with pictures in
`test/png/`, lists of

    {"imgname": "41810321001157.png", "query": "How many bars are shown?", "label": "3"}

or parquet: `query`, `label` (a list), `human_or_machine` (0 or 1) and `image`, or `question`,
`answer` and `type`; or VLMEvalKit's TSV with `split`.
Source: vis-nlp/ChartQA, ChartQA Dataset/test; HuggingFaceM4/ChartQA, data card; lmms-eval,
lmms_eval/tasks/chartqa.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, BaseModel, Field

from saccade.bench.benchmark import About, Benchmark, Difference, Item, Scored
from saccade.bench.cells import Text, Texts, asked_in, picture, picture_in, rows_of_set
from saccade.bench.parts import task_of
from saccade.bench.scorers.charts.relaxed import judge_relaxed
from saccade.bench.scorers.maths import compat as vlmevalkit
from saccade.bench.scorers.maths.groupings import grouped_by
from saccade.formats.found import find_files
from saccade.formats.records import Row
from saccade.types import Task, Verdict

FILES = (
    "**/test-*.parquet", "**/test_*.json", "**/test.parquet", "**/test.jsonl", "**/test.json",
    "**/ChartQA_TEST.tsv",
)  # fmt: skip
GOLD = "gold"
"""Key of `Task.meta`: all gold answers."""
FORM = "Answer with a single number, word or phrase."


class _Question(BaseModel):
    question: Text = Field(validation_alias=AliasChoices("query", "question"))
    label: Texts = Field(validation_alias=AliasChoices("label", "answer"))
    kind: Text = Field(
        "", validation_alias=AliasChoices("human_or_machine", "type", "split", "category")
    )
    index: Text = ""


class ChartQA(Benchmark):
    """The test part of ChartQA."""

    name: ClassVar[str] = "chartqa"
    headline: ClassVar[str] = "relaxed accuracy"
    about: ClassVar[About] = About(
        title="ChartQA test",
        items=2500,
        licence="GPL-3.0",
        source="https://github.com/vis-nlp/ChartQA",
        layout="a folder with test_human.json, test_augmented.json and png/, test-*.parquet, or "
        "the TSV",
        metric="share of answers within 5 % of a number, or the same text; overall, human and "
        "augmented (arXiv 2203.10244, section 5.1)",
        differs="the code that everybody runs takes a year within 5 % for right (1998 for 2014), "
        'reads "6.8%" as 0.068, and compares with a gold 0 as text; any other word makes an '
        "answer wrong",
        paper="arXiv 2203.10244",
        tsv=("ChartQA_TEST",),
    )

    def items(self, place: Path) -> Iterator[Item]:
        """One for each question."""
        for file in find_files(place, FILES, self.about.layout):
            for number, row in enumerate(rows_of_set(file)):
                found = row.read(_Question)
                kind = _kind(found.kind, file)
                name = f"chartqa-{kind}-{found.index or f'{file.stem}-{number}'}"
                yield Item(name, row.place, partial(_task, name, row, place, kind))

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Numbers within 5 %, years exactly, texts as they are."""
        return judge_relaxed(_gold(task), answer, task.question)

    def compat(self, task: Task, reply: str) -> float:
        """`relaxed_correctness` of the whole reply."""
        return vlmevalkit.relaxed(_gold(task), reply)

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """Questions by people, and those by a program."""
        return grouped_by(scored, {"questions": "family"})

    differences: ClassVar[tuple[Difference, ...]] = (
        Difference(
            Task(id="year", prompt=("When does the line reach the peak?",), answer="2014"), "1998",
            False, 1.0, "relaxed_correctness takes a year within 5 % for right",
        ),
        Difference(
            Task(id="percent", prompt=("What percentage?",), answer="6.8"), "6.8%", True, 0.0,
            "relaxed_correctness reads 6.8% as 0.068, which is far from a gold 6.8",
        ),
        Difference(
            Task(id="zero", prompt=("How many?",), answer="0"), "0.0", True, 0.0,
            "relaxed_correctness compares with a gold zero as text",
        ),
    )  # fmt: skip


def _kind(column: str, file: Path) -> str:
    """`human` or `augmented`, from a column or from the name of the file."""
    said = column.casefold()
    if said in ("0", "human") or "human" in said:
        return "human"
    if said in ("1", "machine") or "augmented" in said:
        return "augmented"
    if "human" in file.stem or "augmented" in file.stem:
        return "human" if "human" in file.stem else "augmented"
    return "unknown"


def _gold(task: Task) -> list[str]:
    held = task.meta.get(GOLD)
    return [str(one) for one in held] if isinstance(held, list) else [task.answer or ""]


def _task(name: str, row: Row, place: Path, kind: str, max_pixels: int) -> Task:
    found = row.read(_Question)
    label = [one.strip() for one in found.label if one.strip()]
    raw = row.values.get("label", row.values.get("answer"))
    if isinstance(raw, str) and len(found.label) != 1:
        label = [raw.strip()] if raw.strip() else []  # one that is written as a list
    if not label:
        raise row.wrong("label: no answer")
    held = picture_in(row, "image", "imgname")
    image = picture(row, held, place=place, max_pixels=max_pixels, folders=("png", "", "images"))
    question = f"{asked_in(row, found.question)}\n{FORM}"
    return task_of(
        row, name, "chartqa", question, [image], answer=label[0],
        family=kind, meta={GOLD: list(label)},
    )  # fmt: skip
