"""Whether a model still sees, every so many steps of its training: the metric `visual_accuracy`.

A model that lost its images, to a truncated prompt or to an engine that drops them, is trained on
without an error. It is asked a few questions about what is drawn large, the same ones each time and
greedily, between two batches of episodes. No generator of the training is drawn from, so that the
weights are the same to the bit with and without it.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Sequence
from functools import cached_property
from typing import Protocol, TypeVar

from saccade.canary.probe import Probe
from saccade.canary.vision import Asked, Drawn, Question, Sitter, Vision, World
from saccade.canary.warning import is_wanted, knows_the_world, said_of
from saccade.env import Environment
from saccade.recipe import Recipe
from saccade.types import Policy, Sampling

T = TypeVar("T")

_log = logging.getLogger(__name__)

PAIRS = 6
"""Number of pairs of questions that differ in nothing but the image."""
METRIC = "visual_accuracy"


class Trained(Policy, Protocol):
    """The model that is trained, whose turns are written in rounds."""

    async def run(self, episodes: Sequence[Coroutine[None, None, T]]) -> tuple[T, ...]:
        """Let episodes whose policy this is run to their end."""
        ...


class Processes(Protocol):
    """The processes that train together."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def gather_objects(self, objects: list[T]) -> list[T]:
        """The lists of all processes, one after the other."""
        ...


class TrainingCanary:
    """Asks the model that is trained."""

    def __init__(
        self,
        recipe: Recipe,
        policy: Trained,
        environment: Environment,
        processes: Processes,
        *,
        model: str,
        updates: int,
        every: int,
    ) -> None:
        """Prepare.

        Args:
            recipe: What is trained on; `canary = false` in it asks nothing.
            policy: Is asked.
            environment: What it is trained in.
            processes: They make every call together.
            model: The folder or the name of the model that the training starts from.
            updates: Number of optimiser steps for each batch.
            every: Number of steps between two measurements; 0 measures before the first alone.
        """
        self._recipe, self._policy, self._model = recipe, policy, model
        self._environment, self._processes = environment, processes
        self._updates, self._every = updates, every

    async def measure(self, number: int) -> dict[str, float]:
        """The share of right answers before a batch; nothing where it is not due.

        Every process makes the call. At the first step a model that seems blind is named.
        """
        if not (is_due(number, self._updates, self._every) and self._is_wanted):
            return {}
        found = Vision(tuple(await self._ask()))
        if number == 0 and self._processes.rank == 0 and (said := said_of(found)) is not None:
            _log.warning(said)
        heard = [asked for asked in found.asked if not asked.error]
        if not heard:
            return {}
        return {METRIC: sum(asked.correct for asked in heard) / len(heard)}

    async def _ask(self) -> list[Asked]:
        """The questions of all processes with their answers; each asks its share."""
        places = range(self._processes.rank, len(self._questions), self._processes.size)
        own = await self._policy.run(
            [self._sitter.answer(self._questions[place]) for place in places]
        )
        told = [(place, *one[1:]) for place, one in zip(places, own, strict=True)]
        return [
            Asked(self._questions[place], answer, shown, error, mute)
            for place, answer, shown, error, mute in sorted(self._processes.gather_objects(told))
        ]

    @cached_property
    def _is_wanted(self) -> bool:
        return is_wanted(self._recipe)

    @cached_property
    def _questions(self) -> list[Question]:
        drawn = self._sitter.pairs(self._recipe.seed)
        return [question for _, pair in zip(range(PAIRS), drawn, strict=False) for question in pair]

    @cached_property
    def _sitter(self) -> Sitter:
        sampling = Sampling(max_tokens=self._recipe.sampling.max_tokens)
        recipe = self._recipe.model_copy(update={"sampling": sampling})
        of_the_world = recipe.tasks is not None and recipe.tasks.kind == "world"
        if of_the_world or knows_the_world(self._model):
            return World(self._policy, self._environment, sampling=sampling)
        return Drawn(Probe(self._policy, recipe, at_once=2 * PAIRS))


def is_due(number: int, updates: int, every: int) -> bool:
    """Whether a batch is the first, or the first one after a multiple of `every` steps."""
    step = number * updates
    return step == 0 or bool(every and step // every > (step - updates) // every)
