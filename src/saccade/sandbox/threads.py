"""Work that would hold up an event loop: in a few threads, each piece for a limited time.

Guaranteed: of images that sandboxes take and give back, at most `WORKERS` are converted, encoded or
decoded at a time, none of them on an event loop. Not guaranteed: that a thread whose time is up
ends at once; it ends with its piece of work, whose size is bounded where it is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

from saccade.errors import ServiceTimeout

T = TypeVar("T")

WORKERS = 4
"""Number of threads for images, and of threads in which sessions are made."""
WORK_SECONDS = 120.0
"""Time for a piece of work, from when a thread has begun it."""

POOL: Executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="saccade-images")
_MAKERS = ThreadPoolExecutor(WORKERS, thread_name_prefix="saccade-sessions")


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns, done beside the event loop.

    Raises:
        ServiceTimeout: it takes too long.
    """
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def begin() -> T:
        loop.call_soon_threadsafe(begun.set)
        return work()

    done = loop.run_in_executor(POOL, begin)
    try:
        await begun.wait()
        async with asyncio.timeout(WORK_SECONDS) as deadline:
            return await done
    except TimeoutError:
        if not deadline.expired():
            raise
        raise ServiceTimeout(
            f"sandbox: an image was not converted in {WORK_SECONDS:g} seconds; the machine is too "
            "busy, or the image too large"
        ) from None
    finally:
        done.cancel()  # nobody waits any more


async def made_in_thread(make: Callable[[], T], undo: Callable[[T], None]) -> T:
    """What `make` returns; if nobody waits for it any more, it is undone once it is there."""
    making: Future[T] = _MAKERS.submit(make)
    try:
        return await asyncio.wrap_future(making)
    except asyncio.CancelledError:
        making.add_done_callback(lambda made: _undo(made, undo))
        raise


def _undo(made: Future[T], undo: Callable[[T], None]) -> None:
    if not made.cancelled() and made.exception() is None:
        undo(made.result())
