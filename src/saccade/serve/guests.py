"""The sessions of a sandbox server: whose they are, how many, and what they hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from saccade.sandbox.cells import Cell
from saccade.sandbox.pool import Notebook, Sandbox
from saccade.sandbox.replay import AfterKill
from saccade.serve.gate import Call, Client, Quota, Refusal
from saccade.serve.options import ServeOptions

ENDED = "the session was ended while this request was under way"


@dataclass
class Guest:
    """A session of a client."""

    notebook: Notebook
    client: Client
    used: float = field(default_factory=time.monotonic)
    number: int = 0
    answer: bytes | None = None
    """What the cell of that number did; None if it was too large to keep."""
    held: dict[str, int] = field(default_factory=dict)
    """Bytes that are kept, by what they are."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    running: asyncio.Task[Cell] | None = None
    ended: bool = False


class Guests:
    """The sessions of all clients."""

    def __init__(
        self, options: ServeOptions, sandbox: Sandbox, *, off: frozenset[str] = frozenset()
    ) -> None:
        """Prepare.

        Args:
            options: Of the server.
            sandbox: Where notebooks run.
            off: Mechanisms that are left out, in tests of what they are for: `owner`, `held`.
        """
        self._options, self._sandbox, self._off = options, sandbox, off
        self._guests: dict[tuple[str, str], Guest] = {}
        """By whose they are, and their names: two clients may choose the same."""
        self._open = Quota(options.sandbox.max_sessions, options.sessions_per_client)
        self._cells = Quota(options.cells_waiting)
        self._held = Quota(options.sessions_mib << 20)

    @property
    def sessions(self) -> int:
        """How many there are."""
        return self._open.used

    @property
    def waiting(self) -> int:
        """How many requests run a cell, wait for that or have an answer that was not taken."""
        return self._cells.used

    def admit(
        self, name: str, client: Client, *, seed: int = 0, after_kill: AfterKill = "replay"
    ) -> Guest:
        """A new session.

        Raises:
            Refusal: there are too many.
        """
        if not self._open.take(client.share):
            own = self._open.of(client.share)
            if own >= self._options.sessions_per_client:
                error = f"{own} sessions are yours already; close some"
            else:
                error = "all sessions are taken; try again"
            raise Refusal(429, error, retry_after=1)
        notebook = Notebook(self._sandbox, seed=seed, after_kill=after_kill)
        guest = self._guests[self._key(name, client)] = Guest(notebook, client)
        return guest

    def has(self, name: str, client: Client) -> bool:
        """Whether a client has a session of this name."""
        return self._key(name, client) in self._guests

    def find(self, name: str, client: Client) -> Guest:
        """A session of a client.

        Raises:
            Refusal: there is none; of another client's it says the same.
        """
        guest = self._guests.get(self._key(name, client))
        if guest is None:
            raise Refusal(404, "there is no such session; it may have been idle for too long")
        guest.used = time.monotonic()
        return guest

    @asynccontextmanager
    async def turn(self, guest: Guest, call: Call, size: int = 0) -> AsyncIterator[None]:
        """Wait until no other request of the session is under way.

        It counts until its answer was taken: an answer is memory too.

        Args:
            guest: The session.
            call: The request.
            size: Bytes that it keeps while it waits.

        Raises:
            Refusal: too many wait, or with too much; or the session ended meanwhile.
        """
        share = guest.client.share
        if not self._cells.take(share):
            raise Refusal(429, "too many cells wait; try again", retry_after=1)
        call.sent.callback(self._cells.give_back, share)
        self.hold_more(guest, "waiting", size)
        try:
            await guest.turn.acquire()
        finally:
            self.hold_more(guest, "waiting", -size)
        try:
            if guest.ended:
                raise Refusal(404, ENDED)
            yield
        finally:
            guest.turn.release()
            guest.used = time.monotonic()
            if guest.ended:  # while its process was being made, there was none to end
                await guest.notebook.close()

    async def run(self, guest: Guest, code: str, seconds: float | None) -> Cell:
        """Run a cell, in the turn of its request.

        Raises:
            Refusal: the session was ended meanwhile.
        """
        guest.running = asyncio.create_task(guest.notebook.run(code, seconds=seconds))
        try:
            return await guest.running
        except asyncio.CancelledError:
            if guest.ended:
                raise Refusal(404, ENDED) from None
            raise
        finally:
            guest.running = None

    def hold(self, guest: Guest, what: str, size: int) -> None:
        """Keep so many bytes for a session, instead of what was kept under that name.

        Raises:
            Refusal: that is too much.
        """
        more, share = size - guest.held.get(what, 0), guest.client.share
        if not more or guest.ended or "held" in self._off:
            return
        if sum(guest.held.values()) + more > self._options.session_mib << 20:
            raise Refusal(413, f"a session may hold {self._options.session_mib} MiB; end this one")
        if more < 0:
            self._held.give_back(share, -more)
        elif not self._held.take(share, more):
            raise Refusal(429, "sessions hold too much already; try again", retry_after=5)
        guest.held[what] = size

    def hold_more(self, guest: Guest, what: str, size: int) -> None:
        """Keep so many bytes beside what is kept under that name.

        Raises:
            Refusal: that is too much.
        """
        self.hold(guest, what, guest.held.get(what, 0) + size)

    async def end(self, name: str, client: Client) -> None:
        """End a session, whatever it does; requests that wait for it are told so."""
        guest = self._guests.pop(self._key(name, client), None)
        if guest is None:
            return
        guest.ended, share = True, guest.client.share
        self._held.give_back(share, sum(guest.held.values()))
        self._open.give_back(share)
        guest.held.clear()
        guest.answer = None
        if guest.running is not None:  # before its descriptors are closed, and others get them
            guest.running.cancel()
            await asyncio.wait([guest.running])
        await guest.notebook.close()

    async def end_all(self) -> None:
        """End every session."""
        for (_, name), guest in list(self._guests.items()):
            await self.end(name, guest.client)

    async def sweep(self) -> None:
        """End sessions that nobody uses."""
        while True:
            await asyncio.sleep(min(10.0, self._options.idle_seconds / 2))
            late = time.monotonic() - self._options.idle_seconds
            for (_, name), guest in list(self._guests.items()):
                if guest.used < late and not guest.turn.locked():
                    await self.end(name, guest.client)

    def _key(self, name: str, client: Client) -> tuple[str, str]:
        return "" if "owner" in self._off else client.name, name
