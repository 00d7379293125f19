"""The oracle writes right, well-formed turns, looks only where it must, knows no other world."""

import asyncio
from pathlib import Path

import pytest
from PIL import Image as PILImage

from saccade.agent import make_task
from saccade.errors import ConfigError
from saccade.nano.deepeyes.oracle import Oracle
from saccade.nano.spec import environment
from saccade.rewards import RewardOptions
from saccade.rollout import rollout
from saccade.types import StopReason, Task, Trajectory
from saccade.world import tasks


def solved(task: Task) -> Trajectory:
    reward = RewardOptions().make()
    return asyncio.run(rollout(Oracle(), environment(), task, reward=reward))


@pytest.mark.parametrize(("family", "turns"), [("read0", 2), ("read1", 2), ("easy", 1), ("far", 2)])
def test_demonstrations_are_right_and_as_long_as_they_must_be(family: str, turns: int) -> None:
    for task in tasks(family, n=6, seed=1, split="train"):
        trajectory = solved(task)
        assert trajectory.stop is StopReason.ANSWER
        assert trajectory.verdict is not None
        assert trajectory.verdict.correct
        assert len(trajectory.turns) == turns
        assert all(turn.action.problems == () for turn in trajectory.turns)
        for result in trajectory.results:
            (crop,) = result.content
            assert not isinstance(crop, str)
            seen = crop.region.intersect(task.boxes[0].box)
            # Whole pixels of the view are twelve of the scene: a side may lose half of one.
            assert seen.area > 0.6 * task.boxes[0].box.area


def test_a_photograph_is_no_task_of_the_world(tmp_path: Path) -> None:
    PILImage.new("RGB", (700, 700)).save(tmp_path / "photo.png")
    task = make_task([tmp_path / "photo.png"], "What digit is on the red object?", [], None)
    with pytest.raises(ConfigError, match="no task of this world"):
        solved(task)
