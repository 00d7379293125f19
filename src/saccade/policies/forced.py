"""A policy whose first turn must make a given move once its thought is closed."""

from __future__ import annotations

from saccade.types import Completion, Force, ModelInfo, Policy, Sampling, Trajectory


class FirstMove:
    """Forces the first move of another policy: a call, or an answer."""

    def __init__(self, policy: Policy, force: Force) -> None:
        self._policy, self._force = policy, force

    @property
    def info(self) -> ModelInfo:
        return self._policy.info

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next completion; that of the first turn goes on with the given text."""
        if not trajectory.turns:
            sampling = sampling.model_copy(update={"force": self._force})
        return await self._policy.act(trajectory, sampling)

    def count_tokens(self, trajectory: Trajectory) -> int | None:
        return self._policy.count_tokens(trajectory)

    async def close(self) -> None:
        """The policy stays open: others use it."""
