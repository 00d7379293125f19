"""What the processes of a training do together, and episodes that go on in rounds because of it.

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
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather, gather_object

from saccade.errors import ServiceError
from saccade.models.generate import TurnRequest
from saccade.train.generator import Generator
from saccade.types import Completion, ModelInfo, Sampling, Trajectory

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Collective(Protocol):
    """The processes that train together. Every method is a call that all of them make."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def any(self, flag: bool) -> bool:
        """Whether the flag of any process is true."""
        ...

    def max(self, number: int) -> int:
        """The largest number of all processes."""
        ...

    def sum(self, number: int) -> int:
        """The sum of the numbers of all processes."""
        ...

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensors of all processes, concatenated along the first axis, on the CPU."""
        ...

    def gather_objects(self, objects: list[T]) -> list[T]:
        """The lists of all processes, one after the other."""
        ...


class Processes:
    """The processes of a launch, through accelerate; one process alone is a launch of one."""

    def __init__(self) -> None:
        self._state = PartialState()

    @property
    def rank(self) -> int:
        return int(self._state.process_index)

    @property
    def size(self) -> int:
        return int(self._state.num_processes)

    def any(self, flag: bool) -> bool:
        return bool(self.gather(torch.tensor([flag])).any())

    def max(self, number: int) -> int:
        return int(self.gather(torch.tensor([number])).max())

    def sum(self, number: int) -> int:
        return int(self.gather(torch.tensor([number])).sum())

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        gathered: torch.Tensor = gather(tensor.to(self._state.device)).cpu()
        return gathered

    def gather_objects(self, objects: list[T]) -> list[T]:
        gathered: list[T] = gather_object(objects)
        return gathered


@dataclass
class _Waiting:
    request: TurnRequest
    future: asyncio.Future[Completion] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class RoundPolicy:
    """A policy whose episodes go on in rounds: one generation call for all that wait."""

    def __init__(self, generator: Generator, collective: Collective, *, timeout_s: float) -> None:
        """Prepare for any number of runs.

        Args:
            generator: Writes the turns of a round.
            collective: The processes that make as many rounds as this one.
            timeout_s: Seconds after which what has not come back is named.
        """
        self._generator, self._collective = generator, collective
        self._timeout_s = timeout_s
        self._waiting: list[_Waiting] = []
        self._under_way: dict[asyncio.Task[object] | None, str] = {}
        self._changed = asyncio.Event()

    @property
    def info(self) -> ModelInfo:
        """What is known of the model that was trained from."""
        return self._generator.info

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next turn, in the next round.

        Raises:
            ContextOverflow: the prompt fills the context.
        """
        waiting = _Waiting(self._generator.request(trajectory, sampling))
        self._waiting.append(waiting)
        self._under_way.pop(asyncio.current_task(), None)
        self._changed.set()
        completion = await waiting.future
        late = f"{trajectory.id} after turn {len(trajectory.turns) + 1}"
        self._under_way[asyncio.current_task()] = late
        return completion

    def count_tokens(self, trajectory: Trajectory) -> int:
        return self._generator.count_tokens(trajectory)

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
            task.add_done_callback(self._ended)
        try:
            while True:
                await self._until_all_wait(tasks)
                if not self._collective.any(bool(self._waiting)):
                    return tuple(task.result() for task in tasks)
                batch, self._waiting = self._waiting, []
                await self._one_round(batch)
        finally:
            self._waiting.clear()
            self._under_way.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, _: object) -> None:
        self._changed.set()

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
                await asyncio.wait_for(self._changed.wait(), self._timeout_s)
            except TimeoutError:
                late = ", ".join(self._under_way.values())
                _log.warning("tools have not come back for %g s: %s", self._timeout_s, late)

    async def _one_round(self, batch: list[_Waiting]) -> None:
        requests = [waiting.request for waiting in batch]
        try:
            completions = await asyncio.wait_for(
                _in_a_thread(self._generator, requests), self._timeout_s
            )
        except TimeoutError:
            raise ServiceError(
                f"a generation of {len(batch)} turns did not come back within "
                f"{self._timeout_s:g} s: is the generation server alive? "
                "(train.collective_timeout_s)"
            ) from None
        for waiting, completion in zip(batch, completions, strict=True):
            if not waiting.future.done():
                waiting.future.set_result(completion)


async def _in_a_thread(generator: Generator, requests: Sequence[TurnRequest]) -> list[Completion]:
    """Generate in a thread that need not come back: the process can end without it."""
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
            result = generator.generate(requests)
        except BaseException as error:  # handed over, whatever it is
            result = error
        with suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=work, name="generation", daemon=True).start()
    return await future
