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
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, get_args

from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.config import check_choice
from saccade.errors import ConfigError, ServiceError, ToolError
from saccade.sandbox.cells import Cell, clean
from saccade.sandbox.hosts import HOSTS, Host, HostLost
from saccade.sandbox.inside.plan import Limits
from saccade.sandbox.options import Offer, RemoteOptions
from saccade.sandbox.replay import AfterKill, Log
from saccade.untrusted.redactor import Redactor

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
MOST_HOSTS = 2
"""Number of hosts that one cell may cost: it is not tried at the others."""
MOST_SAID = 2000
"""Characters of a message that come from a host."""


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
        self.limits = offer.limits if offer else Limits()
        """What notebooks there may use, as far as it is known here."""
        self._token = os.environ.get(options.token_env, "")
        self._redact = Redactor({options.token_env: self._token})
        self._facts: dict[str, JsonValue] = {}
        self.moved = 0
        """Notebooks that went on at another host."""
        self._busy = dict.fromkeys(options.urls, 0)
        self._avoided: dict[str, float] = {}
        self.last = ""
        """Why the last host was lost, of those that were."""

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
                self._avoid(host.url, answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                self.accept(host.url, answer)
        if not self._facts:
            raise self.no_host()

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
            raise self.no_host()
        url = min(left, key=lambda one: self._busy[one])
        self._busy[url] += 1
        return url

    def leave(self, url: str, *, lost: Exception | None = None) -> None:
        """A notebook is no longer there, perhaps since its host was lost."""
        self._busy[url] -= 1
        if lost is not None:
            self._avoid(url, lost)

    def no_host(self) -> ServiceError:
        """That none is left, and why the last one is not."""
        why = f"; the last: {self.last}" if self.last else ""
        return ServiceError(f"sandbox: none of {len(self.options.urls)} hosts answers{why}")

    def host(
        self, url: str, client: httpx.AsyncClient, seed: int = 0, after_kill: AfterKill = "replay"
    ) -> Host:
        """A session at a host, not yet opened."""
        return HOSTS[self.options.protocol](url, client, seed, after_kill, self._redact)

    def accept(self, url: str, said: Mapping[str, JsonValue]) -> None:
        """Take what a host says of itself, if it is what was promised.

        Raises:
            ConfigError: it is not; names the differences.
        """
        different = list(self._offer.differences(said)) if self._offer else []
        if different:
            named = self._redact(clean("; ".join(different)))[:MOST_SAID]
            raise ConfigError(
                f"tools.python: {url} offers something else than this run says: "
                f"{named}. Say what the hosts have in "
                "sandbox.limits and remote.libraries, or install the same there"
            )
        self._facts[url] = dict(said)

    def _avoid(self, url: str, why: Exception) -> None:
        self._avoided[url] = time.monotonic() + self.options.cooldown_seconds
        self.last = self._redact(clean(str(why))) or f"{url}: {type(why).__name__}"

    def _client(self) -> httpx.AsyncClient:
        import httpx

        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
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
        self._given_up: list[Host] = []
        self._whole = self._closed = False
        self._log = Log(sandbox.limits, after_kill)
        self._turn = asyncio.Lock()
        self.restarts = 0
        """Sessions that were lost so far, by their own cells or with their host."""

    @property
    def url(self) -> str | None:
        """Where it is; None before its first cell."""
        return self._host.url if self._host else None

    async def give(self, name: str, image: PILImage.Image) -> None:
        """Define a variable that holds an image.

        Raises:
            ImageError: it has no pixels, or its name is none of a variable.
            ToolError: it is too large for its host, or beside those that are there.
            ServiceError: no host is left.
        """
        async with self._turn:
            self._log.admit(name, image)
            await self._somewhere(lambda host: host.give(name, image), None)
            self._log.gave(name, image)

    async def run(self, code: str, *, seconds: float | None = None) -> Cell:
        """Run a cell. Cells run one after the other.

        Raises:
            ServiceError: no host is left, or the cell has cost several.
            ToolError: the code is more than a host takes.
        """
        async with self._turn:
            number = self._log.next_number()
            cell = await self._somewhere(
                lambda host: host.run(code, seconds=seconds, number=number), seconds
            )
            if cell.status == "killed":
                self.restarts += 1
                self._log.after_killed_cell()  # its host says what is left
            else:
                self._log.ran(number, code, seconds, cell)
            return replace(cell, notes=(*self._log.take_notes(), *cell.notes))

    async def close(self) -> None:
        """End it; a cell under way ends too. A host that does not answer is left alone."""
        self._closed = True
        if self._host is not None:
            self._given_up.append(self._host)
            await self._end_given_up()
        async with self._turn:
            self._give_up()
            await self._end_given_up()

    async def _somewhere(
        self, ask: Callable[[Host], Coroutine[None, None, T]], seconds: float | None
    ) -> T:
        """Ask the host; if it is lost, another one, up to a few of them."""
        for _ in range(MOST_HOSTS):
            host = await self._caught_up(seconds)
            self._whole = False
            try:
                answer = await ask(host)
            except HostLost as error:
                self._refuse_if_closed()
                self._lose(host, error)
            except ToolError:  # it has refused, and nothing has changed
                self._whole = True
                raise
            else:
                self._whole = True
                return answer
        raise ServiceError(
            f"sandbox: {MOST_HOSTS} hosts were lost with one cell; the last: {self._sandbox.last}"
        )

    async def _caught_up(self, seconds: float | None) -> Host:
        """The host, or another one once it has seen the whole log.

        Raises:
            ServiceError: no host is left.
        """
        self._refuse_if_closed()
        if self._host is not None and not self._whole:  # nobody knows how far it got
            self._give_up()
        if self._host is not None:
            return self._host
        limits, options = self._sandbox.limits, self._sandbox.options
        left = min(seconds or limits.seconds, limits.seconds)
        for _ in options.urls:
            url = self._sandbox.choose()
            host = self._sandbox.host(url, self._client, self._seed, self._after_kill)
            self._host, self._whole = host, False
            try:
                async with asyncio.timeout(options.timeout_seconds + left):
                    if not host.opened:
                        self._sandbox.accept(url, await host.open())
                    self._refuse_if_closed()
                    await self._log.replay(host, left)
            except (HostLost, TimeoutError, ToolError) as error:
                self._refuse_if_closed()
                self._lose(host, error)
            else:
                self._whole = True
                return host
        raise self._sandbox.no_host()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ServiceError("sandbox: the notebook is closed, so no cell can run in it")

    def _lose(self, host: Host, error: Exception) -> None:
        self._sandbox.leave(host.url, lost=error)
        self._host = None
        self._log.after_loss()
        if host.opened:
            self.restarts += 1
            self._sandbox.moved += 1

    def _give_up(self) -> None:
        """Leave the host; its session is ended when the notebook is."""
        if self._host is not None:
            self._sandbox.leave(self._host.url)
            self._given_up.append(self._host)
            self._host = None

    async def _end_given_up(self) -> None:
        while self._given_up:
            with suppress(HostLost, ServiceError):
                await self._given_up.pop().close()
