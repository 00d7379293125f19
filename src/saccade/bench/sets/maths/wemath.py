"""We-Math: problems of two or three steps, each asked whole and step by step.

The authors' file `testmini.json` (Qiao et al., arXiv 2407.01284) with pictures beside it, a list of

    {"ID": "2steps_1", "key": "2steps_multi", "question": "...", "answer": "C",
     "option": "A. 300, 400;B. 400, 300; C. ...", "image_path": "2steps/image/1-multi.png",
     "knowledge concept": "..."}

or parquet with the picture in `image_path`, or VLMEvalKit's TSV with the options in columns. Rows
of one ID are one problem: `2steps_1` and `2steps_2` its steps, `2steps_multi` the whole.
Source: We-Math/We-Math, evaluation/four_dimensional_metrics.py and accuracy.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

from pydantic import AliasChoices, BaseModel, Field

from saccade.bench.benchmark import UNIT, About, Difference, Item, Scored
from saccade.bench.cells import (
    Text,
    asked_in,
    noted,
    picture,
    picture_in,
    rows_of_set,
    text_of,
)
from saccade.bench.parts import checked, task_of
from saccade.bench.scorers.maths.compat import infers_right
from saccade.bench.scorers.maths.options import asked, options_in, with_choices
from saccade.bench.scorers.maths.rules import MathsBenchmark
from saccade.formats.found import find_files
from saccade.formats.records import Row
from saccade.measures.means import Metric, mean_of, means_by
from saccade.types import OPTION_LETTERS, Task

FILES = (
    "**/testmini-*.parquet", "**/testmini.parquet", "**/testmini.json", "**/WeMath.tsv",
)  # fmt: skip
PART = "part"
"""Key of `Task.meta`: which part of its problem a task is, as in "2steps_1" or "3steps_multi"."""
PENALTY = 0.5
"""What a problem loses whose steps are right and whose whole is wrong."""
STEPS = {"2": "two-step", "3": "three-step"}
_PART = re.compile(r"([23])steps_([123]|multi)")


class _Question(BaseModel):
    question: Text
    answer: Text
    key: Text
    problem: Text = Field(validation_alias=AliasChoices("ID", "id", "problem"))
    option: Text = ""
    concept: Text = Field("", validation_alias=AliasChoices("knowledge concept", "concept"))
    hint: Text = ""


class _Problem(NamedTuple):
    """One attempt at a problem, all parts of which are scored."""

    name: str
    steps: tuple[bool, ...]
    whole: bool

    def mastered(self, *, strict: bool) -> bool:
        return self.whole and (all(self.steps) if strict else any(self.steps))

    def score(self, *, strict: bool) -> float:
        if self.whole:
            return float(self.mastered(strict=strict))
        return 1 - PENALTY if all(self.steps) else 0.0


class WeMath(MathsBenchmark):
    """We-Math testmini; the parts of a problem are one unit."""

    name: ClassVar[str] = "wemath"
    headline: ClassVar[str] = "score (strict)"
    about: ClassVar[About] = About(
        title="We-Math testmini",
        items=1740,
        licence="CC BY-NC 4.0",
        source="https://huggingface.co/datasets/We-Math/We-Math",
        layout="a folder with testmini.json and its pictures, testmini-*.parquet, or the TSV",
        metric="(N - 0.5 IG - RM - IK) / N over N problems of several steps, strict and loose; "
        "IK, IG, CM, RM as in four_dimensional_metrics.py; accuracy by number of steps",
        differs="N is fixed to 525 there, whatever was asked, and the rate of rote memorization "
        "divides by zero where no whole problem is right; without a judge the first letter of "
        "what follows `Answer` counts",
        paper="arXiv 2407.01284",
        tsv=("WeMath",),
    )

    def items(self, place: Path) -> Iterator[Item]:
        """One for each part of each problem."""
        for file in find_files(place, FILES, self.about.layout):
            for row in rows_of_set(file):
                found = row.read(_Question)
                name = f"wemath-{found.problem}-{found.key.rpartition('_')[2]}"
                yield Item(name, row.place, partial(_task, name, row, place))

    def compat(self, task: Task, reply: str) -> float | None:
        """Whether `can_infer` finds the right letter; None where it finds none."""
        return infers_right(with_choices(task), reply)

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """The parts by their number of steps: parts that are steps are one-step problems."""
        groups: dict[str, list[tuple[str, float]]] = {"all": [], "one-step": []}
        groups |= {name: [] for name in STEPS.values()}
        for one in scored:
            steps, part = _part_of(one.task)
            if one.value is not None and part:
                pair = (str(one.task.meta[UNIT]), one.value)
                groups["all"].append(pair)
                groups[STEPS[steps] if part == "multi" else "one-step"].append(pair)
        return {name: pairs for name, pairs in groups.items() if pairs or name == "all"}

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """The score and the four kinds of problems, strict and loose, then the accuracies.

        A problem counts where all of its parts are scored, once for each sample. The rate of rote
        memorization is that among problems whose whole is right; it is None where there is none.
        """
        problems, metrics = _problems(scored), []
        for strict, mode in ((True, "strict"), (False, "loose")):
            scores = [(p.name, p.score(strict=strict)) for p in problems]
            metrics.append(mean_of(f"score ({mode})", "all", scores))
        for name, kind in (
            ("insufficient knowledge", [not p.whole and not all(p.steps) for p in problems]),
            ("inadequate generalization", [not p.whole and all(p.steps) for p in problems]),
        ):
            pairs = [(p.name, float(held)) for p, held in zip(problems, kind, strict=True)]
            metrics.append(mean_of(name, "all", pairs))
        for strict, mode in ((True, "strict"), (False, "loose")):
            mastered = [(p.name, float(p.mastered(strict=strict))) for p in problems]
            metrics.append(mean_of(f"complete mastery ({mode})", "all", mastered))
            rote = [(p.name, float(not p.mastered(strict=strict))) for p in problems if p.whole]
            metrics.append(mean_of(f"rote memorization ({mode})", "all", rote))
        return [*metrics, *means_by("accuracy", self.grouped(scored))]

    differences: ClassVar[tuple[Difference, ...]] = (
        Difference(
            Task(id="article", prompt=("Which?",), answer="B. cylinder",
                 choices=("cone", "cylinder", "cube")),
            "A cylinder", True, 0.0,
            "can_infer takes the article for the option A",
        ),
    )  # fmt: skip


def _part_of(task: Task) -> tuple[str, str]:
    found = _PART.fullmatch(str(task.meta.get(PART, "")))
    return (found[1], found[2]) if found else ("", "")


def _problems(scored: Sequence[Scored]) -> list[_Problem]:
    """The attempts at problems, each with all of its parts."""
    parts: dict[tuple[str, int], dict[str, bool]] = {}
    lengths: dict[tuple[str, int], int] = {}
    for one in scored:
        steps, part = _part_of(one.task)
        if one.value is None or not part:
            continue
        key = (str(one.task.meta[UNIT]), one.trajectory.sample)
        parts.setdefault(key, {})[part] = one.value >= 0.5
        lengths[key] = int(steps)
    problems = []
    for key, held in sorted(parts.items()):
        steps_of = [str(number + 1) for number in range(lengths[key])]
        if all(part in held for part in [*steps_of, "multi"]):
            steps_right = tuple(held[part] for part in steps_of)
            problems.append(_Problem(key[0], steps_right, held["multi"]))
    return problems


def _task(name: str, row: Row, place: Path, max_pixels: int) -> Task:
    found = row.read(_Question)
    if not _PART.fullmatch(found.key):
        raise row.wrong(f"key: expected one like 2steps_1 or 3steps_multi, got {found.key[:80]!r}")
    columns = [text_of(row.values.get(letter)).strip() for letter in OPTION_LETTERS[:8]]
    choices = checked(row, options_in(found.option)) or [text for text in columns if text]
    letter = found.answer.strip()
    if len(letter) != 1 or letter not in OPTION_LETTERS[: len(choices)]:
        raise row.wrong(f"answer: expected the letter of an option, got {letter[:80]!r}")
    ask = asked(asked_in(row, found.question), choices, OPTION_LETTERS.index(letter))
    held = picture_in(row, "image_path", "image")
    image = picture(row, held, place=place, max_pixels=max_pixels, column="image_path")
    steps, part = found.key.split("steps_")
    meta = noted({"concept": found.concept}, **{PART: found.key, UNIT: f"wemath-{found.problem}"})
    return task_of(
        row, name, "wemath", ask.question, [image], answer=ask.answer, choices=ask.choices,
        family=STEPS[steps] if part == "multi" else "one-step", meta=meta | ask.meta,
    )  # fmt: skip
