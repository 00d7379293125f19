"""A recipe carried out: its jobs, in its run folder, resumed where they were left."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from saccade.dialects import prompt_warning
from saccade.env import Environment
from saccade.errors import ServiceError
from saccade.recipe import Recipe, make_environment, make_policy, make_reward
from saccade.rollout import Job, rollout_many
from saccade.store import Key, Manifest, RunFolder
from saccade.types import Policy, StopReason, Task, Trajectory

_VERSIONED = ("saccade", "numpy", "pillow", "pydantic", "torch", "transformers")
_NOT_COMPARED = {"out", "concurrency", "max_aborts"}
"""Settings that change no episode: a run may resume with other ones."""


async def run(
    recipe: Recipe,
    jobs: Iterable[Job],
    out: Path,
    *,
    on_finish: Callable[[Task, Trajectory], None],
    on_resume: Callable[[int], None] | None = None,
) -> None:
    """Attempt each job that the run folder does not hold yet.

    Args:
        recipe: What to run.
        jobs: The attempts; drawn lazily.
        out: The run folder.
        on_finish: Called after an episode is safe in the folder.
        on_resume: Told how many episodes the folder holds already.

    Raises:
        ConfigError: the recipe cannot work, or `out` holds another run.
        StoreError: the folder cannot be written; what was finished is kept.
        ServiceError: `recipe.max_aborts` episodes in a row were aborted.
    """
    environment = make_environment(recipe)
    policy = make_policy(recipe)
    for warning in mismatches(policy, environment):
        warnings.warn(warning, stacklevel=2)
    try:
        await play(recipe, policy, environment, jobs, out, on_finish=on_finish, on_resume=on_resume)
    finally:
        await policy.close()


async def play(
    recipe: Recipe,
    policy: Policy,
    environment: Environment,
    jobs: Iterable[Job],
    out: Path,
    *,
    on_finish: Callable[[Task, Trajectory], None],
    on_resume: Callable[[int], None] | None = None,
) -> None:
    """The same with another policy and environment than the recipe's own.

    Raises:
        ConfigError: `out` holds another run.
        StoreError: the folder cannot be written; what was finished is kept.
        ServiceError: `recipe.max_aborts` episodes in a row were aborted.
    """
    in_a_row = 0
    reward = make_reward(recipe)
    try:
        with RunFolder(out, manifest(recipe, environment)) as folder:
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
                _left(jobs, folder.done),
                on_finish=keep,
                concurrency=recipe.concurrency,
                seed=recipe.seed,
                sampling=recipe.sampling,
                reward=reward,
            )
    finally:
        await reward.close()


def jobs_of(recipe: Recipe, tasks: Iterable[Task]) -> Iterator[Job]:
    """Every sample of every task."""
    return (Job(task, sample) for task in tasks for sample in range(recipe.samples))


def mismatches(policy: Policy, environment: Environment) -> list[str]:
    """What the environment says otherwise than the model was made for.

    A local model has a native box frame and a size factor; a released checkpoint has a prompt, and
    is known by its name.
    """
    found: list[str] = []
    info, record = policy.info, environment.record
    if info.coords not in (None, record.coords):
        found.append(
            f"the model was trained to write boxes in the frame {info.coords.value!r}, the "
            f"environment reads them as {record.coords.value!r}: set "
            f"environment.coords={info.coords.value}"
        )
    factors = {record.view.factor, record.observation.factor}
    if info.factor is not None and factors != {info.factor}:
        found.append(
            f"the model takes image sides that are multiples of {info.factor}: set "
            f"environment.view.factor={info.factor} (and environment.observation, if given)"
        )
    warning = prompt_warning(info.name, environment.dialect)
    return found + ([warning] if warning else [])


def manifest(recipe: Recipe, environment: Environment) -> Manifest:
    """What a later reader needs to know of a run."""
    config = recipe.model_dump(mode="json", exclude=_NOT_COMPARED)
    return Manifest(
        config=config,
        fingerprint=environment.fingerprint,
        versions={"python": platform.python_version(), **_versions()},
        commit=_commit(),
        command=shlex.join(sys.argv).encode("utf-8", "replace").decode(),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _left(jobs: Iterable[Job], done: frozenset[Key]) -> Iterator[Job]:
    return (job for job in jobs if (job.task.id, job.sample) not in done)


def _versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """The commit of a checkout that Saccade runs from, marked if it has changes."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
