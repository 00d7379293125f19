"""A policy that writes a turn once for all arms: they differ in what follows, not in how it began.

`own_box`, `wrong_box` and `true_box` have the same first turn, and `own_box` often sees the crop
that `agent` saw. A turn depends on what was shown, on what was written, and on the sampling, whose
noise belongs to seed, task, sample and turn; so what was written once is what would be written
again, and the arms are compared on the very same call.
"""

from __future__ import annotations

from collections.abc import Hashable

from saccade.cache import ByteCache
from saccade.types import Completion, ModelInfo, Policy, Sampling, Trajectory

CACHE_BYTES = 64 * 2**20
"""Bytes of turns that are kept."""

_TOKEN_BYTES = 64
"""An id and its log-probability as Python holds them."""


class SharedTurns:
    """Writes the turns of another policy, each once, while they are kept."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._turns: ByteCache[Hashable, Completion] = ByteCache(CACHE_BYTES, _bytes_of)

    @property
    def info(self) -> ModelInfo:
        return self._policy.info

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The turn that was written when all was the same, or a new one."""
        written = tuple(
            (turn.prefix, turn.completion.text, turn.completion.token_ids, turn.observation)
            for turn in trajectory.turns
        )
        limits = trajectory.environment.limits
        key = (trajectory.prompt, written, trajectory.prefix, limits, sampling)
        completion = self._turns.get(key)
        if completion is None:
            completion = await self._policy.act(trajectory, sampling)
            self._turns.put(key, completion)
        return completion

    def count_tokens(self, trajectory: Trajectory) -> int | None:
        return self._policy.count_tokens(trajectory)

    async def close(self) -> None:
        """The policy stays open: others use it."""


def _bytes_of(completion: Completion) -> int:
    return len(completion.text) + _TOKEN_BYTES * len(completion.token_ids or ())
