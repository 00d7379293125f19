"""Measures an embedded model on questions of its world, in the arms of `saccade.arms`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from saccade.arms import apply_arm, targets_of
from saccade.measures.summary import Summary, summary
from saccade.nano.deepeyes.shared import SharedTurns
from saccade.nano.spec import environment
from saccade.rewards import RewardOptions
from saccade.rollout import Job, rollout_many
from saccade.types import Policy, Sampling, Task, Trajectory
from saccade.world import tasks

COMPARED = ("direct", "agent", "own_box", "wrong_box", "true_box")
"""The arms that are compared where none is named."""

FAMILIES = ("read", "read0", "read1", "easy", "far")
"""The families that are measured where none is named: all that ask for a digit by its colour."""

CONCURRENCY = 256
"""Number of episodes that run at the same time: a step of so small a model costs little more for
256 rows than for 64."""


def evaluate(
    policy: Policy,
    questions: Sequence[Task],
    arm: str,
    *,
    seed: int = 0,
    temperature: float = 0.0,
    samples: int = 1,
    on_finish: Callable[[Task, Trajectory], None] = lambda task, trajectory: None,
) -> list[tuple[Task, Trajectory]]:
    """Attempt questions in one arm.

    Args:
        policy: What attempts them.
        questions: Tasks, each with the box of the asked object.
        arm: Name of the arm, a key of `saccade.arms.ARMS`.
        seed: Seed of sampling.
        temperature: Temperature of sampling; 0 is greedy.
        samples: Number of attempts at each question.
        on_finish: Called with each finished episode.

    Returns:
        Each question with its scored trajectory, in the order of the questions.

    Raises:
        ConfigError: there is no such arm.
    """
    player = apply_arm(arm, policy, environment(), targets_of(questions))
    pairs: list[tuple[Task, Trajectory]] = []

    def keep(task: Task, trajectory: Trajectory) -> None:
        pairs.append((task, trajectory))
        on_finish(task, trajectory)

    asyncio.run(
        rollout_many(
            player.policy,
            player.environment,
            [Job(task, sample) for task in questions for sample in range(samples)],
            on_finish=keep,
            concurrency=CONCURRENCY,
            seed=seed,
            sampling=Sampling(temperature=temperature),
            reward=RewardOptions().make(),
        )
    )
    place = {task.id: position for position, task in enumerate(questions)}
    return sorted(pairs, key=lambda pair: (place[pair[0].id], pair[1].sample))


def questions(family: str, *, n: int, seed: int, split: str = "test") -> list[Task]:
    """Draw questions of a family for the embedded models."""
    return list(tasks(family, n=n, seed=seed, split=split))


def table(
    policy: Policy,
    *,
    n: int,
    seed: int,
    split: str = "test",
    temperature: float = 0.0,
    samples: int = 1,
    families: Sequence[str] = FAMILIES,
    arms: Sequence[str] = COMPARED,
    on_progress: Callable[[str, int, int], None] = lambda cell, done, total: None,
) -> dict[str, dict[str, Summary]]:
    """Measure every family in every arm.

    Args:
        policy: What is measured.
        n: Number of questions of each family.
        seed: Seed of the scenes and of sampling.
        split: Which handwritten samples may appear.
        temperature: Temperature of sampling; 0 is greedy.
        samples: Number of attempts at each question.
        families: Families of questions.
        arms: Names of arms, keys of `saccade.arms.ARMS`.
        on_progress: Called with the name of a cell, how many are done, and how many there are.

    Returns:
        Family -> arm -> summary.
    """
    found: dict[str, dict[str, Summary]] = {}
    total = len(families) * len(arms)
    for family in families:
        asked = questions(family, n=n, seed=seed, split=split)
        shared = SharedTurns(policy)
        found[family] = {}
        for arm in arms:
            pairs = evaluate(
                shared, asked, arm, seed=seed, temperature=temperature, samples=samples
            )
            found[family][arm] = summary(pairs)
            done = sum(map(len, found.values()))
            on_progress(f"{family}, {arm}", done, total)
    return found
