"""How tests wait: for an event and never for a time, since a busy machine is no failure.

A time-out of the code under test is made to expire by an event too: the test puts the clock of the
event loop forward when what should be late has begun.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

LIMIT_S = 120.0
"""How long a test waits for an event before it fails."""


class Clock:
    """The clock of the running event loop, which a test can put forward."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ahead = 0.0
        real = self._loop.time
        self._loop.time = lambda: real() + self._ahead  # type: ignore[method-assign]

    def forward(self, seconds: float) -> None:
        """Let so much time pass at once; from any thread."""
        self._ahead += seconds
        self._loop.call_soon_threadsafe(lambda: None)  # or it would sleep as long as it meant to


def heed_interrupts() -> None:
    """As in a terminal: a suite that runs in the background of a shell ignores them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


async def until(true: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(LIMIT_S):
        while not true():
            await asyncio.sleep(0.001)


async def longest_hold(work: Awaitable[T]) -> tuple[T, float]:
    """The result of `work`, and the most CPU seconds for which it held up the event loop.

    CPU seconds of the loop's own thread, so that other processes and threads count nothing.
    """
    longest = 0.0
    working = asyncio.ensure_future(work)
    while not working.done():
        before = time.thread_time()
        await asyncio.sleep(0.001)
        longest = max(longest, time.thread_time() - before)
    return working.result(), longest
