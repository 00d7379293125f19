"""Whether a model in training still sees: measured beside the training, and never a part of it."""

import asyncio
import logging
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from trainings import assert_same_weights, metrics, recipe_of
from waiting import LIMIT_S

from saccade.canary.warning import TrainingCanary, is_due
from saccade.nano.spec import environment
from saccade.train.rl import rl
from saccade.types import Completion, ModelInfo, Sampling, Trajectory

T = TypeVar("T")

TIMES = ("_s", "_time", "runtime", "per_second")


def test_the_weights_are_the_same_to_the_bit_with_and_without_it(tmp_path: Path) -> None:
    """A dropout is the one part of a training that draws from the generator of the process."""
    how = ("train.steps=1", "train.lora={rank = 4, dropout = 0.5}")
    for name, more in (("with", ("train.canary_every=1",)), ("without", ("canary=false",))):
        rl(recipe_of(tmp_path / name, *how, *more))
    measured, plain = metrics(tmp_path / "with"), metrics(tmp_path / "without")
    assert all("visual_accuracy" in row for row in measured)
    assert not any("visual_accuracy" in row for row in plain)
    assert measured[0]["visual_accuracy"] >= 0.75, "nano-sft reads large digits"
    for row, other in zip(measured, plain, strict=True):
        same = {key for key in other if not key.endswith(TIMES)}
        assert {key: row[key] for key in same} == {key: other[key] for key in same}
    assert_same_weights(tmp_path / "with" / "model", tmp_path / "without" / "model", atol=0)


def test_it_is_measured_before_the_first_step_and_every_so_many() -> None:
    def due(updates: int, every: int) -> list[int]:
        return [number * updates for number in range(13) if is_due(number, updates, every)]

    assert due(1, 5) == [0, 5, 10]
    assert due(2, 5) == [0, 6, 10, 16, 20], "the first batch after a multiple"
    assert due(4, 1) == [4 * number for number in range(13)]
    assert due(1, 0) == [0]


class Blind:
    """A model in training that sees nothing, and says the same each time."""

    info = ModelInfo(name="m")

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        self.asked.append(trajectory.task_id)
        return Completion(text="<answer>7</answer>")

    def count_tokens(self, trajectory: Trajectory) -> None:
        return None

    async def close(self) -> None:
        pass

    async def run(self, episodes: Sequence[Coroutine[None, None, T]]) -> tuple[T, ...]:
        return tuple(await asyncio.gather(*episodes))


class Together:
    """Processes as threads: each waits for what the others gather."""

    def __init__(self, size: int) -> None:
        self.size, self.parts = size, [[] for _ in range(size)]  # type: ignore[var-annotated]
        self.barrier = threading.Barrier(size, timeout=LIMIT_S)


class Rank:
    """One of them."""

    def __init__(self, rank: int, together: Together) -> None:
        self.rank, self.size, self._together = rank, together.size, together

    def gather_objects(self, objects: list[T]) -> list[T]:
        self._together.parts[self.rank] = list(objects)
        self._together.barrier.wait()
        return [one for part in self._together.parts for one in part]


def measured(folder: Path, ranks: Rank, number: int = 0) -> tuple[Blind, dict[str, float]]:
    blind = Blind()
    recipe = recipe_of(folder)
    canary = TrainingCanary(
        recipe, blind, environment(), ranks, model=recipe.model, updates=1, every=1
    )
    return blind, asyncio.run(canary.measure(number))


def test_a_blind_model_is_named_once_and_processes_share_the_questions(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named at the first step alone, so a training that is resumed does not say it again."""
    with caplog.at_level(logging.WARNING):
        alone, expected = measured(tmp_path, Rank(0, Together(1)), number=7)
    assert not caplog.records
    assert expected["visual_accuracy"] <= 0.4
    together = Together(2)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(2) as pool:
        ranks = [Rank(rank, together) for rank in range(2)]
        done = list(pool.map(lambda rank: measured(tmp_path, rank), ranks))
    assert sorted(task for blind, _ in done for task in blind.asked) == sorted(alone.asked)
    assert {len(blind.asked) for blind, _ in done} == {6}
    assert [found for _, found in done] == [expected] * 2
    (said,) = caplog.messages
    assert "seems blind" in said
