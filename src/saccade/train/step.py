"""A step of GRPO, from prompts to what TRL is given to train on.

`RLStep.sample` is the algorithm; what it calls says what it does in its name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from saccade.canary.warning import TrainingCanary
from saccade.render.qwen_vl import QwenVLRenderer
from saccade.runs.assemble import Assembly, assemble
from saccade.train.advantages import (
    advantages,
    filled_up,
    group_metrics,
    group_rewards,
    select_groups,
    shared_scale,
)
from saccade.train.collective import Collective, RoundPolicy
from saccade.train.credit.base import Credit, OutcomeCredit
from saccade.train.credit.counterfactual import CounterfactualCredit
from saccade.train.credit.probe import ProbeCredit
from saccade.train.families import Families, attempted
from saccade.train.generator import Generator
from saccade.train.prompts import Prompt, PromptStream
from saccade.train.recipe import RLRecipe
from saccade.train.rollouts import Rollouts
from saccade.train.sample import TrainingBatch, TrainingSample, filler, masked
from saccade.types import Trajectory


class RLStep:
    """Makes this process's part of each batch: a function of the recipe and its number."""

    def __init__(
        self,
        recipe: RLRecipe,
        renderer: QwenVLRenderer,
        generator: Generator,
        collective: Collective,
        *,
        history: Iterable[Mapping[str, float]] = (),
    ) -> None:
        """Put together what plays and scores the episodes of a recipe.

        Args:
            recipe: What to train.
            renderer: The renderer of the model.
            generator: Writes the turns of the episodes.
            collective: The processes that train together.
            history: The metrics of the steps that were trained on before, of a run that goes on.

        Raises:
            ConfigError: a part of the recipe that cannot work.

        Warns:
            UserWarning: the environment is another one than the model knows.
        """
        self._recipe, self._renderer, self._collective = recipe, renderer, collective
        timeout_s = recipe.train.collective_timeout_s
        policy = RoundPolicy(generator, collective, timeout_s=timeout_s)
        self._assembly = assemble(recipe, policy=policy)
        self._families = Families(recipe.train, history)
        self._prompts = PromptStream(recipe, recipe.train.shuffle, dropped=self._families.dropped)
        self._credit = _credit(recipe, renderer, policy, self._assembly, collective)
        self._rollouts = Rollouts(recipe, policy, self._assembly, self._credit, collective)
        self._canary = TrainingCanary(
            recipe,
            policy,
            self._assembly.environment,
            collective,
            model=recipe.model,
            updates=recipe.train.updates,
            every=recipe.train.canary_every,
        )
        self._runner = asyncio.Runner()

    @property
    def fingerprint(self) -> str:
        """Of the environment that the model is trained in."""
        return self._assembly.environment.fingerprint

    @property
    def dropped(self) -> dict[str, int]:
        """Families that are no longer drawn -> the last step in which they were."""
        return self._families.steps_of_drops()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._runner:
            self._runner.run(self._assembly.close())

    def training_batch(self, number: int) -> TrainingBatch:
        """The batch of that number; TRL asks for it when it has used up the last one.

        Raises:
            ServiceError: no episode of any process came to an end.
            PluginError: the reward raised, and no episode has a score.
        """
        return self._runner.run(self.sample(number))

    async def sample(self, number: int) -> TrainingBatch:
        """Draw prompts, roll out groups, turn rewards into advantages, choose what is trained on.

        Axes: _P prompts of this process, _B prompts of all processes, _G members of a group.

        Returns:
            What TRL computes its loss of (`grpo`).
        """
        options = self._recipe.train

        prompts_P = self._draw(number)
        groups_P = await self._rollouts.play(prompts_P)
        rewards_P_G = group_rewards(groups_P)
        rewards_B_G = self._collective.gather(rewards_P_G)
        scale = shared_scale(rewards_B_G, options.scale)
        advantages_P_G = advantages(rewards_P_G, scale)
        self._rollouts.keep(number, groups_P, advantages_P_G)
        metrics = self._rollouts.measure(groups_P)  # after: what cannot be measured can be seen
        metrics |= self._families.record(
            number, self._collective.gather_objects(attempted(groups_P))
        )
        metrics |= await self._canary.measure(number)

        # TRL wants as many samples every time: groups that were not chosen fill the batch up.
        size = options.prompts // self._collective.size
        chosen = select_groups(rewards_P_G, options.select, at_most=size)
        batch = filled_up(chosen, groups=len(groups_P), size=size)
        metrics |= group_metrics(rewards_B_G, trained=self._collective.sum(len(chosen)))

        credited = await self._credit.assign(
            [groups_P[place] for place in batch], advantages_P_G[batch], scale
        )
        samples = [
            self._masked(sample, trajectory) if place in chosen else filler(sample)
            for place, samples_G in zip(batch, credited.samples_P_G, strict=True)
            for trajectory, sample in zip(groups_P[place].trajectories, samples_G, strict=True)
        ]
        return TrainingBatch(samples, metrics | credited.metrics)

    def _draw(self, number: int) -> list[Prompt]:
        """This process's share of the prompts of a batch."""
        options, collective = self._recipe.train, self._collective
        sampled = options.prompts * options.oversample
        own = sampled // collective.size
        return self._prompts.take(number * sampled + collective.rank * own, own)

    def _masked(self, sample: TrainingSample, trajectory: Trajectory) -> TrainingSample:
        options = self._recipe.train
        return masked(
            sample, trajectory, self._renderer, masks=options.mask, failures=options.failures
        )


def _credit(
    recipe: RLRecipe,
    renderer: QwenVLRenderer,
    policy: RoundPolicy,
    assembly: Assembly,
    collective: Collective,
) -> Credit:
    options = recipe.train
    if options.counterfactual is not None:
        return CounterfactualCredit(options.counterfactual, renderer, assembly.environment)
    if options.probe is not None:
        return ProbeCredit(options.probe, renderer, policy, assembly, collective)
    return OutcomeCredit(renderer)
