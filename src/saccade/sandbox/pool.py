"""A sandbox and its sessions.

    async with Sandbox() as sandbox:
        async with sandbox.notebook() as notebook:
            cell = await notebook.run("1 + 1")

What is guaranteed, in mode `namespaces`: code in a session sees the interpreter, its libraries and
what it was given, and no other file of the machine; it reaches no network and no other process, by
a signal neither; it cannot use more memory, processor time, threads, files or scratch space than
its limits say; what it sends back can neither execute nor exhaust anything here; and it ends with
its session. What the kernel keeps for a session beside its limits is at most `Limits.held_mib()`
(182 MiB by default), and page tables: with a memory cgroup (where the machine grants one, `saccade
check sandbox` says so) all of it together is limited; without one the filter and the limits bound
it, page tables at 512 MiB with the kernel's own `vm.max_map_count`. Not guaranteed: that the kernel
has no hole in the calls that are allowed (about 150); that two sessions cannot learn of each other
from how busy the processor is; that the version of the kernel, the processor's model and number,
the time since the machine was started and the paths of the libraries stay unknown; and, in mode
`landlock`, that names and sizes of host files and the name of the machine cannot be found out.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Self, get_args

from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.config import check_choice
from saccade.errors import ServiceError, require
from saccade.sandbox.cells import Cell
from saccade.sandbox.inside.plan import Limits
from saccade.sandbox.modes import choose
from saccade.sandbox.options import Mode, Offer, SandboxOptions
from saccade.sandbox.replay import ATTEMPTS, AfterKill, Log
from saccade.sandbox.server import Server
from saccade.sandbox.session import Session
from saccade.sandbox.threads import made_in_thread


class Notebook:
    """A session that goes on when a cell kills it.

    It does so in a fresh process, with the earlier cells run again (`replay`) or without their
    variables (`fresh`). Images are given again in any case. What a replay restores and what it does
    not is said in `saccade.sandbox.replay`, and by the next cell in its notes.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        seed: int = 0,
        after_kill: AfterKill = "replay",
    ) -> None:
        check_choice("after_kill", after_kill, get_args(AfterKill))
        self._sandbox, self._seed = sandbox, seed
        self._session: Session | None = None
        self._log = Log(sandbox.options.limits, after_kill)
        self._turn = asyncio.Lock()
        self._whole = self._closed = False
        self.restarts = 0
        """Processes that were lost so far."""

    async def give(self, name: str, image: PILImage.Image) -> None:
        """Define a variable that holds an image, which stays as it is: a replay gives it again.

        Raises:
            ImageError: it has no pixels, or its name is none of a variable.
            ToolError: it is too large beside those that are there; names the limits.
            ServiceError: the sandbox has failed.
        """
        async with self._turn:
            self._log.admit(name, image)
            session = await self._current(None)
            await session.give(name, image)
            self._log.gave(name, image)

    async def run(self, code: str, *, seconds: float | None = None) -> Cell:
        """Run a cell; whatever it does, this returns. Cells run one after the other.

        Before it, earlier cells may have to be run again, for as long as this one may run.

        Raises:
            ServiceError: the sandbox has failed.
        """
        async with self._turn:
            session = await self._current(seconds)
            number = self._log.next_number()
            async with self._sandbox.turn():
                cell = await session.run(code, seconds=seconds, number=number)
            if cell.status == "killed":
                self._lost()
                cell = replace(cell, error=f"{cell.error}; {self._log.after_killed_cell()}")
            else:
                self._log.ran(number, code, seconds, cell)
            return replace(cell, notes=(*self._log.take_notes(), *cell.notes))

    def count_from(self, number: int) -> None:
        """Give the next cell this number: those before it ran elsewhere, or are not run again."""
        self._log.count_from(number)

    async def close(self) -> None:
        """End it; a cell under way ends as killed."""
        self._closed = True
        if self._session is not None:
            self._session.kill()
        async with self._turn:
            await self._end()

    async def _current(self, seconds: float | None) -> Session:
        """The session, made again if it was lost; for as long as a cell of `seconds` may run.

        Raises:
            ServiceError: it cannot be made, or nobody wants it any more.
        """
        if self._session is not None and not self._whole:  # given up before it had caught up
            await self._end()
        if self._session is not None and self._session.ended:
            self._lost()
            self._log.after_loss()
        if self._session is None:
            limits = self._sandbox.options.limits
            left = min(seconds or limits.seconds, limits.seconds)
            for _ in range(ATTEMPTS):
                session, left = await self._begun(left)
                if not session.ended:
                    return session
                self._lost()
            self._log.give_up()
            session, left = await self._begun(left)
            if session.ended:
                raise ServiceError(f"sandbox: a fresh session takes no images: {session.ended}")
        assert self._session is not None
        return self._session

    async def _begun(self, seconds: float) -> tuple[Session, float]:
        """A new session that has caught up, and what is left of the seconds for that."""
        self._refuse_if_closed()
        self._whole = False
        session = self._session = await self._sandbox.session(seed=self._seed)
        self._refuse_if_closed()  # it was while the session was made, and had none to end
        left = await self._log.replay(_Place(self._sandbox, session), seconds)
        self._whole = True
        return session, left

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ServiceError("sandbox: the notebook is closed, so no cell can run in it")

    async def _end(self) -> None:
        if self._session is not None:
            await asyncio.to_thread(self._session.close)
            self._session = None

    def _lost(self) -> None:
        self._session = None
        self.restarts += 1


class _Place:
    """A session in which a notebook goes on."""

    outlives_cells = False

    def __init__(self, sandbox: Sandbox, session: Session) -> None:
        self._sandbox, self._session = sandbox, session

    @property
    def has_ended(self) -> bool:
        return self._session.ended is not None

    async def give(self, name: str, image: PILImage.Image, *, seconds: float | None) -> float:
        return await self._session.give(name, image, seconds=seconds)

    async def run(self, code: str, *, seconds: float | None, number: int) -> Cell:
        async with self._sandbox.turn():
            return await self._session.run(code, seconds=seconds, number=number)


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
            "cgroup": self._server.cgroup,
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
        server, limits = self._server, limits or self.options.limits
        started = await made_in_thread(lambda: server.spawn(limits, seed, off), server.bury)
        return Session(server, started, limits, off=self._off | off)

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
