"""What a synthesis has used, over all its starts, and whether the next step is within the caps.

    meter = Meter(out, caps)
    async with meter.episode(key) as admitted:       # False: a cap would be passed
        ...
        async with meter.request("gpt", key, bound) as bill:
            bill.used = Usage(tokens_in, tokens_out, money)

Each request that was answered is a line of `spent.jsonl`. What this guarantees: a request is sent
only if all that is under way and the most that it can use together stay within the caps; so they
are never passed, whatever the concurrency. What it does not: a reply that was lost on its way, and
a request that was under way when the process was killed, may be billed and are not counted; what a
server counts otherwise than it says is not known here.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from saccade.data.demos.recipe import Caps
from saccade.errors import BudgetExceeded, FormatError
from saccade.files import read_lines
from saccade.runs.folder import Key
from saccade.runs.journal import Journal
from saccade.types import Record

SPENT = "spent.jsonl"
MAX_LINE_BYTES = 2**16
_ROUNDING = 1e-9
"""Share of a cap: three times 0.1 is more than 0.3 for a machine."""


class Usage(NamedTuple):
    """Tokens and money of a request, or of several."""

    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    def plus(self, other: Usage) -> Usage:
        """The sum of both."""
        return Usage(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.money + other.money,
        )


class Spent(Record):
    """A line of `spent.jsonl`: a request that was answered."""

    teacher: str
    task: str
    sample: int
    tokens_in: int
    tokens_out: int
    money: float
    bound_tokens: int
    """The most that it could have used, as it was reckoned before it was sent."""
    bound_money: float


@dataclass
class Bill:
    """What a request came to; None as long as it has no reply."""

    used: Usage | None = None


class Meter:
    """Counts requests and episodes against caps. For one event loop."""

    def __init__(self, out: Path, caps: Caps, *, finished: int = 0) -> None:
        """Read what earlier starts have used.

        Args:
            out: The folder with `spent.jsonl`.
            caps: What may be used.
            finished: Number of episodes that are finished already.

        Raises:
            FormatError: the file is damaged.
            StoreError: it cannot be written.
        """
        self.by_teacher: dict[str, Usage] = {}
        self.reached = ""
        """Which cap would have been passed, and what to do; empty while there is room."""
        self._caps, self._finished = caps, finished
        self._began = time.monotonic()
        self._reserved: list[Usage] = []
        self._under_way = 0
        self._of_episode: defaultdict[Key, Usage] = defaultdict(Usage)
        self._largest_bound = Usage()
        self._longest_s = 0.0
        self._changed = asyncio.Event()
        self._journal = Journal(out, SPENT)
        for number, line in read_lines(out / SPENT, most=MAX_LINE_BYTES):
            try:
                self._count(Spent.model_validate_json(line))
            except ValidationError as error:
                raise FormatError(
                    f"{out / SPENT}:{number}: no line of ours ({error.errors()[0]['msg']}); remove "
                    "the line, with which what it was spent for is forgotten"
                ) from error

    @property
    def used(self) -> Usage:
        """What all teachers have used."""
        total = Usage()
        for usage in self.by_teacher.values():
            total = total.plus(usage)
        return total

    @property
    def left_s(self) -> float | None:
        """Seconds that this start may still take; None without a cap."""
        cap = self._caps.seconds
        return None if cap is None else max(0.0, cap - (time.monotonic() - self._began))

    def close(self) -> None:
        """Bring `spent.jsonl` to the disk."""
        self._journal.close()

    def stop(self, reason: str) -> None:
        """Admit nothing more."""
        self.reached = self.reached or reason
        self._wake()

    def has_ended(self, error: str | None) -> bool:
        """Whether an episode was aborted because a cap would have been passed."""
        return bool(self.reached) and (error or "").startswith(f"{BudgetExceeded.__name__}: caps.")

    def out_of_time(self) -> None:
        """Admit nothing more because the time is over."""
        self.stop(f"caps.seconds: {self._caps.seconds:g} s are over; start it again to go on")

    @asynccontextmanager
    async def episode(self, key: Key) -> AsyncIterator[bool]:
        """Wait until an episode can be begun within the caps; False if there is no room for it.

        An episode is expected to be as large as the largest so far, and its last request to need
        room for the largest bound so far. One that is larger may end in the middle: what it has
        used is counted, and another start plays it again.
        """
        while not self.reached and (full := self._full()):
            if full.startswith("caps.seconds") or not self._under_way:
                self.stop(full)
            else:
                await self._changed.wait()
        if self.reached:
            yield False
            return
        self._under_way += 1
        began = time.monotonic()
        self._of_episode[key] = Usage()
        try:
            yield True
        finally:
            self._under_way -= 1
            self._longest_s = max(self._longest_s, time.monotonic() - began)
            self._wake()

    def count_finished(self) -> None:
        """Note that an episode was finished."""
        self._finished += 1

    @asynccontextmanager
    async def request(self, teacher: str, key: Key, bound: Usage) -> AsyncIterator[Bill]:
        """Wait until a request can be sent within the caps, and count what it came to.

        Args:
            teacher: Who is asked.
            key: The episode that it is for.
            bound: The most that it can use.

        Raises:
            BudgetExceeded: a cap could be passed by it, and nothing that is under way can change
                that.
        """
        while why := self._over(bound):
            if not self._reserved:
                self.stop(why)
                raise BudgetExceeded(why)
            await self._changed.wait()
        self._reserved.append(bound)
        bill = Bill()
        try:
            yield bill
        finally:
            self._reserved.remove(bound)
            if bill.used is not None:
                line = Spent(
                    teacher=teacher, task=key[0], sample=key[1], **bill.used._asdict(),
                    bound_tokens=bound.tokens, bound_money=bound.money,
                )  # fmt: skip
                self._count(line)
                self._journal.append(line.model_dump_json().encode() + b"\n")
            self._wake()

    def _count(self, line: Spent) -> None:
        usage = Usage(line.tokens_in, line.tokens_out, line.money)
        self.by_teacher[line.teacher] = self.by_teacher.get(line.teacher, Usage()).plus(usage)
        key = (line.task, line.sample)
        self._of_episode[key] = self._of_episode[key].plus(usage)
        largest = self._largest_bound
        self._largest_bound = Usage(
            tokens_in=max(largest.tokens, line.bound_tokens),
            money=max(largest.money, line.bound_money),
        )

    def _full(self) -> str:
        """Why one more episode is not begun now."""
        caps, under_way = self._caps, self._under_way
        if caps.episodes is not None and self._finished + under_way >= caps.episodes:
            return f"caps.episodes: {self._finished} are finished; raise it to go on"
        left = self.left_s
        if left is not None and left <= self._longest_s:
            return (
                f"caps.seconds: {left:.0f} of {caps.seconds:g} s are left, and an episode took "
                f"{self._longest_s:.0f}; start it again to go on"
            )
        tokens = max((used.tokens for used in self._of_episode.values()), default=0)
        money = max((used.money for used in self._of_episode.values()), default=0.0)
        # Those under way have room for as much as the largest one, whatever they have used of it.
        expected = Usage(tokens_in=tokens * (under_way + 1), money=money * (under_way + 1))
        return self._beyond(expected.plus(self._largest_bound), "an episode")

    def _over(self, bound: Usage) -> str:
        """Why a request is not sent now."""
        for reserved in self._reserved:
            bound = bound.plus(reserved)
        return self._beyond(bound, "the next request")

    def _beyond(self, more: Usage, what: str) -> str:
        """Which cap is passed by so much more."""
        caps, used = self._caps, self.used
        if caps.tokens is not None and used.tokens + more.tokens > caps.tokens:
            return (
                f"caps.tokens: {used.tokens:,} of {caps.tokens:,} are used, and {what} may take "
                f"{more.tokens:,}; raise it to go on"
            )
        if caps.money is not None and used.money + more.money > caps.money * (1 + _ROUNDING):
            return (
                f"caps.money: {used.money:.4f} of {caps.money:g} is spent, and {what} may cost "
                f"{more.money:.4f}; raise it to go on"
            )
        return ""

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
