"""Differential answer probes: a call is worth what it changed about the answer.

For each turn that calls, the model is asked for its answer twice, greedily: before the call, after
the turn's own thought, and once more when it has seen the result. The difference of the two
outcomes (1, 0 or -1) is the value of the call. The advantage of the episode's own outcome reaches a
turn that calls only if it has the sign of that value: a call that changed nothing has no share in
a right answer, and a useful one none in a wrong one. There is no cost of a call.

After TACO (arXiv 2606.30251): its differential answer probe reward and its outcome-gated routing,
by their description in its abstract. The routing rule, the greedy probes and the common scale of
both parts are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydantic import Field

from saccade.dialects.base import Dialect
from saccade.render.qwen_vl import QwenVLRenderer, Rendered
from saccade.rewards import Reward
from saccade.types import Force, Policy, Record, Sampling, StopReason, Task, Trajectory, Turn


class AnswerProbe(Record):
    """The `train.probe` section of a run file."""

    weight: float = Field(default=1.0, gt=0)
    """Of the value of a call, beside an advantage in deviations of the group."""
    answer_text: str = "<answer>"


class Question(NamedTuple):
    """A place in an episode where the model is asked for its answer."""

    so_far: Trajectory
    force: str
    """What the turn begins with."""


class Around(NamedTuple):
    """The two places of a call."""

    turn: int
    before: Question
    after: Question


def around_calls(trajectory: Trajectory, options: AnswerProbe) -> Iterator[Around]:
    """Where to ask, for each turn whose calls the model saw the results of."""
    for number, turn in enumerate(trajectory.turns):
        if turn.results and turn.observation:
            yield Around(
                number,
                Question(_first(trajectory, number), _thought(turn) + options.answer_text),
                Question(_first(trajectory, number + 1), options.answer_text),
            )


async def is_right(
    question: Question, task: Task, policy: Policy, dialect: Dialect, reward: Reward
) -> bool | None:
    """Whether the model's answer there is right; None if the judge is undecided."""
    begun = question.so_far
    sampling = Sampling(
        max_tokens=begun.environment.limits.max_turn_tokens,
        stop=begun.environment.stop,
        force=Force(text=question.force),
    )
    completion = await policy.act(begun, sampling)
    action = dialect.read(completion, begun.prefix)
    stop = StopReason.NO_ACTION if action.answer is None else StopReason.ANSWER
    turn = Turn(prefix=begun.prefix, completion=completion, action=action)
    asked = begun.model_copy(update={"turns": (*begun.turns, turn), "stop": stop})
    verdict = (await reward.apply(task, asked)).verdict
    return None if verdict is None else verdict.correct


def value_of(before: bool | None, after: bool | None) -> int | None:
    """What a call changed; None if that is not known."""
    return None if before is None or after is None else after - before


def routed(
    renderer: QwenVLRenderer,
    trajectory: Trajectory,
    rendered: Rendered,
    outcome: float,
    values: Mapping[int, int],
    options: AnswerProbe,
) -> list[float]:
    """The worth of each id.

    Args:
        renderer: Of the model.
        trajectory: The episode.
        rendered: The same in tokens.
        outcome: Its advantage.
        values: Turn -> value of its calls; what is missing is trained by the outcome alone.
        options: Of the run.
    """
    worth = [outcome] * len(rendered.ids)
    for number, value in values.items():
        shared = outcome if value * outcome > 0 else 0.0
        start, end = (len(_ids(renderer, trajectory, turns)) for turns in (number, number + 1))
        worth[start:end] = [options.weight * value + shared] * (end - start)
    return worth


def _ids(renderer: QwenVLRenderer, trajectory: Trajectory, turns: int) -> list[int]:
    return renderer.render(_first(trajectory, turns), generation=False).ids


def _first(trajectory: Trajectory, turns: int) -> Trajectory:
    """The episode before its turn of that number."""
    return trajectory.model_copy(
        update={"turns": trajectory.turns[:turns], "stop": None, "score": None, "verdict": None}
    )


def _thought(turn: Turn) -> str:
    """The opening of a turn up to the end of its thought."""
    text = turn.completion.text
    thought, closing, _ = text.partition("</think>")
    return thought + closing if closing and text.startswith("<think>") else ""
