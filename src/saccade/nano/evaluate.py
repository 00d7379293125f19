"""Measures an embedded model on questions of its world, in the arms of `saccade.arms`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from saccade.arms import apply_arm, targets_of
from saccade.env import Environment
from saccade.measures.summary import Summary, summary
from saccade.nano.deepeyes_v2 import spec as deepeyes_v2
from saccade.nano.shared import SharedTurns
from saccade.nano.spec import environment
from saccade.rewards import RewardOptions
from saccade.rollout import Job, rollout_many
from saccade.types import ModelInfo, Policy, Sampling, Task, Trajectory
from saccade.world import tasks

COMPARED = ("direct", "agent", "own_box", "wrong_box", "true_box")
"""The arms that are compared where none is named."""
FREE = ("direct", "agent")
"""Those of them that have a meaning where more than one look is needed, or none."""

FAMILIES = ("read", "read0", "read1", "easy", "far")
"""The families that are measured where none is named: all that ask for a digit by its colour."""
FAMILIES_V2 = (*FAMILIES, "compute", "compute_far", "sum", "lookup", "all")
"""The same for a model of DeepEyesV2, which can search and compute too."""

CONCURRENCY = 256
"""Number of episodes that run at the same time: a step of so small a model costs little more for
256 rows than for 64."""


def environment_of(model: ModelInfo) -> Environment:
    """The environment that an embedded model was trained in, as its checkpoint says.

    It is that of DeepEyes where a checkpoint says nothing.
    """
    second = deepeyes_v2.environment()
    return second if second.fingerprint in model.fingerprints else environment()


def families_of(asker: Environment) -> dict[str, tuple[str, ...]]:
    """Family -> arms that are compared in an environment where none is named."""
    if asker.fingerprint == environment().fingerprint:
        return dict.fromkeys(FAMILIES, COMPARED)
    return {family: COMPARED if family in FAMILIES else FREE for family in FAMILIES_V2}


def evaluate(
    policy: Policy,
    questions: Sequence[Task],
    arm: str,
    *,
    asker: Environment | None = None,
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
        asker: The environment; that of DeepEyes if none is given.
        seed: Seed of sampling.
        temperature: Temperature of sampling; 0 is greedy.
        samples: Number of attempts at each question.
        on_finish: Called with each finished episode.

    Returns:
        Each question with its scored trajectory, in the order of the questions.

    Raises:
        ConfigError: there is no such arm.
    """
    player = apply_arm(arm, policy, asker or environment(), targets_of(questions))
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
    cells: Mapping[str, Sequence[str]] | None = None,
    asker: Environment | None = None,
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
        cells: Family of questions -> names of arms, keys of `saccade.arms.ARMS`; every family of
            `FAMILIES` in those of `COMPARED` if none are given.
        asker: The environment; that of DeepEyes if none is given.
        on_progress: Called with the name of a cell, how many are done, and how many there are.

    Returns:
        Family -> arm -> summary.
    """
    found: dict[str, dict[str, Summary]] = {}
    chosen = cells or dict.fromkeys(FAMILIES, COMPARED)
    total = sum(map(len, chosen.values()))
    for family, arms in chosen.items():
        asked = questions(family, n=n, seed=seed, split=split)
        shared = SharedTurns(policy)
        found[family] = {}
        for arm in arms:
            pairs = evaluate(
                shared,
                asked,
                arm,
                asker=asker,
                seed=seed,
                temperature=temperature,
                samples=samples,
            )
            found[family][arm] = summary(pairs)
            done = sum(map(len, found.values()))
            on_progress(f"{family}, {arm}", done, total)
    return found
