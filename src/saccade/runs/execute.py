"""A recipe carried out: its jobs, in its run folder, resumed where they were left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from saccade.errors import PluginError, ServiceError
from saccade.recipe import Recipe
from saccade.rollout import Job, in_parallel, rollout_many, score
from saccade.runs.assemble import Assembly, assemble
from saccade.runs.folder import Key, RunFolder, RunReader
from saccade.runs.manifest import manifest_of
from saccade.types import Task, Trajectory


async def run(
    verb: str,
    recipe: Recipe,
    jobs: Iterable[Job],
    out: Path,
    *,
    on_finish: Callable[[Task, Trajectory], None],
    on_resume: Callable[[int], None] | None = None,
) -> None:
    """Attempt each job that the run folder does not hold yet.

    Episodes that are finished but that the reward failed on are scored first, and not played again.

    Args:
        verb: The command that this is, for the manifest.
        recipe: What to run.
        jobs: The attempts; drawn lazily.
        out: The run folder.
        on_finish: Called after an episode is safe in the folder.
        on_resume: Called with the number of episodes that the folder holds already.

    Raises:
        ConfigError: the recipe cannot work, or `out` holds another run, or other questions.
        StoreError: the folder cannot be written; what was finished is kept.
        ServiceError: `recipe.max_aborts` episodes in a row were aborted.
        PluginError: so many failed in a row, the last one in its reward; or a source of tasks or a
            dialect raised.
    """
    assembly = assemble(recipe)
    try:
        await play(verb, recipe, assembly, jobs, out, on_finish=on_finish, on_resume=on_resume)
    finally:
        await assembly.close()


async def play(
    verb: str,
    recipe: Recipe,
    assembly: Assembly,
    jobs: Iterable[Job],
    out: Path,
    *,
    on_finish: Callable[[Task, Trajectory], None],
    on_resume: Callable[[int], None] | None = None,
) -> None:
    """The same with parts that stand already, and that stay open.

    Raises:
        ConfigError: `out` holds another run, or other questions under the same ids.
        StoreError: the folder cannot be written; what was finished is kept.
        ServiceError: `recipe.max_aborts` episodes in a row were aborted.
        PluginError: so many failed in a row, the last one in its reward; or a source of tasks or a
            dialect raised.
    """
    policy, environment, reward = assembly
    record = environment.record
    manifest = manifest_of(verb, recipe, fingerprint=record.fingerprint, prompts=record.prompts)
    with RunFolder(out, manifest) as folder:
        if on_resume is not None:
            on_resume(len(folder.done))
        keep = keeper(folder, on_finish, most=recipe.max_aborts)
        waiting = folder.waiting
        if waiting:
            await in_parallel(
                lambda entry: score(*entry, reward, keep),
                list(RunReader(out).waiting()),
                concurrency=recipe.concurrency,
            )
        await rollout_many(
            policy,
            environment,
            _missing(jobs, folder, folder.done | waiting),
            on_finish=keep,
            concurrency=recipe.concurrency,
            seed=recipe.seed,
            sampling=recipe.sampling,
            reward=reward,
        )


def keeper(
    folder: RunFolder, on_finish: Callable[[Task, Trajectory], None], *, most: int
) -> Callable[[Task, Trajectory], None]:
    """What keeps each episode in a folder, and ends the run when too many in a row have failed.

    Args:
        folder: The run folder, open for writing.
        on_finish: Called after an episode is safe in the folder.
        most: Number of episodes in a row that may fail on our side.
    """
    in_a_row = 0

    def keep(task: Task, trajectory: Trajectory) -> None:
        nonlocal in_a_row
        trajectory = folder.append(task, trajectory)
        on_finish(task, trajectory)
        in_a_row = 0 if trajectory.error is None else in_a_row + 1
        if in_a_row < most:
            return
        if trajectory.reward_failed:
            raise PluginError(
                f"{in_a_row} episodes in a row failed on our side; the last one was finished, but "
                f"not scored: {trajectory.error}; mend it and run the same command again, which "
                "scores what is finished without playing it again"
            )
        raise ServiceError(
            f"{in_a_row} episodes in a row were aborted, the last one by "
            f"{trajectory.error}; mend it and run the same command again"
        )

    return keep


def jobs_of(recipe: Recipe, tasks: Iterable[Task]) -> Iterator[Job]:
    """Every sample of every task."""
    return (Job(task, sample) for task in tasks for sample in range(recipe.samples))


def _missing(jobs: Iterable[Job], folder: RunFolder, done: frozenset[Key]) -> Iterator[Job]:
    """The jobs that are not done; what is asked is still what the folder holds, done or not."""
    checked = None
    for job in jobs:
        if job.task is not checked:
            folder.check(job.task)
            checked = job.task
        if (job.task.id, job.sample) not in done:
            yield job
