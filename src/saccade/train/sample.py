"""What is trained on: the tokens of an episode, each with its advantage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from saccade.render.qwen_vl import QwenVLRenderer, Rendered
from saccade.train.advantages import fatal_turn, trained_turns
from saccade.train.recipe import Mask
from saccade.types import Trajectory


class TrainingSample(NamedTuple):
    """An episode as the loss sees it."""

    rendered: Rendered
    trained_T: list[bool]
    """For each id whether it is trained on: a sampled one that no rule left out."""
    advantages_T: list[float]
    """Advantage of each id; without effect where nothing is trained on."""


class TrainingBatch(NamedTuple):
    """What a process contributes to an update."""

    samples: list[TrainingSample]
    metrics: dict[str, float]
    """What was measured on the way, over all processes."""


def masked(
    sample: TrainingSample,
    trajectory: Trajectory,
    renderer: QwenVLRenderer,
    *,
    masks: Sequence[Mask],
    failures: int,
) -> TrainingSample:
    """The same sample without the turns that `masks` leave out.

    What came before a fatal failure of a tool never has a negative advantage (OpenSearch-VL).
    """
    turns = trained_turns(trajectory, masks, failures)
    end = turns_end(renderer, trajectory, turns) if turns else 0
    advantages_T = sample.advantages_T
    if "tool_failure" in masks and fatal_turn(trajectory, failures):
        advantages_T = [max(advantage, 0.0) for advantage in advantages_T]
    trained_T = [trained and at < end for at, trained in enumerate(sample.trained_T)]
    return TrainingSample(sample.rendered, trained_T, advantages_T)


def filler(sample: TrainingSample) -> TrainingSample:
    """The same sample with nothing to train on; it keeps the size of a batch."""
    return sample._replace(trained_T=[False] * len(sample.trained_T))


def turns_end(renderer: QwenVLRenderer, trajectory: Trajectory, turns: int) -> int:
    """Where in the ids of an episode its first turns end, what they were shown included."""
    begun = trajectory.model_copy(update={"turns": trajectory.turns[:turns]})
    return len(renderer.render(begun, generation=False).ids)
