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
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import JsonValue

from saccade.geometry import Box
from saccade.image import Image
from saccade.measures import Summary, summary
from saccade.nano.settings import ZOOM, environment
from saccade.policies.forced import FirstMove
from saccade.rewards import RewardOptions
from saccade.rollout import Job, rollout_many
from saccade.types import (
    Part,
    Policy,
    Sampling,
    Task,
    Tool,
    ToolContext,
    ToolFunction,
    ToolSpec,
    Trajectory,
)
from saccade.world import tasks

Place = Literal["own", "wrong", "true"]
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

TRIES = 50
"""Random places that are tried before a wrong one is put into the widest strip."""


class StagedZoom:
    """Looks like the zoom tool, and shows the true place, or a wrong one, whatever is asked for."""

    def __init__(self, place: Place, truth: dict[str, Box]) -> None:
        """Make the tool.

        Args:
            place: What it shows.
            truth: Digest of an image -> the box of the asked object, in pixels of that image.
        """
        self._place, self._truth = place, truth

    @property
    def spec(self) -> ToolSpec:
        spec = ZOOM.spec
        return spec.model_copy(update={"options": {**spec.options, "shows": self._place}})

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        """The real tool, called with another box."""
        async with ZOOM.open(context) as zoom:

            async def call(arguments: dict[str, JsonValue]) -> tuple[Part, ...]:
                shown = context.images[0]
                own = (await zoom(arguments))[0]
                assert isinstance(own, Image)
                box = self._box(shown, own.region, context.seed)
                return await zoom({"bbox_2d": list(shown.from_source(box))})

            yield call

    def _box(self, shown: Image, own: Box, seed: int) -> Box:
        truth = self._truth[shown.source.digest]
        return truth if self._place == "true" else _elsewhere(shown, own, truth, seed)


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
    tool: Tool = ZOOM if arm.place == "own" else StagedZoom(arm.place, truth)
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


def _elsewhere(shown: Image, own: Box, truth: Box, seed: int) -> Box:
    """A box that shows nothing of the asked object: of the model's own size, where that fits.

    Drawn at random; if the object leaves little room, in the widest strip beside it.
    """
    rng = np.random.default_rng([seed, int(shown.source.digest[:8], 16)])
    width, height = shown.source.size
    strips = (
        Box(0, 0, truth.x1, height),
        Box(truth.x2, 0, width, height),
        Box(0, 0, width, truth.y1),
        Box(0, truth.y2, width, height),
    )
    widest = max(strips, key=lambda strip: min(strip.width, strip.height))
    side = min(own.width, widest.width, widest.height)
    for place in [Box(0, 0, width, height)] * TRIES + [widest]:
        x = rng.uniform(place.x1, place.x2 - side)
        y = rng.uniform(place.y1, place.y2 - side)
        box = Box(x, y, x + side, y + side)
        if box.intersect(truth).area <= 0:
            break
    return box
