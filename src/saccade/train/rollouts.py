"""The episodes of a step: played, measured and kept."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from saccade.errors import PluginError, ServiceError
from saccade.measures.summary import Facts, Pair, Summary, facts, summary_of
from saccade.policies.forced import FirstMove
from saccade.rollout import rollout
from saccade.runs.assemble import Assembly
from saccade.runs.diagnosis import RunWatch
from saccade.runs.folder import RunFolder
from saccade.runs.manifest import manifest_of
from saccade.train.advantages import Group
from saccade.train.checkpoints import ROLLOUTS
from saccade.train.collective import Collective, RoundPolicy
from saccade.train.credit.base import Credit
from saccade.train.families import family_metrics
from saccade.train.prompts import Prompt
from saccade.train.recipe import RLRecipe
from saccade.types import Policy, Trajectory

_log = logging.getLogger(__name__)

MOST_TOLD = 3
"""Number of errors that a message names, those that came most often."""


class Rollouts:
    """Plays groups of episodes with the policy that is trained."""

    def __init__(
        self,
        recipe: RLRecipe,
        policy: RoundPolicy,
        assembly: Assembly,
        credit: Credit,
        collective: Collective,
    ) -> None:
        self._recipe, self._policy = recipe, policy
        self._environment, self._reward = assembly.environment, assembly.reward
        self._credit, self._collective = credit, collective
        self._watch = RunWatch()

    async def play(self, prompts_P: Sequence[Prompt]) -> list[Group]:
        """Let the policy attempt each prompt `train.group` times, all side by side."""
        recipe, size = self._recipe, self._recipe.train.group
        attempts = [
            (prompt.task, prompt.epoch * size + member)
            for prompt in prompts_P
            for member in range(size)
        ]
        trajectories = await self._policy.run(
            [
                rollout(
                    self._player(sample % size),
                    self._environment,
                    task,
                    sample=sample,
                    seed=recipe.seed,
                    sampling=recipe.sampling,
                    reward=self._reward,
                )
                for task, sample in attempts
            ]
        )
        return [
            Group(prompt.task, trajectories[place * size : (place + 1) * size])
            for place, prompt in enumerate(prompts_P)
        ]

    def measure(self, groups_P: Sequence[Group]) -> dict[str, float]:
        """The numbers of the episodes of all processes that nothing was forced on.

        Raises:
            ServiceError: no episode of any process came to an end.
            PluginError: none has a score, and the reward raised on some: there is nothing to learn.
        """
        free = [(pair[0].family, facts(*pair)) for pair in self._free(groups_P)]
        measured: list[tuple[str, Facts]] = self._collective.gather_objects(free)
        whole = summary_of([episode for _, episode in measured])
        played = [trajectory for _, trajectory in _pairs(groups_P)]
        errors = Counter(self._collective.gather_objects([t.error for t in played if t.error]))
        most_often = "; ".join(error for error, _ in errors.most_common(MOST_TOLD))
        if not whole.episodes - whole.aborted:
            raise ServiceError(f"every episode of a step was aborted: {most_often}")
        if errors and not self._collective.sum(sum(t.score is not None for t in played)):
            raise PluginError(
                f"no episode of a step has a score: {most_often}; mend it and run the same "
                "command again, which goes on from the last checkpoint"
            )
        for trajectory in played:
            if (said := self._watch.count(trajectory)) is not None:
                _log.warning(said)
        return episode_metrics(whole) | family_metrics(measured)

    def keep(self, number: int, groups_P: Sequence[Group], advantages_P_G: torch.Tensor) -> None:
        """Keep the episodes under the number of the step that is first trained on them.

        Each is annotated with its `advantage` in its group, before it is shared out among tokens;
        None where it has no reward.
        """
        options, rank = self._recipe.train, self._collective.rank
        first = number * options.updates + 1
        last = first + options.updates > options.steps
        if not options.keep_every or (number % options.keep_every and not last):
            return
        name = f"step-{first:05d}" + (f"-{rank}" if self._collective.size > 1 else "")
        out = Path(self._recipe.out) / ROLLOUTS / name
        kept = manifest_of("rl", self._recipe, fingerprint=self._environment.fingerprint)
        with RunFolder(out, kept) as folder:
            values = advantages_P_G.flatten().tolist()
            for (task, trajectory), value in zip(_pairs(groups_P), values, strict=True):
                if (task.id, trajectory.sample) not in folder.done:
                    folder.append(task, _annotated(trajectory, value))

    def _player(self, member: int) -> Policy:
        move, dialect = self._credit.forced_move(member), self._environment.dialect
        if move is None:
            return self._policy
        return FirstMove(self._policy, dialect.seams.force(move, dialect.prefix))

    def _free(self, groups_P: Sequence[Group]) -> list[Pair]:
        """The episodes that nothing was forced on; all of them if there is none."""
        pairs, size = _pairs(groups_P), self._recipe.train.group
        forced_move = self._credit.forced_move
        return [pair for pair in pairs if forced_move(pair[1].sample % size) is None] or pairs


def episode_metrics(summary: Summary) -> dict[str, float]:
    """What is logged of the episodes of a step; what is not known is left out."""
    known = {
        "episodes": summary.episodes,
        "aborted": summary.aborted,
        "timeout": summary.timeout,
        "unscored": summary.unscored,
        "undecided": summary.undecided,
        "reward": summary.score,
        "accuracy": summary.accuracy,
        "accuracy_low": summary.low,
        "accuracy_high": summary.high,
        "scored": summary.scored,
        "tool_calls": summary.tool_calls,
        "tool_calls_std": summary.tool_calls_std,
        "tool_calls_ok": summary.tool_calls_ok,
        "tool_call_rate": summary.tool_call_rate,
        "turns": summary.turns,
        "response_tokens": summary.response_tokens,
        "mean_iou": summary.mean_iou,
        "coverage": summary.coverage,
        "thought_iou": summary.thought_iou,
        **{f"reward/{term}": value for term, value in summary.parts.items()},
        **{f"stops/{stop}": count for stop, count in summary.stops.items()},
    }
    return {name: float(value) for name, value in known.items() if value is not None}


def _annotated(trajectory: Trajectory, advantage: float) -> Trajectory:
    known = None if trajectory.score is None else advantage
    noted = {**trajectory.annotations, "advantage": known}
    return trajectory.model_copy(update={"annotations": noted})


def _pairs(groups_P: Sequence[Group]) -> list[Pair]:
    return [(group.task, trajectory) for group in groups_P for trajectory in group.trajectories]
