"""Which questions are worth learning from: DeepEyes' selection, as code.

    structure       a multiple-choice question becomes an open one
    verifiability   the gold answer is readable, and the judge accepts it
    difficulty      of `samples` direct answers some are right, not all and not none
    benefit         nothing is dropped: how much more often it is right with the tool than without
    utility         wrong at a glance, right when the asked region is shown

Source: DeepEyes (arXiv 2505.14362), section 3.4; the code was not published. We deviate in the
order (what costs no model comes first) and measure difficulty on the question as it will be asked.

Everything follows from the run folders in `out`, `direct/`, `looking/` (for the benefit) and
`shown/`, which resume; the report and the kept questions are written anew each time.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from saccade.arms import apply_arm, targets_of
from saccade.env import Environment
from saccade.errors import ConfigError
from saccade.files import write_whole
from saccade.formats.tasks import write_tasks
from saccade.measures import is_correct
from saccade.recipe import Recipe, make_environment, make_reward, make_tasks
from saccade.rewards import Reward
from saccade.rewards.terms import BENEFIT
from saccade.runs.assemble import Assembly, assemble
from saccade.runs.execute import jobs_of, play
from saccade.runs.folder import RunReader
from saccade.runs.manifest import keep_manifest, manifest_of
from saccade.types import (
    Action,
    Completion,
    Policy,
    Record,
    Sampling,
    StopReason,
    TargetBox,
    Task,
    Turn,
    option_letter,
)

MAX_ANSWER = 300
"""Characters; longer gold answers are no labels. Source: DeepEyesV2, reward."""

Right = dict[str, list[bool | None]]


class Curation(Record):
    """The `curate` section of a run file."""

    structure: Literal["open", "keep"] = "open"
    """Turn multiple choice into open questions, or leave it."""
    samples: int = Field(default=8, ge=1)
    """Direct answers to each question."""
    temperature: float = Field(default=1.0, ge=0)
    difficulty: bool = True
    """Whether questions are dropped for being too easy or too hard."""
    above: float = Field(default=0.0, ge=0, le=1)
    """Kept if more than this share of the direct answers is right ..."""
    below: float = Field(default=1.0, ge=0, le=1)
    """... and less than this."""
    direct: Literal["plain", "forced"] = "plain"
    """A direct answer is given without tools in the prompt; or, by local models, with them, but
    forced to answer."""
    benefit: bool = False
    """Measure what the tool gives, by local models: `samples` more attempts whose first move is
    forced to call. Kept tasks have it as `meta.tool_benefit`, for AT-GRPO."""
    utility: Literal["off", "crop", "tool"] = "crop"
    """How the asked region is shown: as a second image of the question; or, by local models, by the
    zoom tool to a call that is forced to call. Questions without a box skip
    this."""
    wrong_below: float = Field(default=0.5, gt=0, le=1)
    """Wrong at a glance: less than this share of the direct answers is right."""


class CurateRecipe(Recipe):
    """A run file of `saccade curate`: tasks, policy and reward as of `saccade rollout`."""

    out: str
    curate: Curation = Curation()

    @model_validator(mode="after")
    def _the_stages_set_these(self) -> CurateRecipe:
        if self.samples != 1 or self.sampling != Sampling():
            raise ValueError("samples, sampling: use curate.samples and curate.temperature")
        return self


class Decision(Record):
    """What became of a question; a line of `report.jsonl`."""

    id: str
    kept: bool
    stage: str = ""
    """At which it was dropped."""
    reason: str = ""
    direct: float | None = None
    """Share of direct answers that were right."""
    benefit: float | None = None
    """Share that was right with the tool, minus `direct`."""
    shown: bool | None = None
    """Right when the asked region was shown."""
    source: str = ""


class Curated(NamedTuple):
    """The outcome."""

    tasks: Path
    """The kept questions, a task file."""
    decisions: tuple[Decision, ...]


Progress = Callable[[str, int, int], None]
"""Stage, episodes done, episodes in all."""


async def curate(recipe: CurateRecipe, *, on_progress: Progress = lambda *_: None) -> Curated:
    """Sort questions; run it again to resume.

    Raises:
        ConfigError: a recipe that cannot work, or `out` holds another curation.
        ServiceError: too many episodes in a row failed on our side.
    """
    out, options = Path(recipe.out), recipe.curate
    made: dict[str, Decision] = {}
    assembly = assemble(recipe)
    policy, environment, reward = assembly
    keep_manifest(out, manifest_of("curate", recipe, fingerprint=environment.fingerprint))
    try:
        for task in make_tasks(recipe):
            if task.id in made:
                raise ConfigError(f"tasks: two questions are called {task.id!r}")
            made[task.id] = await _before_any_model(task, options, reward, environment)
        direct = await _play_direct(recipe, policy, _open(made), out / "direct", on_progress)
        for key in _open(made):
            made[key] = _by_difficulty(made[key], direct[key], options)
        if options.benefit:
            looked = await _play_looking(recipe, policy, _open(made), out / "looking", on_progress)
            for key in _open(made):
                made[key] = _with_benefit(made[key], looked[key])
        boxed = {task.id for task in _asked(recipe, _open(made)) if task.boxes}
        if options.utility != "off" and boxed:
            shown = await _play_shown(recipe, policy, boxed, out / "shown", on_progress)
            for key in boxed:
                made[key] = _by_utility(made[key], shown[key], options)
    finally:
        await assembly.close()
    rows = tuple(made.values())
    _write_report(out, rows)
    kept = (_noted(task, made[task.id]) for task in _asked(recipe, _open(made)))
    return Curated(write_tasks(kept, out / "kept"), rows)


def _open(made: Mapping[str, Decision]) -> set[str]:
    """What no stage has dropped yet."""
    return {key for key, decision in made.items() if decision.kept}


def _asked(recipe: CurateRecipe, ids: Collection[str]) -> Iterator[Task]:
    """The questions with these ids, as they are asked; drawn anew, so that none is held."""
    tasks = (task for task in make_tasks(recipe) if task.id in ids)
    return (structured(task, recipe.curate)[0] for task in tasks)


async def _before_any_model(
    task: Task, options: Curation, reward: Reward, environment: Environment
) -> Decision:
    asked, reason = structured(task, options)
    stage = "structure"
    if not reason:
        stage, reason = "verifiability", await unverifiable(asked, reward, environment)
    kept = not reason
    return Decision(
        id=task.id, source=task.source, kept=kept, stage="" if kept else stage, reason=reason
    )


def structured(task: Task, options: Curation) -> tuple[Task, str]:
    """The question as it will be asked, or why it cannot be."""
    if options.structure == "keep" or not task.choices:
        return task, ""
    answer = (task.answer or "").strip()
    letters = [option_letter(place) for place in range(len(task.choices))]
    if answer in task.choices:
        text = answer
    elif answer.rstrip(".").upper() in letters:
        text = task.choices[letters.index(answer.rstrip(".").upper())]
    else:
        return task, "the answer is none of the options"
    judge = None if task.judge == "choice" else task.judge
    return task.model_copy(update={"choices": (), "answer": text, "judge": judge}), ""


async def unverifiable(task: Task, reward: Reward, environment: Environment) -> str:
    """Why no answer could be checked against the gold one; empty if it can."""
    answer = (task.answer or "").strip()
    if not answer:
        return "no gold answer"
    if len(answer) > MAX_ANSWER or not any(c.isalnum() for c in answer):
        return "the gold answer is not readable"
    turn = Turn(completion=Completion(text=""), action=Action(answer=answer))
    begun = environment.begin(task)
    judged = await reward.apply(
        task, begun.model_copy(update={"turns": (turn,), "stop": StopReason.ANSWER})
    )
    if judged.verdict is None or judged.verdict.correct is None:
        return "the judge cannot decide on the gold answer"
    return "" if judged.verdict.correct else "the judge refuses the gold answer"


async def _play_direct(
    recipe: CurateRecipe, policy: Policy, ids: set[str], out: Path, told: Progress
) -> Right:
    options = recipe.curate
    limits = recipe.environment.limits.model_copy(update={"max_turns": 1})
    changes: dict[str, object] = {
        "samples": options.samples,
        "sampling": recipe.sampling.model_copy(update={"temperature": options.temperature}),
        "environment": recipe.environment.model_copy(update={"limits": limits}),
    }
    if options.direct == "plain":
        changes["tools"] = {}
    else:
        policy = _moved(recipe, policy, "direct")
    one_turn = recipe.model_copy(update=changes)
    count = len(ids) * options.samples
    tasks = _asked(recipe, ids)
    return await _play(one_turn, policy, make_environment(one_turn), tasks, count, out, told)


async def _play_looking(
    recipe: CurateRecipe, policy: Policy, ids: set[str], out: Path, told: Progress
) -> Right:
    options = recipe.curate
    changes = {
        "samples": options.samples,
        "sampling": recipe.sampling.model_copy(update={"temperature": options.temperature}),
    }
    tried = recipe.model_copy(update=changes)
    forced = _moved(recipe, policy, "own_box")
    count, tasks = len(ids) * options.samples, _asked(recipe, ids)
    return await _play(tried, forced, make_environment(tried), tasks, count, out, told)


async def _play_shown(
    recipe: CurateRecipe, policy: Policy, ids: set[str], out: Path, told: Progress
) -> Right:
    tasks = _asked(recipe, ids)
    if recipe.curate.utility == "crop":
        limits = recipe.environment.limits.model_copy(update={"max_turns": 1})
        section = recipe.environment.model_copy(update={"limits": limits})
        plain = recipe.model_copy(update={"tools": {}, "environment": section})
        shown = map(_with_region, tasks)
        return await _play(plain, policy, make_environment(plain), shown, len(ids), out, told)
    targets: dict[str, TargetBox] = {}

    def noted() -> Iterator[Task]:
        for task in tasks:
            targets.update(targets_of([task]))
            yield task

    player = apply_arm("true_box", policy, make_environment(recipe), targets)
    return await _play(recipe, *player, noted(), len(ids), out, told)


def _moved(recipe: CurateRecipe, policy: Policy, arm: str) -> Policy:
    return apply_arm(arm, policy, make_environment(recipe)).policy


async def _play(
    recipe: Recipe,
    policy: Policy,
    environment: Environment,
    tasks: Iterator[Task],
    count: int,
    out: Path,
    told: Progress,
) -> Right:
    """Task id -> of each attempt whether it was right; None if that is not known."""
    done = 0

    def finished(*_: object) -> None:
        nonlocal done
        done += 1
        told(out.name, done, count)

    def resumed(number: int) -> None:
        nonlocal done
        done = number

    jobs = jobs_of(recipe, tasks)
    assembly = Assembly(policy, environment, make_reward(recipe))
    try:
        await play("curate", recipe, assembly, jobs, out, on_finish=finished, on_resume=resumed)
    finally:
        await environment.close()
        await assembly.reward.close()
    found: Right = defaultdict(list)
    for entry in RunReader(out).entries():
        found[entry.task.id].append(is_correct(entry.trajectory))
    return found


def _by_difficulty(before: Decision, right: Sequence[bool | None], options: Curation) -> Decision:
    share = _share(right)
    if share is None:
        return _dropped(before, "difficulty", "not measured: aborted")
    measured = before.model_copy(update={"direct": share})
    if not options.difficulty:
        return measured
    if share >= options.below:
        return _dropped(measured, "difficulty", "too easy")
    return measured if share > options.above else _dropped(measured, "difficulty", "too hard")


def _with_benefit(before: Decision, right: Sequence[bool | None]) -> Decision:
    share = _share(right)
    if share is None or before.direct is None:
        return _dropped(before, "benefit", "not measured: aborted")
    return before.model_copy(update={"benefit": share - before.direct})


def _noted(task: Task, decision: Decision) -> Task:
    if decision.benefit is None:
        return task
    return task.model_copy(update={"meta": {**task.meta, BENEFIT: decision.benefit}})


def _by_utility(before: Decision, right: Sequence[bool | None], options: Curation) -> Decision:
    share = _share(right)
    if share is None:
        return _dropped(before, "utility", "not measured: aborted")
    measured = before.model_copy(update={"shown": share >= 0.5})
    if (before.direct or 0.0) >= options.wrong_below:
        return _dropped(measured, "utility", "right at a glance")
    if not measured.shown:
        return _dropped(measured, "utility", "wrong even when the region is shown")
    return measured


def _with_region(task: Task) -> Task:
    """The question with the asked region as one more image, after the last one."""
    target = task.boxes[0]
    crop = task.images[target.image - 1].cut(target.box)
    place = max(n for n, part in enumerate(task.prompt) if not isinstance(part, str)) + 1
    prompt = (*task.prompt[:place], crop, *task.prompt[place:])
    return task.model_copy(update={"prompt": prompt})


def _share(right: Sequence[bool | None]) -> float | None:
    known = [value for value in right if value is not None]
    return sum(known) / len(known) if known else None


def _dropped(before: Decision, stage: str, reason: str) -> Decision:
    return before.model_copy(update={"kept": False, "stage": stage, "reason": reason})


def _write_report(out: Path, rows: Sequence[Decision]) -> None:
    """A line for each question, and the counts."""
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "report.jsonl", "".join(r.model_dump_json() + "\n" for r in rows).encode())
    reasons = Counter(f"{row.stage}: {row.reason}" for row in rows if not row.kept)
    kept = sum(row.kept for row in rows)
    counts = {"questions": len(rows), "kept": kept, "dropped": dict(reasons.most_common())}
    write_whole(out / "summary.json", (json.dumps(counts, indent=2) + "\n").encode())
