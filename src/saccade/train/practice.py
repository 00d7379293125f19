"""The episodes of a batch: asked, played, scored, selected, measured and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from accelerate.utils import gather_object

from saccade.errors import ServiceError
from saccade.measures import Facts, Pair, Summary, facts, summary_of
from saccade.recipe import make_environment, make_reward
from saccade.render.qwen_vl import QwenVLRenderer, Rendered
from saccade.rollout import rollout
from saccade.run import manifest
from saccade.store import RunFolder
from saccade.train.feed import Feed
from saccade.train.groups import advantages, deviations, learned_turns, scores, selected
from saccade.train.grpo import Lesson
from saccade.train.lockstep import LockStep
from saccade.train.options import RLRecipe
from saccade.types import Trajectory

ROLLOUTS = "rollouts"


class Peers(NamedTuple):
    """The processes that train together."""

    rank: int = 0
    size: int = 1


class Log(Protocol):
    """Takes a number of the step."""

    def __call__(self, name: str, value: float) -> None: ...


class Practice:
    """Makes this process's lessons of a batch; a function of the recipe and its number."""

    def __init__(
        self,
        recipe: RLRecipe,
        renderer: QwenVLRenderer,
        policy: LockStep,
        *,
        log: Log,
        peers: Peers,
        agrees_on: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        """Make the environment and the reward of a recipe.

        Args:
            recipe: What to train.
            renderer: Of the model.
            policy: Plays the episodes.
            log: Takes what was measured.
            peers: Who else trains.
            agrees_on: Concatenates a tensor of each process; a collective call.
        """
        self._recipe, self._renderer, self._policy = recipe, renderer, policy
        self._log, self._peers, self._gather = log, peers, agrees_on
        self.environment = make_environment(recipe)
        self._reward = make_reward(recipe)
        self._feed = Feed(recipe)

    async def lessons(self, number: int) -> list[Lesson]:
        """The lessons of a batch.

        Raises:
            ServiceError: no episode of any process came to an end.
        """
        options = self._recipe.train
        pairs = await self._episodes(number)
        trajectories = [trajectory for _, trajectory in pairs]
        values = scores(trajectories, options.group)
        worth = advantages(values, options.scale, batch=self._batch_deviation(values))
        slots = options.prompts // self._peers.size
        chosen = selected(values, slots, options.select)
        spare = [place for place in range(len(values)) if place not in chosen]
        self._measure(pairs, values, len(chosen))
        self._keep(number, pairs)
        lessons = []
        for place in [*chosen, *spare][:slots]:
            for member in range(options.group):
                trajectory = trajectories[place * options.group + member]
                turns = 0
                if place in chosen:
                    turns = learned_turns(trajectory, options.mask, options.failures)
                rendered = self._renderer.render(trajectory, generation=False)
                learned = _learned(self._renderer, trajectory, rendered, turns)
                lessons.append(Lesson(rendered, learned, float(worth[place, member])))
        return lessons

    async def close(self) -> None:
        """Close connections of the reward."""
        await self._reward.close()

    async def _episodes(self, number: int) -> list[Pair]:
        recipe, options = self._recipe, self._recipe.train
        asked = options.prompts * options.oversample
        own = asked // self._peers.size
        questions = self._feed.take(number * asked + self._peers.rank * own, own)
        attempts = [
            (question.task, question.epoch * options.group + member)
            for question in questions
            for member in range(options.group)
        ]
        trajectories = await self._policy.run(
            [
                rollout(
                    self._policy,
                    self.environment,
                    task,
                    sample=sample,
                    seed=recipe.seed,
                    sampling=recipe.sampling,
                    reward=self._reward,
                )
                for task, sample in attempts
            ]
        )
        return [(task, t) for (task, _), t in zip(attempts, trajectories, strict=True)]

    def _batch_deviation(self, values: torch.Tensor) -> float:
        if self._recipe.train.scale != "batch":
            return 1.0
        return float(deviations(self._gather(values.flatten()).view(1, -1)))

    def _measure(self, pairs: Sequence[Pair], values: torch.Tensor, learned: int) -> None:
        episodes: list[Facts] = gather_object([facts(*pair) for pair in pairs])
        scored = (~values.isnan()).sum(1)
        groups = torch.tensor(
            [len(values), learned, int((scored < 2).sum()), int((deviations(values) == 0).sum())]
        )
        total = self._gather(groups).view(-1, 4).sum(0).tolist()
        measured = summary_of(episodes)
        if not measured.episodes - measured.aborted:
            errors = {t.error for _, t in pairs if t.error}
            raise ServiceError(f"every episode of a step was aborted: {'; '.join(sorted(errors))}")
        for name, value in numbers(measured).items():
            self._log(name, value)
        for name, count in zip(("asked", "learned", "skipped", "flat"), total, strict=True):
            self._log(f"groups/{name}", count)

    def _keep(self, number: int, pairs: Sequence[Pair]) -> None:
        """Keep the episodes under the number of the step that first learns from them."""
        options = self._recipe.train
        first = number * options.updates + 1
        last = first + options.updates > options.steps
        if not options.keep_every or (number % options.keep_every and not last):
            return
        name = f"step-{first:05d}" + (f"-{self._peers.rank}" if self._peers.size > 1 else "")
        out = Path(self._recipe.out) / ROLLOUTS / name
        with RunFolder(out, manifest(self._recipe, self.environment)) as folder:
            for task, trajectory in pairs:
                if (task.id, trajectory.sample) not in folder.done:
                    folder.append(task, trajectory)


def numbers(measured: Summary) -> dict[str, float]:
    """What is logged of the episodes of a step; what is not known is left out."""
    known = {
        "episodes": measured.episodes,
        "aborted": measured.aborted,
        "timeout": measured.timeout,
        "unscored": measured.unscored,
        "reward": measured.score,
        "accuracy": measured.accuracy,
        "calls": measured.calls,
        "calls_ok": measured.calls_ok,
        "call_rate": measured.call_rate,
        "turns": measured.turns,
        "response_tokens": measured.response_tokens,
        "iou": measured.iou,
        "coverage": measured.coverage,
        **{f"reward/{term}": value for term, value in measured.parts.items()},
        **{f"stops/{stop}": count for stop, count in measured.stops.items()},
    }
    return {name: float(value) for name, value in known.items() if value is not None}


def _learned(
    renderer: QwenVLRenderer, trajectory: Trajectory, rendered: Rendered, turns: int
) -> list[bool]:
    """Sampled ids of the first turns."""
    if turns == len(trajectory.turns):
        return rendered.sampled
    begun = trajectory.model_copy(update={"turns": trajectory.turns[:turns]})
    end = len(renderer.render(begun, generation=False).ids) if turns else 0
    return [sampled and place < end for place, sampled in enumerate(rendered.sampled)]
