"""What can be wrong with a run, found before a model is loaded: in a second, and without torch.

    preflight(recipe)       # raises what the run would raise at its first step, or in the middle

The parts of a run file are made as the run makes them, but nothing is started, connected to or
loaded. Every row of a file of questions is read, without its images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from saccade.errors import ConfigError
from saccade.plugins import guarded
from saccade.recipe import (
    Recipe,
    check_policy,
    make_environment,
    make_reward,
    make_tasks,
    task_source,
)
from saccade.rewards import Reward
from saccade.runs.folder import RunReader
from saccade.tasks import Outlined
from saccade.types import Task

DRAWN = 4
"""Number of questions that are drawn of a source that cannot tell all of them without images."""


def preflight(recipe: Recipe, *, scored: bool = True) -> None:
    """Find the mistakes of a run file that need no model to be found.

    Args:
        recipe: A run file of tasks, an environment and a reward; without a `policy`, a model that
            is trained plays.
        scored: Whether a question that could not be scored is a mistake; a curation drops it.

    Raises:
        ConfigError: a part that cannot work, a judge that the reward lacks, a gold answer that is
            none of the choices, or no question at all.
        FormatError: a file of questions that cannot be used.
        MissingExtra: a part needs an optional dependency.
    """
    make_environment(recipe)
    reward = make_reward(recipe)
    check_tasks(recipe, reward if scored else None)
    if recipe.policy is not None:
        check_policy(recipe)


def check_tasks(recipe: Recipe, reward: Reward | None) -> None:
    """Find questions that could not be asked or, by a reward, not be scored.

    Raises:
        ConfigError: there is none, or the reward cannot score one; its place is named.
        FormatError: a file of questions that cannot be used.
    """
    found = False
    for task in _outlines(recipe):
        found = True
        if reward is not None:
            reward.check(task)
    if not found:
        assert recipe.tasks is not None
        raise ConfigError(f"tasks: {recipe.tasks.kind!r} gives no question")


def check_runs(folders: Sequence[str]) -> None:
    """Find out whether folders hold runs that can be read.

    Raises:
        StoreError: a folder holds no run.
    """
    for folder in folders:
        RunReader(Path(folder))


def _outlines(recipe: Recipe) -> Iterator[Task]:
    """Every question, or the first ones of a source that must draw them."""
    source = task_source(recipe)
    if not isinstance(source, Outlined):
        yield from islice(make_tasks(recipe), DRAWN)
        return
    with guarded("tasks"):
        yield from source.outlines()
