"""Pages of the web, fetched beside the event loop and read as text."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from saccade.client.download import fetch
from saccade.client.hosts import Hosts, Unfetched
from saccade.errors import ServiceError
from saccade.search.pages.content import NoText, text_of

ACCEPTED = "text/html, application/xhtml+xml, text/*;q=0.9, application/json;q=0.9, */*;q=0.1"
BACKOFF_S = 0.5
"""Seconds before the first retry; the pause doubles each time, with jitter."""
LONGEST_PAUSE_S = 10.0
"""The longest pause that a server can demand before a retry."""


class Page(NamedTuple):
    """A page as text."""

    title: str
    url: str
    text: str
    document: str = ""
    """Its id, where it is a document of an index."""
    cut: bool = False
    """Whether the page has more than was read."""


class Unopened(Exception):
    """Why a page that was asked for cannot be read, in words for whoever asked."""


class WebLimits(NamedTuple):
    """What a page of the web may cost."""

    bytes: int
    seconds: float
    """For each attempt, redirects included."""
    retries: int
    concurrency: int
    """Number of pages that are fetched at the same time; further ones wait."""


class Web:
    """Pages of hosts that a user allows. For one event loop at a time."""

    def __init__(self, hosts: Hosts, limits: WebLimits) -> None:
        self._hosts, self._limits = hosts, limits
        self._threads: ThreadPoolExecutor | None = None

    async def page(self, url: str) -> Page:
        """Fetch a page.

        Raises:
            Unopened: this page cannot be read: it is not allowed, not there, or no text.
            ServiceError: no page could be fetched.
        """
        for attempt in range(self._limits.retries + 1):
            try:
                return await self._attempt(url)
            except NoText as what:
                raise Unopened(str(what)) from what
            except Unfetched as failure:
                if not failure.again or attempt >= self._limits.retries:
                    if failure.ours:
                        raise ServiceError(f"open_page: no page can be fetched: {failure}") from (
                            failure
                        )
                    raise Unopened(failure.reason) from failure
                pause = BACKOFF_S * 2**attempt * random.uniform(0.5, 1.0)
                await asyncio.sleep(max(pause, min(failure.after or 0.0, LONGEST_PAUSE_S)))
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Let the threads go; what is being fetched ends within its time."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    async def _attempt(self, url: str) -> Page:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(
                self._limits.concurrency, thread_name_prefix="saccade-pages"
            )
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, url)

    def _read(self, url: str) -> Page:
        limits = self._limits
        found = fetch(
            url, self._hosts, accept=ACCEPTED, max_bytes=limits.bytes, max_seconds=limits.seconds
        )
        read = text_of(found.data, found.content_type, found.url)
        return Page(read.title, found.url, read.text, cut=read.cut)
