"""A policy that knows the world's truth: it writes the demonstrations of a cold start.

It says where the asked object is and how wide; a large one it reads at once, a small one it looks
at first. Its turns go through the ordinary environment, so a demonstration is what a rollout is.
"""

from __future__ import annotations

from functools import lru_cache

from saccade.dialects.deepeyes import DeepEyes
from saccade.nano.deepeyes.corpus import LEGIBLE, thought_of
from saccade.tools.zoom import ZOOM
from saccade.types import Action, Completion, ModelInfo, Sampling, Task, ToolCall, Trajectory
from saccade.world import task_of


class Oracle:
    """Answers every question of the world about a digit, with a call where one is needed."""

    info = ModelInfo(name="oracle")

    def __init__(self) -> None:
        self._dialect = DeepEyes()
        self._task = lru_cache(maxsize=256)(task_of)

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """Write the right turn.

        Raises:
            ConfigError: the task is none of this world.
        """
        task = self._task(trajectory.task_id)
        return Completion(text=self._dialect.write(_move(task, trajectory)), model=self.info.name)

    def count_tokens(self, trajectory: Trajectory) -> None:
        """Return None: an oracle has no tokenizer."""

    async def close(self) -> None:
        """Do nothing: an oracle holds no resources."""


def _move(task: Task, trajectory: Trajectory) -> Action:
    if trajectory.turns:
        return Action(answer=task.answer)
    target = task.boxes[0]
    x1, y1, x2, y2 = (round(v) for v in trajectory.images[0].from_source(target.box))
    thought = thought_of(target.label, (x1, y1, x2, y2))
    if x2 - x1 > LEGIBLE:
        return Action(thought=thought, answer=task.answer)
    box = {"bbox_2d": [x1, y1, x2, y2]}
    return Action(thought=thought, calls=(ToolCall(name=ZOOM, arguments=box),))
