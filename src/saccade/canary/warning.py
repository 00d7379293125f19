"""The few questions before a run and in a training: a model that is blind is named, and it goes on.

    said = await blindness(recipe, assembly.policy, assembly.environment)
    if said is not None:
        warnings.warn(said)

A model is asked where the tasks have images and a model answers: behind a chat server (`openai`) or
in this process (`hf`). The embedded models read nothing but their own world, so they are asked
about scenes of it; so is a model that fails on drawings before tasks of that world.

A model that loses its images in training, to a truncated prompt or to an engine that drops them, is
trained on without an error. So it is asked every so many steps (`TrainingCanary`), the same
questions each time and greedily, between two batches of episodes. No generator of the training is
drawn from, so that the weights are the same to the bit with and without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from functools import cached_property
from typing import Protocol, TypeVar

from saccade.canary.probe import Probe
from saccade.canary.vision import Asked, Drawn, Question, Vision, VisionTest, World, look_briefly
from saccade.embedded import MODELS, is_embedded
from saccade.env import Environment
from saccade.recipe import Recipe, make_tasks
from saccade.types import Policy, Sampling

T = TypeVar("T")

_log = logging.getLogger(__name__)

PAIRS = 6
"""Number of pairs of questions that differ in nothing but the image."""
METRIC = "visual_accuracy"
"""The share of right answers, in the metrics of a training."""

PATIENCE_S = 120.0
"""Seconds that the questions may take together: a run is not held up by them."""
MUTE = (
    "most replies end before an answer: raise environment.limits.max_turn_tokens where they are "
    "cut, start the server without its reasoning parser where they are empty"
)
ASKED = ("openai", "hf")
"""Kinds of policies that are asked: the others are rules or scripts, or a user's own."""


async def blindness(recipe: Recipe, policy: Policy, environment: Environment) -> str | None:
    """Why a model seems blind, after four questions or more; None if it sees or is not asked.

    Args:
        recipe: The run file; `canary = false` in it asks nothing.
        policy: What will act.
        environment: What it will meet.

    Raises:
        ConfigError: the recipe has no tasks, or the policy cannot work.
    """
    if recipe.policy is None or recipe.policy.kind not in ASKED or not is_wanted(recipe):
        return None
    try:
        async with asyncio.timeout(PATIENCE_S):
            return said_of(await see(recipe, policy, environment))
    except TimeoutError:
        return f"the model could not be asked whether it sees: no reply within {PATIENCE_S:g} s"


def is_wanted(recipe: Recipe) -> bool:
    """Whether the model of a run is asked: the switch is on, and the tasks have images."""
    if not recipe.canary or recipe.tasks is None:
        return False
    first = next(make_tasks(recipe), None)
    return first is not None and bool(first.images)


async def see(recipe: Recipe, policy: Policy, environment: Environment) -> Vision:
    """The answers of a model to a few questions of its kind."""
    found: list[Vision] = []
    for test in vision_tests(recipe, policy, environment):
        found.append(await look_briefly(test, seed=recipe.seed))
        if not found[-1].blind:
            return found[-1]
        if found[-1].failed:
            break
    return found[0]  # the likeliest kind says best what is wrong


def vision_tests(recipe: Recipe, policy: Policy, environment: Environment) -> list[VisionTest]:
    """The kinds of questions that a model can be expected to answer, the likeliest first."""
    world = World(policy, environment, sampling=recipe.sampling)
    if knows_the_world(policy.info.name):
        return [world]
    drawn = Drawn(Probe(policy, recipe))
    of_the_world = recipe.tasks is not None and recipe.tasks.kind == "world"
    return [drawn, world] if of_the_world else [drawn]


def knows_the_world(model: str) -> bool:
    """Whether a name or a folder is that of an embedded model, wherever it is served."""
    return is_embedded(model) or model.rstrip("/").rpartition("/")[2] in MODELS


def said_of(found: Vision) -> str | None:
    """What there is to say of a model that may be blind; None if it sees."""
    if not found.blind:
        return None
    if found.failed:
        lost = next(asked.shown for asked in found.asked if asked.error)
        return f"the model could not be asked whether it sees: {lost}"
    if found.mute:
        return f"the model could not be asked whether it sees: {MUTE}"
    return (
        f"the model seems blind: {found.right} of {len(found.asked)} questions about large digits "
        f"and colours right (guessing does as well with probability {found.chance:.2g}), answers "
        f"that changed with the image: {found.changed} of {found.pairs}; for example "
        f"{'; '.join(found.wrong[:2])}. Every number of this run would be that of a model that "
        "guesses: `saccade check policy` says more, canary=false does not ask"
    )


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
            [self._vision_test.answer(self._questions[place]) for place in places]
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
        drawn = self._vision_test.pairs(self._recipe.seed)
        return [question for _, pair in zip(range(PAIRS), drawn, strict=False) for question in pair]

    @cached_property
    def _vision_test(self) -> VisionTest:
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
