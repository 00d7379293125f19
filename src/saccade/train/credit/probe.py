"""Differential answer probes: a call is credited with what it changed about the answer.

For each turn that calls, the model is asked for its answer twice, greedily: before the call, after
the turn's own thought, and once more when it has seen the result. The difference of the two
outcomes (1, 0 or -1) is the gain of the call. The advantage of the episode's own outcome reaches a
turn that calls only if it has the sign of that gain: a call that changed nothing has no share in
a right answer, and a useful one none in a wrong one. There is no cost of a call.

After TACO (arXiv 2606.30251): its differential answer probe reward and its outcome-gated routing,
by their description in its abstract. The routing rule, the greedy probes and the common scale of
both parts are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from saccade.dialects.base import Dialect, Move, Seams
from saccade.render.qwen_vl import QwenVLRenderer, Rendered
from saccade.rewards import Reward
from saccade.train.advantages import Group
from saccade.train.credit.base import Credited
from saccade.train.recipe import AnswerProbe
from saccade.train.sample import TrainingSample, turns_end
from saccade.types import Force, Policy, Sampling, StopReason, Task, Trajectory, Turn

if TYPE_CHECKING:
    from saccade.runs.assemble import Assembly
    from saccade.train.collective import Collective, RoundPolicy


class Probe(NamedTuple):
    """A place in an episode where the model is asked for its answer."""

    so_far: Trajectory
    force: Force
    """What the turn begins with: a thought, if there was one, and the opening of an answer."""


class CallProbes(NamedTuple):
    """The two places of a call."""

    turn: int
    before: Probe
    after: Probe


class ProbeCredit:
    """Credits the calls of a turn with their gain."""

    def __init__(
        self,
        options: AnswerProbe,
        renderer: QwenVLRenderer,
        policy: RoundPolicy,
        assembly: Assembly,
        collective: Collective,
    ) -> None:
        """Prepare.

        Raises:
            ConfigError: no text of the dialect opens an answer.
        """
        self._options, self._renderer, self._policy = options, renderer, policy
        self._dialect, self._reward = assembly.environment.dialect, assembly.reward
        self._collective = collective
        self._dialect.seams.force("answer")

    def forced_move(self, member: int) -> Move | None:
        return None

    async def assign(
        self, groups_P: Sequence[Group], advantages_P_G: torch.Tensor, scale: float | None
    ) -> Credited:
        """Probe every call of an episode with a reward, and route its advantage."""
        gains_P_G = await self._gains(groups_P)
        samples_P_G = [
            [
                self._sample(trajectory, advantage, gains)
                for trajectory, advantage, gains in zip(
                    group.trajectories, advantages_G, gains_G, strict=True
                )
            ]
            for group, advantages_G, gains_G in zip(
                groups_P, advantages_P_G.tolist(), gains_P_G, strict=True
            )
        ]
        return Credited(samples_P_G, self._metrics(gains_P_G))

    async def _gains(self, groups_P: Sequence[Group]) -> list[list[dict[int, int]]]:
        """For each episode: turn -> what its calls changed about the answer."""
        gains_P_G: list[list[dict[int, int]]] = [
            [{} for _ in group.trajectories] for group in groups_P
        ]
        places = [
            (gains, group.task, probes)
            for group, gains_G in zip(groups_P, gains_P_G, strict=True)
            for trajectory, gains in zip(group.trajectories, gains_G, strict=True)
            if trajectory.score is not None
            for probes in call_probes(trajectory, self._dialect.seams)
        ]
        answers = await self._policy.run(
            [
                is_right(probe, task, self._policy, self._dialect, self._reward)
                for _, task, probes in places
                for probe in (probes.before, probes.after)
            ]
        )
        for (gains, _, probes), before, after in zip(
            places, answers[::2], answers[1::2], strict=True
        ):
            if (gain := gain_of(before, after)) is not None:
                gains[probes.turn] = gain
        return gains_P_G

    def _metrics(self, gains_P_G: Sequence[Sequence[Mapping[int, int]]]) -> dict[str, float]:
        known = [gain for gains_G in gains_P_G for gains in gains_G for gain in gains.values()]
        return {
            "probe/calls": float(self._collective.sum(len(known))),
            "probe/gain": float(self._collective.sum(sum(known))),
        }

    def _sample(
        self, trajectory: Trajectory, advantage: float, gains: Mapping[int, int]
    ) -> TrainingSample:
        rendered = self._renderer.render(trajectory, generation=False)
        advantages_T = routed(
            self._renderer, trajectory, rendered, advantage, gains, weight=self._options.weight
        )
        return TrainingSample(rendered, rendered.sampled, advantages_T)


def call_probes(trajectory: Trajectory, seams: Seams) -> Iterator[CallProbes]:
    """Where to ask, for each turn whose calls the model saw the results of."""
    for number, turn in enumerate(trajectory.turns):
        if turn.results and turn.observation:
            place = seams.after_thought(turn.completion.text, turn.prefix) or 0
            thought = turn.completion.text[:place]
            before, after = (
                _begun(trajectory, turns, turn.prefix) for turns in (number, number + 1)
            )
            yield CallProbes(
                number,
                Probe(before, _answer(seams, turn.prefix, thought)),
                Probe(after, _answer(seams, turn.prefix)),
            )


async def is_right(
    probe: Probe, task: Task, policy: Policy, dialect: Dialect, reward: Reward
) -> bool | None:
    """Whether the model's answer there is right; None if the judge is undecided."""
    begun = probe.so_far
    sampling = Sampling(
        max_tokens=begun.environment.limits.max_turn_tokens,
        stop=begun.environment.stop,
        force=probe.force,
    )
    completion = await policy.act(begun, sampling)
    action = dialect.read(completion, begun.prefix)
    stop = StopReason.NO_ACTION if action.answer is None else StopReason.ANSWER
    turn = Turn(prefix=begun.prefix, completion=completion, action=action)
    asked = begun.model_copy(update={"turns": (*begun.turns, turn), "stop": stop})
    verdict = (await reward.apply(task, asked)).verdict
    return None if verdict is None else verdict.correct


