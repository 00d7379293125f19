"""CharXiv: charts of scientific papers (Wang et al., arXiv 2406.18521).

The authors' files: `data/reasoning_val.json` and `data/descriptive_val.json` with pictures in
`images/` by number,

    {"0": {"figure_id": 0, "query": "Which model ...?", "answer": "Joint-CNN", "inst_category": 1}}
    {"0": {"figure_id": 0, "subplot_loc": [1, 2], "qids": [7, 13, 11, 15],
           "answers": ["60", "Ft-CNN, ...", "Yes", "Not Applicable"]}}

or the parquet, in which a figure has a reasoning question and four descriptive ones, or
VLMEvalKit's TSVs with the text of the question. A descriptive question is a number from 1 to 19;
its words are those of `saccade.bench.scorers.charts.charxiv`, not the authors'.
Source: princeton-nlp/CharXiv, data/ and src/constants.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from pydantic import AliasChoices, BaseModel, Field

from saccade.bench.benchmark import UNIT, About, Benchmark, Item, Scored
from saccade.bench.cells import Text, Texts, asked_in, noted, picture, rows_of_set, text_of
from saccade.bench.parts import task_of
from saccade.bench.scorers.charts import charxiv as scorer
from saccade.bench.scorers.maths.groupings import grouped_by
from saccade.bench.scorers.maths.rules import Instructed
from saccade.formats.found import find_files
from saccade.formats.records import Row
from saccade.rewards.judges import Judge
from saccade.types import Task, Verdict

Mode = Literal["reasoning", "descriptive"]
ROW = ("subplot_row", "subplot_col")


class _Reasoning(BaseModel):
    query: Text = Field(validation_alias=AliasChoices("query", "reasoning_q", "question"))
    answer: Text = Field(validation_alias=AliasChoices("answer", "reasoning_a"))
    kind: Text = Field(
        validation_alias=AliasChoices("inst_category", "reasoning_a_type", "reasoning_q_source")
    )


class _Descriptive(BaseModel):
    qids: Texts = ()
    qid: Text = ""
    question: Text = ""
    answer: Text = ""
    answers: Texts = ()


class _Question(NamedTuple):
    """One of the descriptive questions of a figure."""

    number: int
    qid: int
    answer: str
    text: str = ""
    """Its words, where the file has them."""


class CharXiv(Benchmark):
    """The validation part of CharXiv, of which one half is read at a time."""

    name: ClassVar[str] = "charxiv"
    about: ClassVar[About] = About(
        title="CharXiv validation",
        items=1000,
        licence="CC BY-SA 4.0",
        source="https://huggingface.co/datasets/princeton-nlp/CharXiv",
        layout="a folder with data/*_val.json and images/, val.parquet, or the TSVs",
        metric="share of right answers, reasoning (1000 questions) or descriptive (4000), by kind "
        "of answer (arXiv 2406.18521, section 3)",
        differs="the authors' judge is gpt-4o with their words; lmms-eval takes the source of a "
        "question for the kind of its answer; a reply of the judge that is no JSON counts as 0 in "
        "VLMEvalKit",
        paper="arXiv 2406.18521",
        tsv=("CharXiv_reasoning_val", "CharXiv_descriptive_val"),
    )
    mode: Mode = "reasoning"
    """Which questions are asked: one that takes reasoning for each figure, or four about what the
    figure shows."""

    def items(self, place: Path) -> Iterator[Item]:
        """One for each question."""
        patterns = [
            f"**/{self.mode}_val.json", f"**/CharXiv_{self.mode}_val.tsv", "**/val.parquet",
            "**/val*.parquet", f"**/*{self.mode}*.json",
        ]  # fmt: skip
        for file in find_files(place, patterns, self.about.layout):
            for number, row in enumerate(rows_of_set(file)):
                figure = _figure(row) or str(number)
                if self.mode == "reasoning":
                    name = f"charxiv-reasoning-{figure}"
                    yield Item(name, row.place, partial(_reasoning, name, row, place))
                    continue
                for asked in _questions(row):
                    name = f"charxiv-descriptive-{figure}-{asked.number}"
                    yield Item(name, row.place, partial(_descriptive, name, row, place, asked))

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Right where it is the gold text or number, wrong where it is another number."""
        return scorer.judge(task, answer)

    def judging(self, model: Judge) -> Judge:
        """A model is told how answers of this kind are compared."""
        return Instructed(model, scorer.instructions, texts=scorer.ALL_INSTRUCTIONS)

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By the kind of answer, or of what is asked."""
        return grouped_by(scored, {"kind": "family"})


def _figure(row: Row) -> str:
    """The number of the figure of a row; of a parquet row that in its path."""
    stem = Path(text_of(row.values.get("figure_path"))).stem
    names = [text_of(row.values.get(column)) for column in ("index", "key")]
    return next(filter(None, [text_of(row.values.get("figure_id")), stem, *names]), "")


def _picture(row: Row) -> object:
    held = row.values.get("image")
    return held if held else f"{_figure(row)}.jpg"


def _reasoning(name: str, row: Row, place: Path, max_pixels: int) -> Task:
    found = row.read(_Reasoning)
    kind = scorer.REASONING.get(found.kind)
    if kind is None:
        raise row.wrong(f"inst_category: expected 1 to 4, got {found.kind[:80]!r}")
    form = scorer.form_of(kind, found.answer)
    question = f"{asked_in(row, found.query)}\n{form}"
    return _made(name, row, place, question, found.answer, kind, {}, max_pixels)


def _descriptive(name: str, row: Row, place: Path, asked: _Question, max_pixels: int) -> Task:
    if asked.qid not in scorer.DESCRIPTIVE:
        raise row.wrong(f"qids: expected 1 to 19, got {asked.qid}")
    location = row.values.get("subplot_loc")
    if location is None and row.values.get(ROW[0]) is not None:
        location = [row.values[column] for column in ROW]
    question = asked.text or scorer.question_of(asked.qid, location)
    kind = scorer.DESCRIPTIVE[asked.qid].kind
    more = {scorer.QID: asked.qid}
    return _made(name, row, place, question, asked.answer, kind, more, max_pixels)


def _made(
    name: str, row: Row, place: Path, question: str, answer: str, kind: str,
    more: Mapping[str, object], max_pixels: int,
) -> Task:  # fmt: skip
    image = picture(row, _picture(row), place=place, max_pixels=max_pixels, folders=("images", ""))
    meta = noted(more, **{UNIT: f"charxiv-{_figure(row) or name}"})
    return task_of(
        row, name, "charxiv", question, [image], answer=answer.strip(), family=kind, meta=meta
    )


def _questions(row: Row) -> list[_Question]:
    """The descriptive questions of a row: of lists, of columns by number, or one alone."""
    found = row.read(_Descriptive)
    values = row.values
    if "descriptive_q1" in values:
        numbers = range(1, 5)
        pairs = [
            (values.get(f"descriptive_q{n}"), values.get(f"descriptive_a{n}")) for n in numbers
        ]
        return [
            _Question(n, _qid(row, text_of(q)), text_of(a)) for n, (q, a) in enumerate(pairs, 1)
        ]
    if found.qid:
        qid = _qid(row, found.qid)
        place = text_of(values.get("subq_idx"))
        number = int(place) if place.isdecimal() else qid
        return [_Question(number, qid, found.answer, found.question)]
    if not found.qids or len(found.qids) != len(found.answers):
        raise row.wrong(
            f"qids: expected as many as answers, got {len(found.qids)} and {len(found.answers)}"
        )
    pairs_of = zip(found.qids, found.answers, strict=True)
    return [_Question(n, _qid(row, qid), answer) for n, (qid, answer) in enumerate(pairs_of)]


def _qid(row: Row, text: str) -> int:
    if not text.isdecimal():
        raise row.wrong(f"qids: expected a number from 1 to 19, got {text[:80]!r}")
    return int(text)
