"""How a provider is asked: not too fast, again where it fails, and never beyond a budget.

What a provider cannot do in the end aborts the episode: a failure of ours never becomes "nothing
was found".

What this guarantees: a budget is never exceeded, however many searches are under way; attempts
begin in the order in which they were asked for, and not faster than allowed; whoever gives up
waiting takes nobody's turn and nobody's money. What it does not: each tool has limits of its own,
so that two tools with one account spend two budgets; and each process counts from zero.
"""

from __future__ import annotations

import asyncio
import random
from typing import Self

from pydantic import Field, model_validator

from saccade.client.failures import Retry
from saccade.errors import (
    BudgetExceeded,
    ServiceError,
    ServiceRefused,
    ServiceTimeout,
    ToolError,
)
from saccade.plugins import guarded
from saccade.search.found import Query, Results
from saccade.search.provider import Provider, Recalling
from saccade.types import Record

MAX_RETRY_AFTER_S = 60.0
"""The longest pause that a provider can demand before a retry."""
LONGEST_PAUSE_S = 30.0
_ROUNDING = 1e-9
"""Share of a budget: three times 0.1 is more than 0.3 for a machine."""


class RequestOptions(Record):
    """How often, how fast and how long a provider is asked."""

    max_retries: int = Field(default=4, ge=0)
    """Number of attempts after the first one."""
    backoff_s: float = Field(default=0.5, gt=0)
    """Seconds before the first retry; the pause doubles each time, up to 30 s, with jitter, and
    comes after what the provider asks to wait."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Seconds that one attempt may take."""
    deadline_s: float = Field(default=180.0, gt=0)
    """Seconds that a search may take, with all its attempts and the pauses between them."""
    concurrency: int = Field(default=16, ge=1)
    """Number of searches that may be under way at the same time; further ones wait."""
    per_second: float | None = Field(default=None, gt=0)
    """Number of attempts that may begin in a second; further ones wait."""
    price: float = Field(default=0.0, ge=0)
    """Price of an attempt."""
    budget: float | None = Field(default=None, gt=0)
    """Money that this tool may spend in one process; an attempt that would exceed it is not made.
    With a price of 1 it is a number of attempts."""

    @model_validator(mode="after")
    def _budget_has_a_price(self) -> Self:
        if self.budget is not None and not self.price:
            raise ValueError("budget needs price: without it nothing is counted")
        return self


class Requester:
    """Asks a provider. For one event loop at a time, and for several in turn.

    Args:
        provider: What is asked.
        options: How.
    """

    def __init__(self, provider: Provider, options: RequestOptions) -> None:
        self.provider, self._options = provider, options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(options.concurrency)
        self._turns = asyncio.Lock()
        self._next = 0.0
        """When the next attempt may begin, on the clock of the event loop."""
        self._paid = 0
        """Number of attempts that are paid for, those under way included."""

    @property
    def spent(self) -> float:
        """Money spent; an attempt whose answer was lost is paid for as well."""
        return self._paid * self._options.price

    async def start(self) -> None:
        """Start the provider.

        Raises:
            ConfigError: no search can succeed.
            ServiceError: it cannot be reached.
            PluginError: it raised something else.
        """
        with guarded(self._named):
            await self.provider.start()

    async def search(self, query: Query) -> Results:
        """Search, with as many attempts as are allowed; what the provider recalls takes none.

        Raises:
            ConfigError: every search would fail alike.
            ToolError: nothing can be searched so.
            BudgetExceeded: the next attempt would cost more than is left.
            ServiceTimeout: no attempt was answered in time.
            ServiceError: it refuses, or fails after all retries.
            PluginError: it raised something else; nothing is tried again.
        """
        if isinstance(self.provider, Recalling):
            with guarded(self._named):
                known = await self.provider.recall(query)
            if known is not None:
                return known
        limit, failures = self._options.deadline_s, list[ServiceError]()
        async with self._slots_of_this_loop():
            try:
                async with asyncio.timeout(limit) as deadline:
                    return await self._with_retries(query, failures)
            except TimeoutError as error:
                if not deadline.expired():
                    raise
                last = f"; the last failure: {failures[-1]}" if failures else ""
                late = f"{self.provider.name}: no results within {limit:g} s and all its attempts"
                raise ServiceTimeout(late + last) from error

    async def close(self) -> None:
        """Close the provider; it may be started again, in another event loop as well."""
        with guarded(self._named):
            await self.provider.close()
        self._loop = None

    @property
    def _named(self) -> str:
        return f"search provider {self.provider.name}"

    def _slots_of_this_loop(self) -> asyncio.Semaphore:
        """Locks belong to an event loop: another one has others, also where nothing was closed."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._slots = asyncio.Semaphore(self._options.concurrency)
            self._turns = asyncio.Lock()
        return self._slots

    async def _with_retries(self, query: Query, failures: list[ServiceError]) -> Results:
        options = self._options
        for attempt in range(options.max_retries + 1):
            after = 0.0
            try:
                return await self._attempt(query)
            except (ServiceRefused, BudgetExceeded):
                raise
            except Retry as failure:
                error, after = failure.error, failure.after or 0.0
            except ServiceError as failure:
                error = failure
            if attempt >= options.max_retries:
                raise error from error.__cause__
            failures.append(error)
            pause = min(LONGEST_PAUSE_S, options.backoff_s * 2 ** min(attempt, 30))
            # After what is asked for, not at it: all that were told to wait would come at once.
            asked = max(0.0, min(after, MAX_RETRY_AFTER_S))
            await asyncio.sleep(asked + pause * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable")

    async def _attempt(self, query: Query) -> Results:
        """One attempt, paid for before it is made unless the provider surely did not receive it."""
        self._pay()
        sent = False
        try:
            await self._turn()
            sent = True
            return await self._asked(query)
        except Retry as failure:
            sent = failure.sent
            raise
        except ToolError:
            sent = False
            raise
        finally:
            if not sent:
                self._paid -= 1

    def _pay(self) -> None:
        options = self._options
        if options.budget is None:
            self._paid += 1
            return
        if (self._paid + 1) * options.price > options.budget * (1 + _ROUNDING):
            raise BudgetExceeded(
                f"{self.provider.name}: {self.spent:.4f} of {options.budget:g} is spent and the "
                f"next search costs {options.price:g}; raise budget to go on"
            )
        self._paid += 1

    async def _turn(self) -> None:
        """Wait until an attempt may begin: first come, first served; who leaves takes no turn."""
        if self._options.per_second is None:
            return
        loop = asyncio.get_running_loop()
        async with self._turns:
            await asyncio.sleep(max(0.0, self._next - loop.time()))
            self._next = max(self._next, loop.time()) + 1 / self._options.per_second

    async def _asked(self, query: Query) -> Results:
        """What the provider finds, in time; what it raises that it should not is told as its own.

        Raises:
            Retry: as the provider raised it.
        """
        limit_s = self._options.timeout_s
        found: Results | Retry
        try:
            async with asyncio.timeout(limit_s) as limit:
                with guarded(self._named):
                    try:
                        found = await self.provider.search(query)
                    except Retry as failure:  # not one of ours, and not the provider's mistake
                        found = failure
                    if not isinstance(found, Results | Retry):
                        raise TypeError(f"expected Results of a search, got {type(found).__name__}")
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = f"{self.provider.name}: no results within {limit_s:g} s"
            raise ServiceTimeout(late) from error
        if isinstance(found, Retry):
            raise found
        return found
