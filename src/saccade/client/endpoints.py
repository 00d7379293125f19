"""The endpoints that serve one model: which one takes the next request.

Each request goes to the healthy endpoint with the fewest requests under way. One that fails is
avoided for a while, which doubles each time; then it is asked, beside the requests, whether it
answers at all, and takes requests again if it does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

MAX_COOLDOWN_S = 120.0
"""The longest time for which an endpoint is avoided before it is asked again."""


class _Endpoint:
    def __init__(self, url: str) -> None:
        self.url = url
        self.busy = 0
        self.failures = 0
        """Number of failures in a row; those of requests that were under way together are one."""
        self.down_until = 0.0


class Endpoints:
    """Where requests go. For one event loop."""

    def __init__(
        self,
        urls: Sequence[str],
        is_up: Callable[[str], Awaitable[bool]],
        *,
        cooldown_s: float,
    ) -> None:
        """Start with all of them healthy.

        Args:
            urls: Of servers of the same model.
            is_up: Finds out whether a server answers at all.
            cooldown_s: Seconds for which one that failed is avoided the first time.
        """
        self._all = [_Endpoint(url) for url in dict.fromkeys(urls)]
        self._is_up, self._cooldown_s = is_up, cooldown_s
        self._checks: dict[str, asyncio.Task[None]] = {}
        self._next = 0

    def choose(self) -> str:
        """The healthy endpoint that is the least busy; the one that recovers first if none is."""
        now = time.monotonic()
        healthy = [e for e in self._in_turn() if not e.failures]
        for endpoint in self._all:
            if healthy and endpoint.failures and endpoint.down_until <= now:
                self._check(endpoint)
        if healthy:
            chosen = min(healthy, key=lambda e: e.busy)
        else:
            chosen = min(self._in_turn(), key=lambda e: e.down_until)
        self._next = self._all.index(chosen) + 1
        return chosen.url

    @contextmanager
    def busy(self, url: str) -> Iterator[None]:
        """A request under way at an endpoint."""
        endpoint = self._named(url)
        endpoint.busy += 1
        try:
            yield
        finally:
            endpoint.busy -= 1

    def answered(self, url: str) -> None:
        """An endpoint is healthy."""
        self._named(url).failures = 0

    def failed(self, url: str) -> None:
        """An endpoint has failed, and is avoided for a while."""
        endpoint, now = self._named(url), time.monotonic()
        if endpoint.failures and now < endpoint.down_until:
            return
        longest = max(MAX_COOLDOWN_S, self._cooldown_s)
        pause = min(longest, self._cooldown_s * 2.0 ** min(endpoint.failures, 30))
        endpoint.failures += 1
        endpoint.down_until = now + pause

    def others_than(self, url: str) -> bool:
        """Whether another endpoint is healthy."""
        return any(e.url != url and not e.failures for e in self._all)

    async def close(self) -> None:
        """End what is being found out."""
        checks = list(self._checks.values())
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)

    def _in_turn(self) -> list[_Endpoint]:
        at = self._next % len(self._all)
        return [*self._all[at:], *self._all[:at]]

    def _named(self, url: str) -> _Endpoint:
        return next(e for e in self._all if e.url == url)

    def _check(self, endpoint: _Endpoint) -> None:
        if endpoint.url not in self._checks:
            self._checks[endpoint.url] = asyncio.create_task(self._ask(endpoint))

    async def _ask(self, endpoint: _Endpoint) -> None:
        try:
            if await self._is_up(endpoint.url):
                endpoint.failures = 0
            else:
                self.failed(endpoint.url)
        finally:
            del self._checks[endpoint.url]
