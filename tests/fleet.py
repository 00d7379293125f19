"""A fleet of search servers for tests: one Python process imports, and each server is a fork of it.

python tests/fleet.py KEY=VALUE ... -- KEY=VALUE ...    # a line for each: pid, url, digest
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from saccade.search.found import Hit, Query, Result, Results
from saccade.types import Record


class SlowOptions(Record):
    file: str
    """Searches end when it is there."""


class Slow:
    """Answers with what it was asked, once a file is there."""

    Options = SlowOptions
    name = "slow"
    kinds = frozenset({"text"})
    facts = MappingProxyType({"edition": "slow"})

    def __init__(self, options: SlowOptions) -> None:
        self._file = Path(options.file)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def search(self, query: Query) -> Results:
        while not self._file.exists():
            await asyncio.sleep(0.005)
        return Results((Result(Hit(rank=1, title=query.text)),))


class Server(NamedTuple):
    """One of a fleet."""

    pid: int
    url: str
    digest: str

    def end(self, number: int = signal.SIGKILL) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


@contextmanager
def fleet(*settings: str) -> Iterator[list[Server]]:
    """A server for each text of settings, in that order, for the time of a block."""
    words = " -- ".join(settings).split()
    process = subprocess.Popen(
        [sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().split() for _ in settings]
    assert all(lines), "a server did not start; its error is above"
    servers = [Server(int(pid), url, digest) for _, pid, url, digest in sorted(lines)]
    try:
        yield servers
    finally:
        for server in servers:
            server.end()
        process.wait()
        process.stdout.close()


def main(groups: list[list[str]]) -> None:
    """Serve, and wait for the end of all."""
    import saccade.serve.search as served
    from saccade.config import validate, with_overrides
    from saccade.serve.search_options import SearchServeOptions

    for number, settings in enumerate(groups):
        options = validate(SearchServeOptions, with_overrides({}, ["port=0", *settings]))
        if not os.fork():
            served.serve(options, on_ready=partial(say, number))
            os._exit(0)
    for _ in groups:
        os.wait()


def say(number: int, url: str, digest: str) -> None:
    sys.stdout.write(f"{number} {os.getpid()} {url} {digest}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main([group.split() for group in " ".join(sys.argv[1:]).split(" -- ")])
