"""A policy that begins episodes as they were begun before, and then goes on by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from saccade.types import Completion, ModelInfo, Policy, Sampling, Trajectory


class Continued:
    """Repeats the first turns of recorded episodes; what follows is written by another policy."""

    def __init__(self, policy: Policy, begun: Mapping[str, Sequence[Completion]]) -> None:
        """Take the turns.

        Args:
            policy: What goes on; it stays open.
            begun: Task id -> the turns that are repeated, in every sample of the task.
        """
        self._policy, self._begun = policy, begun

    @property
    def info(self) -> ModelInfo:
        return self._policy.info

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The recorded turn, or behind the last of them a new one."""
        begun = self._begun.get(trajectory.task_id, ())
        turn = len(trajectory.turns)
        if turn < len(begun):
            return begun[turn]
        return await self._policy.act(trajectory, sampling)

    def count_tokens(self, trajectory: Trajectory) -> int | None:
        return self._policy.count_tokens(trajectory)

    async def close(self) -> None:
        """The policy stays open: others use it."""
