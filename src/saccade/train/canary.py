"""Whether a model still sees, every so many steps of its training: the metric `visual_accuracy`.

A model that lost its images, to a truncated prompt or to an engine that drops them, is trained on
without an error. It is asked a few questions about what is drawn large, the same ones each time and
greedily, between two batches of episodes. No generator of the training is drawn from, so that the
weights are the same to the bit with and without it.
"""

from __future__ import annotations

import logging
from functools import cached_property

from saccade.canary.probe import Probe
from saccade.canary.vision import Asked, Drawn, Question, Sitter, Vision, World
from saccade.canary.warning import is_wanted, knows_the_world, said_of
from saccade.env import Environment
from saccade.train.collective import Collective, RoundPolicy
from saccade.train.recipe import RLRecipe
from saccade.types import Sampling

_log = logging.getLogger(__name__)

PAIRS = 4
"""Number of pairs of questions that differ in nothing but the image."""
METRIC = "visual_accuracy"


class Canary:
    """Asks the model that is trained."""

    def __init__(
        self,
        recipe: RLRecipe,
        policy: RoundPolicy,
        environment: Environment,
        collective: Collective,
    ) -> None:
        self._recipe, self._policy = recipe, policy
        self._environment, self._collective = environment, collective

    async def measure(self, number: int) -> dict[str, float]:
        """The share of right answers before a batch; nothing where it is not due.

        Every process makes the call. At the first step a model that seems blind is named.
        """
        if not self._is_due(number):
            return {}
        found = Vision(tuple(await self._ask()))
        if number == 0 and self._collective.rank == 0 and (said := said_of(found)) is not None:
            _log.warning(said)
        heard = [asked for asked in found.asked if not asked.error]
        if not heard:
            return {}
        return {METRIC: sum(asked.correct for asked in heard) / len(heard)}

    async def _ask(self) -> list[Asked]:
        """The questions of all processes with their answers; each asks its share."""
        places = range(self._collective.rank, len(self._questions), self._collective.size)
        own = await self._policy.run(
            [self._sitter.answer(self._questions[place]) for place in places]
        )
        told = [(place, *one[1:]) for place, one in zip(places, own, strict=True)]
        return [
            Asked(self._questions[place], answer, shown, error)
            for place, answer, shown, error in sorted(self._collective.gather_objects(told))
        ]

    def _is_due(self, number: int) -> bool:
        options = self._recipe.train
        step, every = number * options.updates, options.canary_every
        if not self._is_wanted:
            return False
        return step == 0 or bool(every and step // every > (step - options.updates) // every)

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
        if of_the_world or knows_the_world(recipe.model):
            return World(self._policy, self._environment, sampling=sampling)
        return Drawn(Probe(self._policy, recipe, at_once=2 * PAIRS))
