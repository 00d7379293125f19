"""A session: one locked-down process, its cells and what comes back of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

from PIL import Image as PILImage

from saccade.errors import ServiceError
from saccade.sandbox import threads
from saccade.sandbox.cells import Cell, ChannelError, Head, Status, clean, read_head
from saccade.sandbox.inside.plan import Limits
from saccade.sandbox.inside.wire import CHUNK, PACKET
from saccade.sandbox.memory import shared_image
from saccade.sandbox.server import Server, Started, signal_process

STRAY_PACKETS = 512
"""Number of packets that a session may send beside its result before it is ended."""


MAX_CODE_BYTES = 16 << 20
"""Bytes of a cell; a longer one is an error, and nothing of it runs."""


class Session:
    """One process with its variables. It ends when a cell kills it; `Notebook` goes on then."""

    def __init__(
        self, server: Server, started: Started, limits: Limits, *, off: frozenset[str] = frozenset()
    ) -> None:
        self._server, self._started, self._limits, self._off = server, started, limits, off
        self._number = 0
        self._stopped = False
        self._trust = "channel" in off
        self.ended: str | None = None
        """Why it has ended."""

    @property
    def pid(self) -> int:
        return self._started.pid

    def printed_bytes(self) -> int:
        """How much it has printed since its last cell began."""
        return sum(os.fstat(descriptor).st_size for descriptor in self._started.printed)

    async def give(
        self, name: str, image: PILImage.Image, *, seconds: float | None = None
    ) -> float:
        """Define a variable that holds an image: its pixels, without name, path or metadata.

        A session that does not take it in time is ended.

        Args:
            name: Of the variable.
            image: The image.
            seconds: How long the session may take; the default is the time of a cell.

        Returns:
            How long it took.
        """
        if self.ended:
            return 0.0
        message = json.dumps({"op": "image", "name": name}).encode()
        memory = await threads.in_thread(lambda: shared_image(image))
        patience = self._patience(self._limits.seconds if seconds is None else seconds)
        stopped, begun = self._stopped, time.monotonic()
        try:
            async with asyncio.timeout(patience):
                while not self._sent(message, memory.descriptor):
                    self._stop(False)
                    await asyncio.sleep(0.001)
        except TimeoutError:
            await self._lose(f"the session took no image for {patience:g} seconds, and was killed")
        except OSError:
            await self._lose("the process of the session ended")
        except asyncio.CancelledError:
            self._give_up()
            raise
        else:
            self._stop(stopped)
        return time.monotonic() - begun

    async def run(
        self, code: str, *, seconds: float | None = None, number: int | None = None
    ) -> Cell:
        """Run a cell; whatever it does, this returns.

        Args:
            code: What to run.
            seconds: How long it may run, at most what the limits say.
            number: Of the cell; the default is one more than that of the last one.

        Raises:
            ServiceError: it showed images, and this machine did not take them in time.
        """
        if self.ended:
            return Cell("killed", error=self.ended)
        data = code.encode("utf-8", "surrogatepass")
        self._number = number or self._number + 1
        if len(data) > MAX_CODE_BYTES:
            return Cell("error", error=f"a cell has at most {MAX_CODE_BYTES:,} bytes of code")
        seconds = min(seconds or self._limits.seconds, self._limits.seconds)
        started = time.monotonic()
        for descriptor in self._started.printed:
            os.ftruncate(descriptor, 0)
        self._stop(False)
        try:
            async with asyncio.timeout(self._patience(seconds)):
                await self._send(data, seconds)
                head = await self._head()
                pixels = [await self._pixels(size) for size in head.sizes]
            self._stop(True)
            if not pixels:
                return self._cell(head.status, started, head)
            return await threads.in_thread(lambda: self._cell(head.status, started, head, pixels))
        except ServiceError as error:
            await self._lose(str(error))
            raise
        except TimeoutError:
            reason = f"the cell did not stop after {seconds:g} seconds, and its process was killed"
        except ChannelError as error:
            reason = f"the session sent back what it must not ({error}), and was killed"
        except OSError:
            reason = "the process of the session ended"
        except asyncio.CancelledError:
            self._give_up()
            raise
        cell = self._cell("killed", started, error=reason)
        await self._lose(reason)
        return cell

    def kill(self) -> None:
        """End its process: a cell under way ends, as killed."""
        if self.ended is None:
            with suppress(ProcessLookupError):
                signal_process(self._started, signal.SIGKILL)

    def close(self) -> None:
        """End it; no cell may be under way."""
        self._end("the session was closed")

    def _patience(self, seconds: float) -> float:
        return seconds + self._limits.grace_seconds if "deadline" not in self._off else 600.0

    def _sent(self, message: bytes, descriptor: int) -> bool:
        """Whether an image is on its way; false where the session must take others first."""
        try:
            socket.send_fds(self._started.channel, [message], [descriptor])
        except BlockingIOError:
            return False
        return True

    async def _send(self, data: bytes, seconds: float) -> None:
        loop, channel = asyncio.get_running_loop(), self._started.channel
        head = {"op": "cell", "number": self._number, "size": len(data), "seconds": seconds}
        await loop.sock_sendall(channel, json.dumps(head).encode())
        for start in range(0, len(data), CHUNK):
            await loop.sock_sendall(channel, data[start : start + CHUNK])

    async def _head(self) -> Head:
        for _ in range(STRAY_PACKETS):
            packet = await self._packet()
            if packet[:1] == b"R":
                head = read_head(packet[1:], self._number, self._limits, trust=self._trust)
                if head is not None:
                    return head
            await asyncio.sleep(0)  # a session that sends many holds up nobody else
        raise ChannelError("more packets than a result has")

    async def _pixels(self, size: tuple[int, int]) -> bytearray:
        wanted = 3 * size[0] * size[1]
        pixels = bytearray()
        while len(pixels) < wanted:
            packet = await self._packet()
            fits = packet[:1] == b"D" and len(packet) == min(CHUNK, wanted - len(pixels)) + 1
            if not fits and not self._trust:
                raise ChannelError("pixels")
            pixels += packet[1:]
            await asyncio.sleep(0)  # a session that sends without a pause holds up nobody else
        return pixels

    async def _packet(self) -> bytes:
        loop = asyncio.get_running_loop()
        packet = await loop.sock_recv(self._started.channel, PACKET + 1)
        if not packet:
            raise ConnectionError
        if len(packet) > PACKET:
            raise ChannelError("a packet that is too long")
        return packet

    def _cell(
        self,
        status: Status,
        started: float,
        head: Head | None = None,
        pixels: Sequence[bytearray] = (),
        error: str | None = None,
    ) -> Cell:
        notes: list[str] = []
        printed = [
            self._printed(descriptor, name, notes)
            for descriptor, name in zip(self._started.printed, ("stdout", "stderr"), strict=True)
        ]
        sizes = head.sizes if head else ()
        return Cell(
            status=status,
            stdout=printed[0],
            stderr=printed[1],
            value=head.value if head else None,
            error=head.error if head else error,
            images=tuple(
                PILImage.frombytes("RGB", size, bytes(data))
                for size, data in zip(sizes, pixels, strict=True)
            ),
            notes=(*(head.notes if head else ()), *notes),
            seconds=time.monotonic() - started,
        )

    def _printed(self, descriptor: int, name: str, notes: list[str]) -> str:
        """The beginning and the end of what was printed."""
        size, most = os.fstat(descriptor).st_size, self._limits.text
        if "output" in self._off:
            most = max(most, size)
        if size <= most:
            text = os.pread(descriptor, size, 0).decode("utf-8", "replace")
            return text if self._trust else clean(text)
        first, last = most * 3 // 4, most // 4
        notes.append(f"{size - first - last} bytes of {name} were left out")
        start = os.pread(descriptor, first, 0).decode("utf-8", "replace")
        end = os.pread(descriptor, last, size - last).decode("utf-8", "replace")
        return clean(f"{start}\n... [{size - first - last} bytes left out] ...\n{end}")

    def _stop(self, stop: bool) -> None:
        """An idle session gets no processor time, whatever threads it has."""
        if stop != self._stopped and "freeze" not in self._off:
            with suppress(ProcessLookupError):
                signal_process(self._started, signal.SIGSTOP if stop else signal.SIGCONT)
            self._stopped = stop

    async def _lose(self, reason: str) -> None:
        """End it beside the event loop: the server may be making another session meanwhile."""
        self.ended = self.ended or reason
        await asyncio.to_thread(self._server.bury, self._started)

    def _give_up(self) -> None:
        """End it where nobody can wait for that."""
        self.kill()
        self.ended = self.ended or "the cell was given up"
        asyncio.get_running_loop().run_in_executor(None, self._server.bury, self._started)

    def _end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self._server.bury(self._started)
