"""Episodes that go on in step, so that every process makes the same number of generation calls.

Where weights are sharded or a server is shared, generating is a collective call: a process that
makes one call fewer than the others leaves them waiting for ever. So a round begins when each
episode has either asked for its next turn or ended; then all processes agree whether any has work
left, and each makes one call, an empty one if it has none. Between two rounds the tools of all
episodes run at the same time.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from saccade.errors import ServiceError
from saccade.policies.hf import TurnRequest
from saccade.types import Completion, ModelInfo, Sampling, Trajectory

T = TypeVar("T")

_log = logging.getLogger(__name__)

Asks = Callable[[Trajectory, Sampling], TurnRequest]
Counts = Callable[[Trajectory], int]
Writes = Callable[[Sequence[TurnRequest]], list[Completion]]
Agrees = Callable[[bool], bool]


@dataclass
class _Waiting:
    request: TurnRequest
    future: asyncio.Future[Completion] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class LockStep:
    """A policy for episodes that are given to `run`."""

    def __init__(
        self, asks: Asks, counts: Counts, writes: Writes, agrees: Agrees, *, patience: float
    ) -> None:
        """Prepare for any number of runs.

        Args:
            asks: From a trajectory to what is to be written next.
            counts: Length of its next prompt in tokens.
            writes: One generation call, in a thread of its own; may be called with nothing.
            agrees: Whether any process says yes; a collective call.
            patience: Seconds after which what has not come back is named.
        """
        self._asks, self._counts, self._writes, self._agrees = asks, counts, writes, agrees
        self._patience = patience
        self._waiting: list[_Waiting] = []
        self._under_way: dict[asyncio.Task[object] | None, str] = {}
        self._changed = asyncio.Event()

    @property
    def info(self) -> ModelInfo:
        """The trained model is known to its trainer."""
        return ModelInfo()

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next turn, in the next round.

        Raises:
            ContextOverflow: the prompt fills the context.
        """
        waiting = _Waiting(self._asks(trajectory, sampling))
        self._waiting.append(waiting)
        self._under_way.pop(asyncio.current_task(), None)
        self._changed.set()
        completion = await waiting.future
        late = f"{trajectory.id} after turn {len(trajectory.turns) + 1}"
        self._under_way[asyncio.current_task()] = late
        return completion

    def count_tokens(self, trajectory: Trajectory) -> int:
        return self._counts(trajectory)

    async def close(self) -> None:
        """Nothing to give back."""

    async def run(self, episodes: Sequence[Coroutine[None, None, T]]) -> tuple[T, ...]:
        """Let episodes, or parts of them, whose policy this is run to their end.

        Raises:
            ServiceError: a generation did not come back.
        """
        self._changed = asyncio.Event()
        tasks = [asyncio.create_task(episode) for episode in episodes]
        for task in tasks:
            task.add_done_callback(lambda _: self._changed.set())
        try:
            while True:
                await self._until_all_wait(tasks)
                if not self._agrees(bool(self._waiting)):
                    return tuple(task.result() for task in tasks)
                batch, self._waiting = self._waiting, []
                await self._one_round(batch)
        finally:
            self._waiting.clear()
            self._under_way.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_all_wait(self, tasks: Sequence[asyncio.Task[T]]) -> None:
        while True:
            self._changed.clear()
            self._waiting = [w for w in self._waiting if not w.future.done()]  # timed out
            for task in tasks:
                if task.done():
                    task.result()  # an error in one ends the run
                    self._under_way.pop(task, None)
            if sum(not task.done() for task in tasks) <= len(self._waiting):
                return
            try:
                await asyncio.wait_for(self._changed.wait(), self._patience)
            except TimeoutError:
                late = ", ".join(self._under_way.values())
                _log.warning("tools have not come back for %g s: %s", self._patience, late)

    async def _one_round(self, batch: list[_Waiting]) -> None:
        requests = [waiting.request for waiting in batch]
        try:
            completions = await asyncio.wait_for(_apart(self._writes, requests), self._patience)
        except TimeoutError:
            raise ServiceError(
                f"a generation of {len(batch)} turns did not come back within "
                f"{self._patience:g} s: is the generation server alive? (train.patience)"
            ) from None
        for waiting, completion in zip(batch, completions, strict=True):
            if not waiting.future.done():
                waiting.future.set_result(completion)


async def _apart(writes: Writes, requests: Sequence[TurnRequest]) -> list[Completion]:
    """Call in a thread that need not come back: the process can end without it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Completion]] = loop.create_future()

    def settle(result: list[Completion] | BaseException) -> None:
        if future.done():
            return
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)

    def work() -> None:
        result: list[Completion] | BaseException
        try:
            result = writes(requests)
        except BaseException as error:  # handed over, whatever it is
            result = error
        with suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=work, name="generation", daemon=True).start()
    return await future
