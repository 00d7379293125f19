"""The one place where a run file becomes a policy, an environment and a reward that fit together.

played = assemble(recipe)           # warns where the environment is not what the model knows
try:
await rollout(played.policy, played.environment, task, reward=played.reward)
finally:
await played.close()
"""

from __future__ import annotations

import warnings
from contextlib import AsyncExitStack
from typing import NamedTuple

from saccade.dialects import prompt_warning
from saccade.env import Environment
from saccade.recipe import Recipe, make_environment, make_policy, make_reward
from saccade.rewards import Reward
from saccade.types import ModelInfo, Policy


class Assembly(NamedTuple):
    """What plays and scores the episodes of a run."""

    policy: Policy
    environment: Environment
    reward: Reward

    async def close(self) -> None:
        """Give back models, connections, worker processes and what tools have started."""
        async with AsyncExitStack() as stack:  # all of them, whichever fails
            for part in (self.reward, self.environment, self.policy):
                stack.push_async_callback(part.close)


def assemble(recipe: Recipe, *, policy: Policy | None = None) -> Assembly:
    """The parts of a run file, checked against each other.

    Args:
        recipe: The run file.
        policy: Acts instead of the policy that the run file names: a model in training.

    Raises:
        ConfigError: a part that is missing or cannot work.

    Warns:
        UserWarning: for each of `mismatches`.
    """
    environment = make_environment(recipe)
    reward = make_reward(recipe, training=policy is not None)
    acting = make_policy(recipe) if policy is None else policy
    for mismatch in mismatches(acting.info, environment):
        warnings.warn(mismatch, stacklevel=2)
    return Assembly(acting, environment, reward)


def mismatches(info: ModelInfo, environment: Environment) -> list[str]:
    """What the environment says otherwise than a model was made for.

    A local model has a native box frame and a size factor; one that was trained here knows the
    environments that it was trained in; a released checkpoint has a prompt, and is known by its
    name.
    """
    found, record = [*_frame(info, environment), *_factor(info, environment)], environment.record
    if info.fingerprints and record.fingerprint not in info.fingerprints:
        found.append(
            f"{info.name} was trained in the environment {', '.join(info.fingerprints)}, this one "
            f"is {record.fingerprint}: its dialect, prompts, tools, limits or pixel budgets differ"
        )
    warning = prompt_warning(info.name, environment.dialect)
    return found + ([warning] if warning else [])


def unusable(info: ModelInfo, environment: Environment) -> list[str]:
    """Those with which every box is misread, or images have sizes that the model does not take."""
    record, factor = environment.record, info.factor or 1
    fits = not record.view.factor % factor and not record.observation.factor % factor
    return [*_frame(info, environment), *([] if fits else _factor(info, environment))]


def _frame(info: ModelInfo, environment: Environment) -> list[str]:
    coords = environment.record.coords
    if info.coords in (None, coords):
        return []
    return [
        f"the model was trained to write boxes in the frame {info.coords.value!r}, the environment "
        f"reads them as {coords.value!r}: set environment.coords={info.coords.value}"
    ]


def _factor(info: ModelInfo, environment: Environment) -> list[str]:
    record = environment.record
    if info.factor is None or {record.view.factor, record.observation.factor} == {info.factor}:
        return []
    return [
        f"the model takes image sides that are multiples of {info.factor}: set "
        f"environment.view.factor={info.factor} (and environment.observation, if given)"
    ]
