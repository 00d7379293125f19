r"""MMStar: questions that cannot be answered without the image (Chen et al., arXiv 2403.20330).

VLMEvalKit's `MMStar.tsv` (options in columns A to D), or the authors' `mmstar.parquet`, whose
options stand in the question in one of these forms,

    index  question                                        image  answer  category  l2_category
    0      Which ...?\nOptions: A: red, B: blue, C: ...    {...}  A       ...       ...
    1      Hint: ...\nQuestion: What ...?\nChoices:\n(A) 1\n(B) 2

and where "nan" is no option. A question whose options cannot be told apart keeps them in its text,
in their order.

Source: the data card of Lin-Chen/MMStar; lmms-eval 75571cfe, tasks/mmstar/utils.py.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, NamedTuple

from saccade.bench.benchmark import About, Benchmark, Difference, Item, Scored
from saccade.bench.order import KEPT
from saccade.bench.scorers.groups import grouped_by
from saccade.bench.scorers.letters import inferred
from saccade.bench.scorers.published import INFERRED
from saccade.bench.tsv import items_of, rows_in, task_of_row
from saccade.formats.vlmevalkit import TsvRow, is_missing
from saccade.types import Task

L2 = "l2"
_BEGIN = re.compile(r"\n?\s*(?:Options|Choices)\s*:\s*", re.IGNORECASE)
_MARK = r"(?:\(L\)|L\s?[:.)])\s*"
"""How the option L is marked."""
_HINT = re.compile(r"\s*Hint:.*?\n\s*Question:\s*", re.DOTALL)


class Parts(NamedTuple):
    """A question in whose text its options stand."""

    question: str
    options: dict[str, str]
    """Letter -> option; empty if they cannot be told apart."""


class MMStar(Benchmark):
    """MMStar: six abilities, three kinds of each."""

    name: ClassVar[str] = "mmstar"
    about: ClassVar[About] = About(
        title="MMStar",
        items=1_500,
        licence="not stated",
        source="https://huggingface.co/datasets/Lin-Chen/MMStar",
        layout="MMStar.tsv, or mmstar.parquet",
        metric="share of right options, overall and by ability",
        differs="VLMEvalKit reads letters with can_infer; lmms-eval averages over the 18 kinds",
        paper="arXiv 2403.20330",
        tsv=("MMStar",),
    )
    differences: ClassVar[tuple[Difference, ...]] = INFERRED

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row."""
        files = ("MMStar.tsv", "mmstar.parquet", "**/*.parquet", "*.tsv")
        return items_of(rows_in(place, files, self.about.layout), self.name, _task)

    def compat(self, task: Task, reply: str) -> float | None:
        """What `can_infer` makes of it."""
        return inferred(task, reply)

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """By ability, and by its kinds, as in math/geometry."""
        return grouped_by(scored, _groups)


def _groups(task: Task) -> list[str]:
    kind = str(task.meta.get(L2) or "")
    return [task.family, *([f"{task.family}/{kind}"] if kind else [])]


def _task(row: TsvRow, name: str, max_pixels: int) -> Task:
    question, options = row.text("question").replace("<image 1>", "").strip(), row.options
    if not question:
        raise row.row.wrong("question: missing or empty")
    meta = {L2: row.text("l2_category", "l2-category")}
    if not options:
        asked, found = parted(question)
        if row.text("answer").strip("() .").upper() in found:
            question, options = asked, found
    if not options:
        options = {letter: letter for letter in "ABCD"}
        meta[KEPT] = "the options stand in the text of the question"
    return task_of_row(
        row, name, "mmstar", max_pixels=max_pixels, question=question, options=options,
        family=row.text("category"), meta=dict(meta),
    )  # fmt: skip


def parted(text: str) -> Parts:
    """A question and the options that stand after it, as "A: red, B: blue" or "(A) red"."""
    begins = [*_BEGIN.finditer(text)]
    if not begins:
        return Parts(text, {})
    question, rest = text[: begins[-1].start()], text[begins[-1].end() :]
    options: dict[str, str] = {}
    mark = re.compile(rf"\s*{_MARK}".replace("L", "A")).match(rest)
    for letter, following in pairwise(string.ascii_uppercase):
        if mark is None:
            break
        ahead = _next_mark(following, rest, mark.end())
        option = rest[mark.end() : ahead.start() if ahead else len(rest)].strip().rstrip(",;")
        if not is_missing(option):
            options[letter] = option.strip()
        mark = ahead
    if len(options) < 2:
        return Parts(text, {})
    return Parts(_HINT.sub("", question).strip(), options)


def _next_mark(letter: str, text: str, start: int) -> re.Match[str] | None:
    """Where the next option begins: after a comma or on its own line, else after any blank."""
    tries = (rf"(?<=[,\n])\s*{_MARK}", rf"(?<=\s){_MARK}")
    found = (re.compile(one.replace("L", letter)).search(text, start) for one in tries)
    return next(filter(None, found), None)
