"""A sandbox and its sessions.

    async with Sandbox() as sandbox:
        async with sandbox.notebook() as notebook:
            cell = await notebook.run("1 + 1")

What is guaranteed, in mode `namespaces`: code in a session sees the interpreter, its libraries and
what it was given, and nothing else of the machine; it reaches no network and no other process; it
cannot use more memory, processor time, threads, files or scratch space than its limits say; what it
sends back can neither execute nor exhaust anything here; and it ends with its session. Not
guaranteed: that the kernel has no hole in the calls that are allowed (about 160), that two sessions
cannot learn of each other from how busy the processor is, and, in mode `landlock`, that names and
sizes of host files cannot be found out.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Literal, NamedTuple, Self, get_args

from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.config import check_choice
from saccade.errors import require
from saccade.sandbox.cells import Cell
from saccade.sandbox.inside.plan import Limits
from saccade.sandbox.modes import choose
from saccade.sandbox.options import Mode, Offer, SandboxOptions
from saccade.sandbox.server import Server
from saccade.sandbox.session import Session

AfterKill = Literal["replay", "fresh"]


class Ran(NamedTuple):
    """A cell that may have to be run again."""

    code: str
    seconds: float | None


class Given(NamedTuple):
    """An image that has to be given again."""

    name: str
    image: PILImage.Image


class Notebook:
    """A session that goes on when a cell kills it.

    It does so in a fresh process, with the earlier cells run again (`replay`) or without their
    variables (`fresh`). Images are given again in any case.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        seed: int = 0,
        after_kill: AfterKill = "replay",
    ) -> None:
        check_choice("after_kill", after_kill, get_args(AfterKill))
        self._sandbox, self._seed, self._after_kill = sandbox, seed, after_kill
        self._session: Session | None = None
        self._log: list[Ran | Given] = []
        self.restarts = 0
        """Processes that were lost so far."""

    async def give(self, name: str, image: PILImage.Image) -> None:
        """Define a variable that holds an image."""
        session = await self._current()
        self._log.append(Given(name, image))
        await session.give(name, image)

    async def run(self, code: str, *, seconds: float | None = None) -> Cell:
        """Run a cell; whatever it does, this returns.

        Raises:
            ServiceError: the sandbox has failed.
        """
        session = await self._current()
        async with self._sandbox.turn():
            cell = await session.run(code, seconds=seconds)
        if cell.status != "killed":
            self._log.append(Ran(code, seconds))
            return cell
        self.restarts += 1
        left = "variables are as they were before this cell"
        if self._after_kill == "fresh":
            self._log = [entry for entry in self._log if isinstance(entry, Given)]
            left = "all variables but the images are lost"
        return replace(cell, error=f"{cell.error}; {left}")

    async def close(self) -> None:
        """End it."""
        if self._session is not None:
            self._session.close()
            self._session = None

    async def _current(self) -> Session:
        if self._session is None or self._session.ended:
            self._session = await self._sandbox.session(seed=self._seed)
            for entry in self._log:
                if isinstance(entry, Given):
                    await self._session.give(entry.name, entry.image)
                else:
                    async with self._sandbox.turn():
                        await self._session.run(entry.code, seconds=entry.seconds)
        return self._session


class Sandbox:
    """Makes sessions. One for a process is enough; it may be used from several event loops."""

    def __init__(
        self, options: SandboxOptions | None = None, *, off: frozenset[str] = frozenset()
    ) -> None:
        """Remember the options; `start` or the first session starts the fork server.

        Args:
            options: Limits, mode, libraries.
            off: Mechanisms that are left out, in tests of what they are for.
        """
        self.options = options or SandboxOptions()
        self._off = off
        self._server: Server | None = None
        self._changing = threading.Lock()
        self._gates: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[asyncio.Semaphore, asyncio.Semaphore]
        ] = weakref.WeakKeyDictionary()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Start the fork server, unless it runs; about a second.

        Raises:
            ConfigError: this machine cannot isolate: which mechanism is missing, and what to do.
            MissingExtra: the extra `sandbox` is not installed.
        """
        if self._server is None:
            require("pyseccomp")
            await asyncio.to_thread(self._start)

    @property
    def mode(self) -> Mode:
        """How sessions are isolated; known once it was started."""
        assert self._server is not None
        return self._server.mode

    def facts(self) -> dict[str, JsonValue]:
        """How sessions are isolated and what cells find; known once it was started."""
        assert self._server is not None
        offer = Offer(limits=self.options.limits)
        return {
            "mode": self._server.mode,
            "landlock": self._server.landlock,
            **offer.model_dump(mode="json"),
        }

    async def session(
        self, *, seed: int = 0, limits: Limits | None = None, off: frozenset[str] = frozenset()
    ) -> Session:
        """A new session; its owner closes it.

        Raises:
            ServiceError: the fork server did not make it.
        """
        await self.start()
        assert self._server is not None
        limits = limits or self.options.limits
        started = await asyncio.to_thread(self._server.spawn, limits, seed, off)
        return Session(self._server, started, limits, off=self._off | off)

    @asynccontextmanager
    async def notebook(
        self,
        *,
        seed: int = 0,
        after_kill: AfterKill = "replay",
        images: Sequence[PILImage.Image] = (),
    ) -> AsyncIterator[Notebook]:
        """A notebook for the time of a block; images become image_1, image_2, ..."""
        async with self._gate()[0]:
            notebook = Notebook(self, seed=seed, after_kill=after_kill)
            try:
                for number, image in enumerate(images, start=1):
                    await notebook.give(f"image_{number}", image)
                yield notebook
            finally:
                await notebook.close()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until a core is free."""
        async with self._gate()[1]:
            yield

    async def close(self) -> None:
        """End the fork server and all sessions; `start` starts another one."""
        await asyncio.to_thread(self._close)

    def _start(self) -> None:
        with self._changing:
            if self._server is None:
                self._server = choose(self.options, self._off)

    def _close(self) -> None:
        with self._changing:
            if self._server is not None:
                self._server.close()
                self._server = None

    def _gate(self) -> tuple[asyncio.Semaphore, asyncio.Semaphore]:
        loop = asyncio.get_running_loop()
        if loop not in self._gates:
            cells = self.options.max_cells or os.cpu_count() or 1
            self._gates[loop] = (
                asyncio.Semaphore(self.options.max_sessions), asyncio.Semaphore(cells),
            )  # fmt: skip
        return self._gates[loop]
