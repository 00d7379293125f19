"""VisualToolBench: tasks for agents that edit images, judged by rubrics (arXiv 2510.12712).

The parquet file of the hub, or the `dataset.json` that the authors' script makes of it; a row is a
conversation:

    id, turncase ("single-turn", "multi-turn"), prompt_category, eval_focus,
    turn_prompts ["...", ...], turn_golden_answers ["...", ...],
    images_by_turn [[{bytes, path}, ...], ...],
    rubrics_by_turn ['{"r1": {"description": "...", "weight": 5, "critical": "yes"}}', ...]

An episode has one question, so each turn of a conversation is a task of its own, with the turns
before it and their reference answers written above it, as the authors' script does with
`use_GT_answer`; the turns of a conversation are one unit. Rows of the first release, which have
`prompt`, `golden_answer` and `rubrics`, are conversations of one turn.
Source: the card of ScaleAI/VisualToolBench; download_dataset.py, run_model_response_multi_turn.py
and run_judge_*.py of its repository.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from pydantic import ValidationError

from saccade.bench.benchmark import ALL, UNIT, About, Benchmark, Item, Scored, unit_of
from saccade.bench.cells import picture
from saccade.bench.parts import task_of
from saccade.bench.scorers.rubrics import ASKED, RUBRIC, Criterion, judging_by
from saccade.config import explain
from saccade.formats.found import find_files
from saccade.formats.records import Row, read_records, unpacked
from saccade.measures.means import Metric, means_by
from saccade.rewards.judges import Judge
from saccade.types import Task, Verdict

STEM = {"chemistry", "maths", "biology", "engineering", "physics"}
"""Categories that the authors count as one domain. Source: run_judge_single_turn.py."""
CRITICAL_WEIGHT = 4
"""The least weight of a critical criterion. Source: run_judge_single_turn.py."""
PASS_RATE, SCORE, WHOLE = "pass rate", "rubric score", "pass rate of conversations"
NO_ANSWER = "(There is no reference answer: the criterion tells what is asked for.)"
_UNREAD = ("turn_tool_trajectories", "tool_trajectory")


class _Turn(NamedTuple):
    prompt: str
    golden: str
    rubric: object
    images: Sequence[object]


class VisualToolBench(Benchmark):
    """VisualToolBench, judged criterion by criterion."""

    name: ClassVar[str] = "visualtoolbench"
    headline: ClassVar[str] = PASS_RATE
    about: ClassVar[About] = About(
        title="VisualToolBench",
        items=1204,
        licence="Apache-2.0 (code), not stated for the data",
        source="https://huggingface.co/datasets/ScaleAI/VisualToolBench",
        layout="the folder with *.parquet, or data/ with single_turn/ and multi_turn/",
        metric="pass rate, the share of turns that meet every critical criterion (APR), and rubric "
        "score, the weight that is met over all of it (ARS); arXiv 2510.12712, README of the code",
        differs="the authors play the turns of a conversation one after the other and count "
        "conversations; theirs is the pass rate of conversations. A judge that failed or cannot "
        "be read is 'not met' there, and an item without a critical criterion always passes. The "
        "card marks criteria as critical, their script takes the weights (critical=marked)",
        paper="arXiv 2510.12712",
    )

    critical: Literal["weight", "marked"] = "weight"
    """Which criteria are critical: those with a weight of 4 or more, as in the script that made the
    published numbers, or those that the data marks so."""
    turns: Literal["all", "last"] = "all"
    """Which turns of a conversation are asked."""

    def items(self, place: Path) -> Iterator[Item]:
        """One for each turn."""
        patterns = ["**/*.parquet", "**/dataset.json", "*.jsonl", "*.json"]
        for file in find_files(place, patterns, self.about.layout):
            for row in read_records(file, wanted=lambda name: name not in _UNREAD):
                own = row.values.get("id") or row.values.get("task_id")
                if own is None:
                    raise row.wrong("id: missing")
                if row.values.get("images_by_turn"):
                    row.values.pop("images", None)  # the same once more
                unit, turns = f"vtb-{own}", _turns(row)
                for number in range(1, len(turns) + 1):
                    if self.turns == "last" and number < len(turns):
                        continue
                    name = unit if len(turns) == 1 else f"{unit}-{number}"
                    make = partial(
                        _task, row, name, unit, turns[:number], len(turns), self.critical
                    )
                    yield Item(name, row.place, make)

    async def judge(self, task: Task, answer: str) -> Verdict:
        """No rule can tell whether a criterion is met. An empty answer meets none."""
        if not answer.strip():
            return Verdict(correct=False, grade=0.0, reason="no answer", judge="rubric")
        reason = "its criteria need a judge of the kind llm (reward.judge)"
        return Verdict(correct=None, reason=reason, judge="rubric")

    def judging(self, model: Judge) -> Judge:
        """Each criterion, asked of the model of the judge."""
        return judging_by(model)

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """Pass rate and rubric score of turns, by group, and the pass rate of conversations."""
        judged = [one for one in scored if one.value is not None]
        passes = [Scored(o.task, o.trajectory, float(_passed(o))) for o in judged]
        return [
            *means_by(PASS_RATE, self.grouped(passes)),
            *means_by(SCORE, self.grouped(judged)),
            *means_by(WHOLE, {ALL: _conversations(passes)}),
        ]


def _passed(one: Scored) -> bool:
    """Whether an attempt that is scored met what is critical."""
    verdict = one.trajectory.verdict
    return verdict.correct is True if verdict is not None else one.value == 1


def _conversations(passes: Sequence[Scored]) -> list[tuple[str, float]]:
    """Whether all turns passed, of each attempt at a conversation with a verdict on every turn."""
    turns: dict[tuple[str, int], list[Scored]] = {}
    for one in passes:
        turns.setdefault((unit_of(one.task), one.trajectory.sample), []).append(one)
    return [
        (unit, float(all(one.value for one in own)))
        for (unit, _), own in turns.items()
        if len(own) == int(str(own[0].task.meta["turns"]))
    ]


def _turns(row: Row) -> list[_Turn]:
    """The turns of a row, of either release."""
    values = row.values
    prompts = unpacked(values.get("turn_prompts"))
    if prompts is None:
        prompts = [values.get("prompt")]
        goldens, rubrics = [values.get("golden_answer")], [values.get("rubrics")]
        images: list[object] = [_listed(values.get("images")) or _listed(values.get("image"))]
    else:
        goldens = _listed(values.get("turn_golden_answers"))
        rubrics = _listed(values.get("rubrics_by_turn"))
        images = _listed(values.get("images_by_turn")) or _listed(
            values.get("images_by_turn_paths")
        )
    prompts = _listed(prompts)
    if not prompts or not all(isinstance(one, str) and one.strip() for one in prompts):
        raise row.wrong("turn_prompts: expected a list of texts")
    if len(rubrics) != len(prompts):
        raise row.wrong(f"rubrics_by_turn: expected {len(prompts)}, one a turn, got {len(rubrics)}")
    if not any(map(_listed, images)):
        images = [_listed(values.get("images")) or _listed(values.get("image_paths"))]
    goldens = [*goldens, *[None] * len(prompts)]
    images = [*images, *[[]] * len(prompts)]
    return [
        _Turn(str(prompt), str(goldens[k] or ""), rubrics[k], _listed(images[k]))
        for k, prompt in enumerate(prompts)
    ]


def _listed(value: object) -> list[object]:
    value = unpacked(value)
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None or value == "" else [value]


def _task(
    row: Row, name: str, unit: str, turns: Sequence[_Turn], total: int, critical: str,
    max_pixels: int,
) -> Task:  # fmt: skip
    shown: list[object] = []
    written: list[str] = []
    for number, turn in enumerate(turns, 1):
        first = len(shown) + 1
        shown += turn.images
        if total > 1:
            seen = f"{first}" if first == len(shown) else f"{first} to {len(shown)}"
            written.append(f"Turn {number}" + (f" (image {seen}):" if turn.images else ":"))
        written.append(turn.prompt.strip())
        if number < len(turns):
            written.append(f"Answer to turn {number}:\n{turn.golden.strip()}")
    images = [picture(row, one, max_pixels=max_pixels, column="images") for one in shown]
    rubric = _rubric(row, turns[-1].rubric, critical)
    category = str(row.values.get("prompt_category") or "")
    return task_of(
        row, name, "visualtoolbench", "\n\n".join(written), images,
        answer=turns[-1].golden.strip() or NO_ANSWER,
        family="STEM" if category in STEM else category,
        meta={
            UNIT: unit, "turns": total, ASKED: turns[-1].prompt.strip(),
            "turncase": str(row.values.get("turncase") or ""),
            "eval_focus": str(row.values.get("eval_focus") or ""),
            RUBRIC: [one.model_dump(mode="json") for one in rubric],
        },
    )  # fmt: skip


def _rubric(row: Row, value: object, critical: str) -> list[Criterion]:
    """The criteria of a turn."""
    given = unpacked(value)
    if isinstance(given, dict):
        pairs = list(given.items())
    elif isinstance(given, list | tuple):
        pairs = [(str(number), one) for number, one in enumerate(given, 1)]
    else:
        pairs = []
    if not pairs:
        raise row.wrong("rubrics_by_turn: expected an object of criteria by their ids")
    found = []
    for own, one in pairs:
        where = f"rubrics_by_turn: criterion {own}"
        if not isinstance(one, dict):
            raise row.wrong(f"{where}: expected an object with description and weight")
        marked = str(one.get("critical")).strip().lower() in ("yes", "true", "1")
        try:
            made = Criterion(
                id=str(own)[:80], text=one.get("description") or "", weight=one.get("weight")
            )
        except ValidationError as error:
            raise row.wrong(f"{where}: {'; '.join(explain(Criterion, error)[:2])}") from error
        decisive = marked if critical == "marked" else made.weight >= CRITICAL_WEIGHT
        found.append(made.model_copy(update={"critical": decisive}))
    if not any(one.weight > 0 for one in found):
        raise row.wrong("rubrics_by_turn: expected a criterion with a positive weight")
    return found
