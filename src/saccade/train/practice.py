"""The episodes of a batch: asked, played, scored, selected, measured and kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from accelerate.utils import gather_object

from saccade.dialects.base import Move
from saccade.errors import ConfigError, ServiceError
from saccade.measures import Facts, Pair, Summary, facts, summary_of
from saccade.policies.forced import FirstMove
from saccade.recipe import make_environment, make_reward
from saccade.render.qwen_vl import QwenVLRenderer
from saccade.rollout import rollout
from saccade.runs.folder import RunFolder
from saccade.runs.manifest import manifest_of
from saccade.train import probe
from saccade.train.counterfactual import member_of, spread, weigh
from saccade.train.feed import Feed
from saccade.train.groups import (
    EPSILON,
    advantages,
    deviations,
    fatal_turn,
    learned_turns,
    scores,
    selected,
)
from saccade.train.grpo import Lesson
from saccade.train.lockstep import LockStep
from saccade.train.options import RLRecipe
from saccade.types import Policy, Trajectory

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
        if self.environment.dialect.prefix and (recipe.train.counterfactual or recipe.train.probe):
            raise ConfigError(
                "train: counterfactual and probe put text after the thought of a turn, which they "
                f"cannot find where the dialect ({self.environment.dialect.name}) opens it"
            )
        self._reward = make_reward(recipe)
        self._feed = Feed(recipe, recipe.train.shuffle)

    async def lessons(self, number: int) -> list[Lesson]:
        """The lessons of a batch.

        Raises:
            ServiceError: no episode of any process came to an end.
        """
        options = self._recipe.train
        pairs = await self._episodes(number)
        trajectories = [trajectory for _, trajectory in pairs]
        values = scores(trajectories, options.group)
        batch = self._batch_deviation(values)
        worth = advantages(values, options.scale, batch=batch)
        over = {"group": None, "batch": batch + EPSILON, "none": 1.0}[options.scale]
        slots = options.prompts // self._peers.size
        chosen = selected(values, slots, options.select)
        spare = [place for place in range(len(values)) if place not in chosen]
        self._measure(pairs, values, len(chosen))
        self._keep(number, pairs)
        changed = await self._probe(pairs)
        lessons: list[Lesson] = []
        for place in [*chosen, *spare][:slots]:
            members = slice(place * options.group, (place + 1) * options.group)
            group = trajectories[members]
            learned = [
                learned_turns(t, options.mask, options.failures) if place in chosen else 0
                for t in group
            ]
            lessons += self._lessons_of(
                group, learned, worth[place].tolist(), changed[members], over
            )
        return lessons

    async def close(self) -> None:
        """Close connections of the reward."""
        await self._reward.close()

    def _lessons_of(
        self,
        group: Sequence[Trajectory],
        turns: Sequence[int],
        worth: Sequence[float],
        changed: Sequence[Mapping[int, int]],
        over: float | None,
    ) -> Iterator[Lesson]:
        """Of a group; `turns` of each member are learned from, scores divided by `over`."""
        options, renderer = self._recipe.train, self._renderer
        forced = options.counterfactual
        rendered = [renderer.render(t, generation=False) for t in group]
        weighed = None
        if forced is not None:
            members = [member_of(renderer, t, forced) for t in group]
            weighed = weigh(members, forced.decision, deviation=over)
        for number, (trajectory, item) in enumerate(zip(group, rendered, strict=True)):
            learned, values = item.sampled, [worth[number]] * len(item.ids)
            if forced is not None and weighed is not None:
                values, learned = spread(renderer, trajectory, item, weighed[number], forced)
            elif options.probe is not None:
                values = probe.routed(
                    renderer, trajectory, item, worth[number], changed[number], options.probe
                )
            if "tool_failure" in options.mask and fatal_turn(trajectory, options.failures):
                values = [max(value, 0.0) for value in values]
            end = _end_of(renderer, trajectory, turns[number])
            learned = [known and at < end for at, known in enumerate(learned)]
            yield Lesson(item, learned, values)

    async def _probe(self, pairs: Sequence[Pair]) -> list[dict[int, int]]:
        """For each episode: turn -> what its calls changed about the answer."""
        changed: list[dict[int, int]] = [{} for _ in pairs]
        options = self._recipe.train.probe
        if options is None:
            return changed
        places = [
            (number, around)
            for number, (_, trajectory) in enumerate(pairs)
            if trajectory.score is not None
            for around in probe.around_calls(trajectory, options)
        ]
        told = await self._policy.run(
            [
                probe.is_right(
                    question, pairs[number][0], self._policy, self.environment.dialect, self._reward
                )
                for number, around in places
                for question in (around.before, around.after)
            ]
        )
        for (number, around), before, after in zip(places, told[::2], told[1::2], strict=True):
            if (value := probe.value_of(before, after)) is not None:
                changed[number][around.turn] = value
        values = torch.tensor([v for turns in changed for v in turns.values()], dtype=torch.float32)
        counts = torch.stack([torch.tensor(float(len(values))), values.sum()])
        calls, gain = self._gather(counts).view(-1, 2).sum(0).tolist()
        self._log("probe/calls", calls)
        self._log("probe/gain", gain)
        return changed

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
                    self._player(sample % options.group),
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

    def _player(self, member: int) -> Policy:
        options = self._recipe.train.counterfactual
        if options is None or not options.force(member):
            return self._policy
        dialect = self.environment.dialect
        move: Move = "call" if member < options.call else "answer"
        return FirstMove(self._policy, dialect.seams.force(move, dialect.prefix))

    def _own_accord(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The episodes that nothing was forced on; all of them if there is none."""
        options = self._recipe.train.counterfactual
        if options is None:
            return list(pairs)
        group = self._recipe.train.group
        return [p for p in pairs if not options.force(p[1].sample % group)] or list(pairs)

    def _batch_deviation(self, values: torch.Tensor) -> float:
        if self._recipe.train.scale != "batch":
            return 1.0
        return float(deviations(self._gather(values.flatten()).view(1, -1)))

    def _measure(self, pairs: Sequence[Pair], values: torch.Tensor, learned: int) -> None:
        own = [(pair[0].family, facts(*pair)) for pair in self._own_accord(pairs)]
        told: list[tuple[str, Facts]] = gather_object(own)
        scored = (~values.isnan()).sum(1)
        groups = torch.tensor(
            [len(values), learned, int((scored < 2).sum()), int((deviations(values) == 0).sum())]
        )
        total = self._gather(groups).view(-1, 4).sum(0).tolist()
        measured = summary_of([episode for _, episode in told])
        if not measured.episodes - measured.aborted:
            errors = {t.error for _, t in pairs if t.error}
            raise ServiceError(f"every episode of a step was aborted: {'; '.join(sorted(errors))}")
        for name, value in numbers(measured).items():
            self._log(name, value)
        families = sorted({family for family, _ in told})
        for family in families if len(families) > 1 else ():
            part = summary_of([episode for name, episode in told if name == family])
            for name in ("accuracy", "tool_call_rate"):
                if (value := getattr(part, name)) is not None:
                    self._log(f"{name}/{family}", value)
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
        kept = manifest_of("rl", self._recipe, fingerprint=self.environment.fingerprint)
        with RunFolder(out, kept) as folder:
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
        "tool_calls": measured.tool_calls,
        "tool_calls_ok": measured.tool_calls_ok,
        "tool_call_rate": measured.tool_call_rate,
        "turns": measured.turns,
        "response_tokens": measured.response_tokens,
        "mean_iou": measured.mean_iou,
        "coverage": measured.coverage,
        "thought_iou": measured.thought_iou,
        **{f"reward/{term}": value for term, value in measured.parts.items()},
        **{f"stops/{stop}": count for stop, count in measured.stops.items()},
    }
    return {name: float(value) for name, value in known.items() if value is not None}


def _end_of(renderer: QwenVLRenderer, trajectory: Trajectory, turns: int) -> int:
    """Ids of the first turns, with what comes before them; none without turns."""
    if turns == len(trajectory.turns) or not turns:
        return sys.maxsize if turns else 0
    begun = trajectory.model_copy(update={"turns": trajectory.turns[:turns]})
    return len(renderer.render(begun, generation=False).ids)
