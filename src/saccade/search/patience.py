"""How a provider is asked: not too fast, again where it fails, and never beyond a budget.

What a provider cannot do in the end aborts the episode: a failure of ours never becomes "nothing
was found".
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Self

from pydantic import Field, model_validator

from saccade.client.failures import Retry
from saccade.errors import BudgetExceeded, ServiceError, ServiceTimeout
from saccade.search.found import Query, Results
from saccade.search.provider import Provider
from saccade.types import Record

MAX_RETRY_AFTER_S = 60.0
"""The longest pause that a provider can demand before a retry."""
LONGEST_PAUSE_S = 30.0


class PatienceOptions(Record):
    """How often, how fast and how long a provider is asked."""

    max_retries: int = Field(default=4, ge=0)
    """Number of attempts after the first one."""
    backoff_s: float = Field(default=0.5, gt=0)
    """Seconds before the first retry; the pause doubles each time, up to 30 s, with jitter."""
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
    """Money that may be spent; an attempt that would exceed it is not made."""

    @model_validator(mode="after")
    def _budget_has_a_price(self) -> Self:
        if self.budget is not None and not self.price:
            raise ValueError("budget needs price: without it nothing is counted")
        return self


class Patient:
    """Asks a provider. For one event loop at a time.

    Args:
        provider: What is asked.
        options: How.
    """

    def __init__(self, provider: Provider, options: PatienceOptions) -> None:
        self.provider, self._options = provider, options
        self._slots = asyncio.Semaphore(options.concurrency)
        self._next = 0.0
        self.spent = 0.0
        """Money spent; an attempt whose answer was lost is paid for as well."""

    async def start(self) -> None:
        """Start the provider."""
        await self.provider.start()

    async def search(self, query: Query) -> Results:
        """Search, with as many attempts as are allowed.

        Raises:
            BudgetExceeded: the next attempt would cost more than is left.
            ServiceTimeout: no attempt was answered in time.
            ServiceError: it fails after all retries.
        """
        options, name = self._options, self.provider.name
        async with self._slots:
            try:
                async with asyncio.timeout(options.deadline_s) as deadline:
                    return await self._with_retries(query)
            except TimeoutError as error:
                if not deadline.expired():
                    raise
                late = f"{name}: no results within {options.deadline_s:g} s and all its attempts"
                raise ServiceTimeout(late) from error

    async def close(self) -> None:
        """Close the provider."""
        await self.provider.close()
        self._slots = asyncio.Semaphore(self._options.concurrency)  # it belongs to its event loop

    async def _with_retries(self, query: Query) -> Results:
        options = self._options
        for attempt in range(options.max_retries + 1):
            await self._may_ask()
            try:
                return await self._attempt(query)
            except BudgetExceeded:
                raise
            except (Retry, ServiceError) as failure:
                error = failure.error if isinstance(failure, Retry) else failure
                after = failure.after if isinstance(failure, Retry) else None
                if attempt >= options.max_retries:
                    raise error from error.__cause__
            pause = min(LONGEST_PAUSE_S, options.backoff_s * 2**attempt)
            pause *= random.uniform(0.5, 1.0)
            await asyncio.sleep(max(pause, min(after or 0.0, MAX_RETRY_AFTER_S)))
        raise AssertionError("unreachable")

    async def _attempt(self, query: Query) -> Results:
        try:
            async with asyncio.timeout(self._options.timeout_s) as limit:
                return await self.provider.search(query)
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = f"{self.provider.name}: no results within {self._options.timeout_s:g} s"
            raise ServiceTimeout(late) from error

    async def _may_ask(self) -> None:
        """Pay for an attempt, and wait until it may begin."""
        options = self._options
        if options.budget is not None and self.spent + options.price > options.budget:
            raise BudgetExceeded(
                f"{self.provider.name}: {self.spent:.4f} of {options.budget:g} is spent and the "
                f"next search costs {options.price:g}; raise budget to go on"
            )
        self.spent += options.price
        if options.per_second is not None:
            now = time.monotonic()
            begins = max(now, self._next)
            self._next = begins + 1 / options.per_second
            await asyncio.sleep(begins - now)
