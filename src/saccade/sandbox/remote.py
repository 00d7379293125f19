"""A sandbox on other machines: the same notebooks, over HTTP.

A notebook stays on the host where it began. If that host is lost, the notebook goes on at another
one, with its earlier cells run again (`replay`) or without its variables (`fresh`); new notebooks
avoid the lost host for a while. Three ways of speaking: ours (`saccade serve sandbox`),
DeepEyesV2's (images travel inside code, as published), and SandboxFusion's `run_code` (no state:
earlier cells are sent again, silently; no images come back).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, get_args

from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.config import check_choice
from saccade.errors import ConfigError, ServiceError
from saccade.sandbox.cells import Cell
from saccade.sandbox.hosts import HOSTS, Host, HostLost
from saccade.sandbox.options import Offer, RemoteOptions
from saccade.sandbox.pool import AfterKill, Given, Ran

if TYPE_CHECKING:
    import httpx


class RemoteSandbox:
    """Hosts that run notebooks."""

    def __init__(self, options: RemoteOptions, *, offer: Offer | None = None) -> None:
        """Remember the options; `start` or the first notebook asks the hosts.

        Args:
            options: Where the hosts are, and how to speak to them.
            offer: What cells must find there; None takes what there is. Hosts of other protocols
                than ours do not say what they offer.
        """
        self.options = options
        self._offer = offer if options.protocol == "saccade" else None
        self._facts: dict[str, JsonValue] = {}
        self.moved = 0
        """Notebooks that went on at another host."""
        self._busy = dict.fromkeys(options.urls, 0)
        self._avoided: dict[str, float] = {}

    async def start(self) -> None:
        """Ask each host what it offers; those that do not answer are avoided for a while.

        Raises:
            ConfigError: a host offers something else than was promised.
            ServiceError: no host answers.
        """
        if self._facts:
            return
        async with self._client() as client:
            hosts = [self.host(url, client) for url in self.options.urls]
            answers = await asyncio.gather(*(h.health() for h in hosts), return_exceptions=True)
        for host, answer in zip(hosts, answers, strict=True):
            if isinstance(answer, HostLost):
                self._avoid(host.url)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                self.accept(host.url, answer)
        if not self._facts:
            raise ServiceError(f"sandbox: none of {len(hosts)} hosts answers")

    async def close(self) -> None:
        """Ask the hosts again at the next start; notebooks close themselves."""
        self._facts.clear()

    def facts(self) -> dict[str, JsonValue]:
        """What the hosts that were asked say of themselves."""
        return {"mode": "remote", "protocol": self.options.protocol, "hosts": dict(self._facts)}

    @asynccontextmanager
    async def notebook(
        self, *, seed: int = 0, after_kill: AfterKill = "replay"
    ) -> AsyncIterator[RemoteNotebook]:
        """A notebook for the time of a block."""
        async with self._client() as client:
            made = RemoteNotebook(self, client, seed=seed, after_kill=after_kill)
            try:
                yield made
            finally:
                await made.close()

    def choose(self) -> str:
        """The host with the fewest notebooks, of those that have not failed lately.

        Raises:
            ServiceError: all have.
        """
        now = time.monotonic()
        left = [url for url in self.options.urls if self._avoided.get(url, 0.0) <= now]
        if not left:
            raise ServiceError(f"sandbox: none of {len(self.options.urls)} hosts answers")
        url = min(left, key=lambda one: self._busy[one])
        self._busy[url] += 1
        return url

    def leave(self, url: str, *, lost: bool = False) -> None:
        """A notebook is no longer there."""
        self._busy[url] -= 1
        if lost:
            self._avoid(url)

    def host(
        self, url: str, client: httpx.AsyncClient, seed: int = 0, after_kill: AfterKill = "replay"
    ) -> Host:
        """A session at a host, not yet opened."""
        return HOSTS[self.options.protocol](url, client, seed, after_kill)

    def accept(self, url: str, said: Mapping[str, JsonValue]) -> None:
        """Take what a host says of itself, if it is what was promised.

        Raises:
            ConfigError: it is not; names the differences.
        """
        different = list(self._offer.differences(said)) if self._offer else []
        if different:
            raise ConfigError(
                f"tools.python: {url} offers something else than this run says: "
                f"{'; '.join(different)}. Say what the hosts have in sandbox.limits and "
                "remote.libraries, or install the same there"
            )
        self._facts[url] = dict(said)

    def _avoid(self, url: str) -> None:
        self._avoided[url] = time.monotonic() + self.options.cooldown_seconds

    def _client(self) -> httpx.AsyncClient:
        import httpx

        token = os.environ.get(self.options.token_env, "")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = self.options.timeout_seconds
        return httpx.AsyncClient(headers=headers, timeout=timeout, trust_env=False)


class RemoteNotebook:
    """A notebook on one of the hosts."""

    def __init__(
        self, sandbox: RemoteSandbox, client: httpx.AsyncClient, *, seed: int, after_kill: AfterKill
    ) -> None:
        check_choice("after_kill", after_kill, get_args(AfterKill))
        self._sandbox, self._client = sandbox, client
        self._seed, self._after_kill = seed, after_kill
        self._host: Host | None = None
        self._log: list[Ran | Given] = []
        self.restarts = 0
        """Sessions that were lost so far, by their own cells or with their host."""

    @property
    def url(self) -> str | None:
        """Where it is; None before its first cell."""
        return self._host.url if self._host else None

    async def give(self, name: str, image: PILImage.Image) -> None:
        """Define a variable that holds an image."""
        self._log.append(Given(name, image))
        await self._somewhere(None)

    async def run(self, code: str, *, seconds: float | None = None) -> Cell:
        """Run a cell.

        Raises:
            ServiceError: no host is left.
        """
        cell = await self._somewhere(Ran(code, seconds))
        assert cell is not None
        if cell.status != "killed":
            self._log.append(Ran(code, seconds))
            return cell
        self.restarts += 1
        if self._after_kill == "fresh":
            self._forget_cells()
        return cell

    async def close(self) -> None:
        """End it; a host that does not answer is left alone."""
        if self._host is not None:
            with suppress(HostLost, ServiceError):
                await self._host.close()
            self._sandbox.leave(self._host.url)
            self._host = None

    async def _somewhere(self, cell: Ran | None) -> Cell | None:
        """Catch up with the log where that is needed, then run a cell; at another host if lost."""
        while True:
            if self._host is None:
                url = self._sandbox.choose()
                self._host = self._sandbox.host(url, self._client, self._seed, self._after_kill)
            try:
                if not self._host.opened:
                    self._sandbox.accept(self._host.url, await self._host.open())
                for entry in self._log[self._host.done :]:
                    if isinstance(entry, Given):
                        await self._host.give(entry.name, entry.image)
                    else:
                        await self._host.run(entry.code, entry.seconds)
                    self._host.done += 1
                if cell is None:
                    return None
                ran = await self._host.run(cell.code, cell.seconds)
                self._host.done += ran.status != "killed"
                return ran
            except HostLost:
                self._sandbox.leave(self._host.url, lost=True)
                self._host = None
                self.restarts += 1
                self._sandbox.moved += 1
                if self._after_kill == "fresh":
                    self._forget_cells()

    def _forget_cells(self) -> None:
        """Their variables are gone; only images are given again."""
        self._log = [entry for entry in self._log if isinstance(entry, Given)]
        if self._host is not None:
            self._host.done = len(self._log)
