"""The judge of mathematical answers: `saccade.rewards.maths`, in a process that can be killed.

A model can write a power tower or a factorial that no computer will finish. `maths.sizes` sees most
of that before anything is computed. For the rest, neither an event loop nor a thread can be stopped
from outside: each comparison runs in a worker process with a memory limit, and a worker that is
late is killed. A time-out is undecided, never wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

from pydantic import Field

from saccade.errors import ServiceError, require
from saccade.rewards.judges import Choice, gold_text
from saccade.rewards.maths import Opinion
from saccade.types import Record, Task, Verdict

MAX_CHARS = 10_000
"""Longer answers are not looked at: undecided."""

START_S = 60.0
"""Limit for the start of a worker: it imports sympy."""


class MathOptions(Record):
    """The options of the `math` judge: limits of a comparison."""

    timeout_s: float = Field(default=5.0, gt=0)
    """Wall time of one comparison; one that takes longer is undecided."""
    workers: int = Field(default=2, ge=1)
    """Number of worker processes; each is started when it is first needed."""
    memory_mb: int = Field(default=2048, ge=256)
    """Address space of a worker."""


class Math:
    """Right if the answer is the gold one as text, as a quantity, or as an expression.

    What is compared how, and the conventions, are in `saccade.rewards.maths.comparing`. An answer
    to a question with options is read as by the judge `choice`; one that it cannot read is compared
    with the text of the right one. It does not guarantee that an answer has the form that was asked
    for: 2/4 is 1/2.
    """

    name = "math"
    Options = MathOptions

    def __init__(self, options: MathOptions) -> None:
        """Set the limits of a comparison.

        Raises:
            MissingExtra: math-verify is not installed.
        """
        require("math_verify")
        self._timeout_s = options.timeout_s
        self._memory_mb = options.memory_mb
        self._free: asyncio.Queue[asyncio.subprocess.Process | None] = asyncio.Queue()
        for _ in range(options.workers):
            self._free.put_nowait(None)

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Undecided if the answer cannot be read, is or takes too long, or breaks the worker.

        Raises:
            ServiceError: no worker can be started.
        """
        if len(answer) > MAX_CHARS:
            reason = f"{len(answer)} characters, {MAX_CHARS} are compared at most"
            return self._undecided(reason, unread=True)
        if task.choices:
            verdict = await Choice().judge(task, answer)
            if verdict.correct is not None:
                return verdict.model_copy(update={"judge": self.name})
        worker = await self._free.get()
        healthy: asyncio.subprocess.Process | None = None
        try:
            if worker is None or worker.returncode is not None:
                worker = await _start(self._memory_mb)
            async with asyncio.timeout(self._timeout_s):
                opinion = await _ask(worker, gold_text(task), answer)
            if opinion is None:
                return self._undecided("the comparison failed")
            healthy = worker
            if opinion.equal is None:
                return self._undecided(opinion.reason, unread=not opinion.readable)
            return Verdict(correct=opinion.equal, reason=opinion.reason, judge=self.name)
        except TimeoutError:
            return self._undecided(f"not decided within {self._timeout_s:g} s")
        finally:
            # A worker that was interrupted may still be busy: it is not asked again.
            if worker is not None and healthy is None:
                await _kill(worker)
            self._free.put_nowait(healthy)

    def _undecided(self, reason: str, *, unread: bool = False) -> Verdict:
        return Verdict(correct=None, reason=reason, judge=self.name, unread=unread)

    async def close(self) -> None:
        """Stop the workers that are idle."""
        for _ in range(self._free.qsize()):
            worker = self._free.get_nowait()
            if worker is not None:
                await _kill(worker)
            self._free.put_nowait(None)


async def _start(memory_mb: int) -> asyncio.subprocess.Process:
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "saccade.rewards.math_worker",
        str(memory_mb),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert worker.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            ready = await worker.stdout.readline()
    except TimeoutError:
        ready = b""
    if ready != b"ready\n":
        await _kill(worker)
        raise ServiceError("math judge: the worker process did not start; is memory short?")
    return worker


async def _ask(worker: asyncio.subprocess.Process, gold: str, answer: str) -> Opinion | None:
    """The worker's reply; None if it gave none that can be read."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(json.dumps([gold, answer]).encode() + b"\n")
    try:
        await worker.stdin.drain()
        line = await worker.stdout.readline()
        return Opinion(*json.loads(line))
    except (ConnectionError, ValueError, TypeError):
        return None


async def _kill(worker: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        worker.kill()
    if worker.stdin is not None:
        worker.stdin.close()
    await worker.wait()
