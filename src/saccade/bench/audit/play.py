"""Plays the arms of an audit, each into a run folder of its own.

    OUT/agent/ OUT/no_tool/ ...        a run folder for each arm
    OUT/evidence.jsonl                 visual evidence gain by log-probabilities, or
    OUT/evidence_kept/ evidence_blank/ by continuations, where a policy tells no log-probabilities

The same call resumes: what is finished is not played again. All arms ask the same questions with
the same seed. The model makes its moves itself, as one behind a server must; `direct` is that of
`saccade bench --arm direct`, which is forced on a model that was trained here.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from saccade.arms import Crops, Player, apply_arm
from saccade.bench.audit.evidence import BLANK, KEPT, recorded, tell
from saccade.bench.audit.looks import finished, has_place_beside, looks
from saccade.bench.audit.record import ARMS, NEED_BOXES
from saccade.bench.recipe import BenchRecipe
from saccade.bench.run import must_be_forced
from saccade.bench.scoring import BenchReward
from saccade.bench.source import BenchTasks
from saccade.canary.warning import blindness
from saccade.config import check_choice
from saccade.env import Environment
from saccade.errors import ConfigError
from saccade.images.image import Image
from saccade.policies import ScoringPolicy
from saccade.policies.continued import Continued
from saccade.recipe import Recipe, count_tasks, make_tasks, task_source
from saccade.rollout import Job
from saccade.runs.assemble import Assembly, assemble
from saccade.runs.execute import jobs_of, play
from saccade.runs.folder import RunReader
from saccade.runs.manifest import RUN
from saccade.tools.staged import Place, StagedZoom
from saccade.tools.zoom import ZOOM
from saccade.types import TargetBox, Task, Trajectory

CONTINUATIONS = 4
"""How often an episode is continued with each observation, where sampling is not greedy."""

Progress = Callable[[str, int, int | None], None]
"""Called with the name of an arm, the number of its episodes that are done, and of all."""


class _Run(NamedTuple):
    recipe: Recipe
    out: Path
    parts: Assembly
    on_progress: Progress

    def tasks(self) -> Iterator[Task]:
        """The questions that the agent was asked: every other arm is asked the same ones."""
        return RunReader(self.out / "agent").tasks()


async def audit(
    recipe: Recipe,
    out: Path,
    *,
    arms: Sequence[str] = ARMS,
    assembly: Assembly | None = None,
    continuations: int | None = None,
    on_progress: Progress = lambda arm, done, total: None,
) -> None:
    """Play what is missing of an audit.

    Args:
        recipe: The run file of the agent: of a benchmark, or any other with tasks and a reward.
        out: The folder of the audit.
        arms: Those that are played beside the agent, which always is.
        assembly: Policy, environment and reward that stand already, and stay open; None makes those
            of the recipe.
        continuations: How often each episode is continued with each observation, where the policy
            tells no log-probabilities; None: `CONTINUATIONS`, and once if sampling is greedy.
        on_progress: Told of each finished episode.

    Raises:
        ConfigError: the recipe cannot be audited, or `out` holds another audit.
        StoreError: a folder cannot be written; what was finished is kept.
        ServiceError: too many episodes in a row were aborted.
        PluginError: so many failed in a row, the last one in its reward.

    Warns:
        UserWarning: the model seems blind.
    """
    parts = assembly or _assembled(recipe)
    run = _Run(recipe, out, parts, on_progress)
    try:
        _check(recipe, parts.environment, arms)
        if (out / RUN).exists():
            raise ConfigError(f"audit: {out} holds a run of its own; name another folder with out=")
        if not (out / "agent" / RUN).exists():
            said = await blindness(recipe, parts.policy, parts.environment)
            if said is not None:
                warnings.warn(said, stacklevel=2)
        await _play_arm(run, "agent", make_tasks(recipe))
        boxes = any(task.boxes for task in run.tasks())
        for name in arms:
            if name != "agent" and (boxes or name not in NEED_BOXES):
                await _play_arm(run, name, run.tasks())
        if isinstance(parts.policy, ScoringPolicy):
            await tell(
                parts.policy, parts.environment.dialect.seams, out / "agent", out,
                on_progress=lambda done: on_progress("evidence", done, None),
            )  # fmt: skip
        else:
            greedy = recipe.sampling.temperature == 0
            await _continue_all(run, continuations or (1 if greedy else CONTINUATIONS))
    finally:
        if assembly is None:
            await parts.close()


def _assembled(recipe: Recipe) -> Assembly:
    """The parts of a recipe; the reward of a benchmark is its own."""
    made = assemble(recipe)
    source = task_source(recipe)
    if not isinstance(source, BenchTasks):
        return made
    return made._replace(reward=BenchReward(source.made, recipe.reward))


def _check(recipe: Recipe, environment: Environment, arms: Sequence[str]) -> None:
    for name in arms:
        check_choice("audit: arm", name, ARMS)
    names = [tool.spec.name for tool in environment.tools]
    if ZOOM not in names:
        raise ConfigError(
            f"audit: it stages what {ZOOM} shows, and the tools are {', '.join(names) or 'none'}; "
            "add the section tools.zoom_in"
        )
    if environment.record.limits.max_turns < 2:
        raise ConfigError("audit: environment.limits.max_turns must be 2 or more, to look again")
    if isinstance(recipe, BenchRecipe) and recipe.arm != "agent":
        raise ConfigError(f"audit: it plays every arm by itself, leave arm={recipe.arm} out")


async def _play_arm(run: _Run, name: str, tasks: Iterable[Task]) -> None:
    targets: dict[str, tuple[TargetBox, ...]] = {}
    policy, environment, _ = run.parts
    crops = _crops(run.out / "agent") if name == "result_only" else None
    forced = name == "direct" and must_be_forced(policy)
    player = apply_arm(name, policy, environment, targets, crops=crops, forced=forced)

    def jobs() -> Iterator[Job]:
        for job in jobs_of(run.recipe, tasks):
            if _is_asked(name, job, crops):
                targets[job.task.id] = job.task.boxes
                _share_images(job.task, run.out, name)
                yield job

    count = count_tasks(run.recipe)
    total = None if count is None else count * run.recipe.samples
    await _play(run, name, player, jobs(), total)


async def _play(
    run: _Run, name: str, player: Player, jobs: Iterable[Job], total: int | None
) -> None:
    """An arm into its folder; the verb tells arms apart that have one environment."""
    done = 0

    def on_resume(number: int) -> None:
        nonlocal done
        done = number
        run.on_progress(name, done, total)

    def on_finish(task: Task, trajectory: Trajectory) -> None:
        nonlocal done
        done += 1
        run.on_progress(name, done, total)

    await play(
        f"bench --audit ({name})", run.recipe, Assembly(*player, run.parts.reward), jobs,
        run.out / name, on_finish=on_finish, on_resume=on_resume,
    )  # fmt: skip


def _share_images(task: Task, out: Path, name: str) -> None:
    """Let an arm have the photographs of the agent, by hard links: ten copies fill a disk.

    Where links cannot be made, the arm keeps copies of its own. Its folder is there already when
    the first question is drawn.
    """
    for image in task.images:
        held, wanted = (out / arm / "images" / image.source.name for arm in ("agent", name))
        if name != "agent" and not wanted.exists():
            with suppress(OSError):
                os.link(held, wanted)


def _is_asked(name: str, job: Job, crops: Crops | None) -> bool:
    if name in NEED_BOXES and not job.task.boxes:
        return False
    if name == "wrong_box":
        return has_place_beside(job.task)
    # An episode of the agent that failed has no crops yet: it is played again, and then this one.
    return crops is None or (job.task.id, job.sample) in crops


def _crops(agent: Path) -> dict[tuple[str, int], list[Image]]:
    """What each finished episode of the agent was shown."""
    return {
        (task.id, trajectory.sample): [look.crop for look in looks(trajectory)]
        for task, trajectory in finished(agent)
    }


async def _continue_all(run: _Run, samples: int) -> None:
    """Go on from the last look of each first episode, with it and without."""
    held = recorded(run.out / "agent")
    several = run._replace(recipe=run.recipe.model_copy(update={"samples": samples}))
    policy = Continued(run.parts.policy, held.begun)
    replacements: dict[str, Place | None] = {KEPT: None, BLANK: "blank"}
    for name, place in replacements.items():
        jobs = jobs_of(several.recipe, run.tasks())
        player = Player(policy, _staged(run.parts.environment, place, held.calls))
        total = samples * len(held.begun)
        await _play(several, name, player, _looking(jobs, held.begun, run.out, name), total)


def _looking(
    jobs: Iterable[Job], begun: Mapping[str, object], out: Path, name: str
) -> Iterator[Job]:
    for job in jobs:
        if job.task.id in begun:
            _share_images(job.task, out, name)
            yield job


def _staged(environment: Environment, place: Place | None, honest: dict[str, int]) -> Environment:
    """The environment in which a number of calls of each task show what they ask for."""
    if place is None:
        return environment
    tools = [
        StagedZoom(tool, place, {}, after=honest) if tool.spec.name == ZOOM else tool
        for tool in environment.tools
    ]
    return environment.replace(tools=tools)
