"""A recipe carried out: its jobs, in its run folder, resumed where they were left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from saccade.errors import ServiceError
from saccade.recipe import Recipe
from saccade.rollout import Job, rollout_many
from saccade.runs.assemble import Assembly, assemble
from saccade.runs.folder import Key, RunFolder
from saccade.runs.manifest import manifest_of
from saccade.types import StopReason, Task, Trajectory


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

    Args:
        verb: The command that this is, for the manifest.
        recipe: What to run.
        jobs: The attempts; drawn lazily.
        out: The run folder.
        on_finish: Called after an episode is safe in the folder.
        on_resume: Called with the number of episodes that the folder holds already.

    Raises:
        ConfigError: the recipe cannot work, or `out` holds another run.
        StoreError: the folder cannot be written; what was finished is kept.
        ServiceError: `recipe.max_aborts` episodes in a row were aborted.
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
        ConfigError: `out` holds another run.
        StoreError: the folder cannot be written; what was finished is kept.
        ServiceError: `recipe.max_aborts` episodes in a row were aborted.
    """
    policy, environment, reward = assembly
    in_a_row = 0
    with RunFolder(out, manifest_of(verb, recipe, fingerprint=environment.fingerprint)) as folder:
        if on_resume is not None:
            on_resume(len(folder.done))

        def keep(task: Task, trajectory: Trajectory) -> None:
            nonlocal in_a_row
            folder.append(task, trajectory)
            on_finish(task, trajectory)
            in_a_row = in_a_row + 1 if trajectory.stop is StopReason.ABORTED else 0
            if in_a_row >= recipe.max_aborts:
                raise ServiceError(
                    f"{in_a_row} episodes in a row were aborted, the last one by "
                    f"{trajectory.error}; mend it and run the same command again"
                )

        await rollout_many(
            policy,
            environment,
            _missing(jobs, folder.done),
            on_finish=keep,
            concurrency=recipe.concurrency,
            seed=recipe.seed,
            sampling=recipe.sampling,
            reward=reward,
        )


def jobs_of(recipe: Recipe, tasks: Iterable[Task]) -> Iterator[Job]:
    """Every sample of every task."""
    return (Job(task, sample) for task in tasks for sample in range(recipe.samples))


def _missing(jobs: Iterable[Job], done: frozenset[Key]) -> Iterator[Job]:
    return (job for job in jobs if (job.task.id, job.sample) not in done)
