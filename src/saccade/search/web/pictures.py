"""Pictures of results: fetched from hosts that are allowed, side by side, within bounds.

One that cannot be fetched, or is none, is counted; it is no failure of the search.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from saccade.client.download import download
from saccade.client.hosts import Hosts
from saccade.errors import ImageError
from saccade.images.image import Image
from saccade.search.found import Fetches, Result, Results
from saccade.search.web.reading import Entry

MAX_BYTES = 4 * 2**20
"""Larger pictures are not fetched."""
MAX_PIXELS = 4096 * 4096
MAX_SECONDS = 10.0
"""Seconds until the pictures of a search must be there; later ones count as failed."""
THREADS = 8


class Fetched(NamedTuple):
    """What became of some addresses."""

    pictures: tuple[Image | None, ...]
    fetches: Fetches


class Pictures:
    """Fetches pictures in threads of its own: a slow host must not hold up those of others."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._pool: ThreadPoolExecutor | None = None

    async def of(self, entries: Sequence[Entry]) -> Results:
        """Results with their pictures, as far as these can be had."""
        if self._hosts == Hosts.of(False):
            return Results(tuple(Result(entry.hit) for entry in entries))
        pictures, fetches = await self.fetch([entry.picture for entry in entries])
        found = (Result(e.hit, picture) for e, picture in zip(entries, pictures, strict=True))
        return Results(tuple(found), fetches)

    async def fetch(self, urls: Sequence[str]) -> Fetched:
        """The pictures behind addresses; an empty one has none."""
        loop = asyncio.get_running_loop()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, "pictures")
        wanted = {
            place: loop.run_in_executor(self._pool, _picture, url, self._hosts)
            for place, url in enumerate(urls)
            if url
        }
        try:
            if wanted:
                await asyncio.wait(wanted.values(), timeout=MAX_SECONDS)
        finally:
            for future in wanted.values():
                future.cancel()  # those that wait for a thread; the others end by themselves
        pictures = [
            wanted[place].result() if place in wanted and _is_there(wanted[place]) else None
            for place in range(len(urls))
        ]
        succeeded = sum(picture is not None for picture in pictures)
        return Fetched(
            tuple(pictures), Fetches(succeeded=succeeded, failed=len(wanted) - succeeded)
        )

    def close(self) -> None:
        """Let the threads go; a download that is under way ends within its own bounds."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _is_there(future: asyncio.Future[Image | None]) -> bool:
    return future.done() and not future.cancelled()


def _picture(url: str, hosts: Hosts) -> Image | None:
    try:
        data = download(url, hosts, max_bytes=MAX_BYTES)
        image = Image.from_bytes(data, name="a picture of a result", max_pixels=MAX_PIXELS)
        image.pixels()  # decoded here: a broken one must not fail where it is shown
    except ImageError:
        return None
    return image
