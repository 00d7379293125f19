"""The arms: one set of weights, five ways to attempt a question.

    direct      must answer at once
    agent       does as it likes
    own_box     must call; is shown where it pointed
    wrong_box   must call; is shown a place without the object, of the size it asked for
    true_box    must call; is shown the object

What lies between `direct` and `true_box` is what looking again can give; between `own_box` and
`true_box`, what better boxes could; `wrong_box` must fall to chance, or the crop is not used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from saccade.measures import Summary, summary
from saccade.nano.settings import ZOOM, environment
from saccade.policies.forced import FirstMove
from saccade.rewards import RewardOptions
from saccade.rollout import Job, rollout_many
from saccade.tools.staged import Place, StagedZoom
from saccade.types import Policy, Sampling, Task, Tool, Trajectory
from saccade.world import tasks

CALL, ANSWER = "<tool_call>", "<answer>"


@dataclass(frozen=True)
class Arm:
    """What is forced on the model."""

    force: str = ""
    place: Place = "own"


ARMS = {
    "direct": Arm(ANSWER),
    "agent": Arm(),
    "own_box": Arm(CALL),
    "wrong_box": Arm(CALL, "wrong"),
    "true_box": Arm(CALL, "true"),
}
FAMILIES = ("read", "read0", "read1", "easy", "far")


def evaluate(
    policy: Policy,
    questions: Sequence[Task],
    arm: Arm,
    *,
    seed: int = 0,
    temperature: float = 0.0,
    samples: int = 1,
    on_finish: Callable[[Task, Trajectory], None] = lambda task, trajectory: None,
) -> list[tuple[Task, Trajectory]]:
    """Attempt questions in one arm.

    Returns:
        Each question with its scored trajectory, in the order of the questions.
    """
    truth = {task.images[0].source.digest: task.boxes[0].box for task in questions}
    tool: Tool = ZOOM if arm.place == "own" else StagedZoom(ZOOM, arm.place, truth)
    pairs: list[tuple[Task, Trajectory]] = []

    def keep(task: Task, trajectory: Trajectory) -> None:
        pairs.append((task, trajectory))
        on_finish(task, trajectory)

    asyncio.run(
        rollout_many(
            FirstMove(policy, arm.force),
            environment(tool),
            [Job(task, sample) for task in questions for sample in range(samples)],
            on_finish=keep,
            seed=seed,
            sampling=Sampling(temperature=temperature),
            reward=RewardOptions().make(),
        )
    )
    place = {task.id: position for position, task in enumerate(questions)}
    return sorted(pairs, key=lambda pair: (place[pair[0].id], pair[1].sample))


def questions(family: str, *, n: int, seed: int, split: str = "test") -> list[Task]:
    """Scenes of a family for the embedded models."""
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
    arms: Sequence[str] = tuple(ARMS),
    on_cell: Callable[[str, str], None] = lambda family, arm: None,
) -> dict[str, dict[str, Summary]]:
    """Family -> arm -> what was measured."""
    found: dict[str, dict[str, Summary]] = {}
    for family in families:
        asked = questions(family, n=n, seed=seed, split=split)
        found[family] = {}
        for arm in arms:
            pairs = evaluate(
                policy, asked, ARMS[arm], seed=seed, temperature=temperature, samples=samples
            )
            found[family][arm] = summary(pairs)
            on_cell(family, arm)
    return found