def gain_of(before: bool | None, after: bool | None) -> int | None:
    """What a call changed; None if that is not known."""
    return None if before is None or after is None else after - before


def routed(
    renderer: QwenVLRenderer,
    trajectory: Trajectory,
    rendered: Rendered,
    advantage: float,
    gains: Mapping[int, int],
    *,
    weight: float,
) -> list[float]:
    """(T,) advantage of each id.

    Args:
        renderer: The renderer of the model.
        trajectory: The episode.
        rendered: The same in tokens.
        advantage: The advantage of its outcome.
        gains: Turn -> gain of its calls; a turn that is not in it is trained by the outcome alone.
        weight: Weight of a gain.
    """
    advantages_T = [advantage] * len(rendered.ids)
    for number, gain in gains.items():
        shared = advantage if gain * advantage > 0 else 0.0
        start, end = (turns_end(renderer, trajectory, n) for n in (number, number + 1))
        advantages_T[start:end] = [weight * gain + shared] * (end - start)
    return advantages_T


def _begun(trajectory: Trajectory, turns: int, prefix: str) -> Trajectory:
    """The episode before its turn of that number, which is to start with `prefix`."""
    return trajectory.model_copy(
        update={
            "turns": trajectory.turns[:turns], "prefix": prefix, "stop": None, "score": None,
            "verdict": None,
        }
    )  # fmt: skip


def _answer(seams: Seams, prefix: str, thought: str = "") -> Force:
    """An answer after this thought. An empty one is closed where the turn opens it by itself.

    Raises:
        ConfigError: no text of the dialect opens an answer.
    """
    answer = seams.force("answer", prefix)
    inside = bool(answer.closing) and not answer.opening
    return Force(text=(thought or (answer.closing if inside else "")) + answer.text)
