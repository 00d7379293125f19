"""Servers for tests: `saccade serve` as a process, and a small gate in the running loop."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO

import httpx
from waiting import LIMIT_S, Clock


class Host:
    """`saccade serve` in a process of its own."""

    def __init__(self, *settings: str, token: str, log: IO[bytes], serves: str) -> None:
        self._log, self.said = log, ""
        self.child = subprocess.Popen(
            [sys.executable, "-m", "saccade", "serve", serves, "port=0", *settings],
            stdout=subprocess.PIPE, stderr=log, text=True,
            env={**os.environ, f"SACCADE_{serves.upper()}_TOKEN": token},
        )  # fmt: skip

    @cached_property
    def url(self) -> str:
        """Where it can be reached, once it has said so."""
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        found = re.search(r"http://\S+(?=;)", line)
        assert found, (line, self.logged)
        self.said = line
        return found[0]

    @property
    def logged(self) -> str:
        """What it has written to standard error."""
        return Path(self._log.name).read_text()

    def client(self, address: str = "127.0.0.1", **headers: str) -> httpx.Client:
        """A client at an address of the loopback network."""
        transport = httpx.HTTPTransport(local_address=address, verify=False)  # no time for CAs
        return httpx.Client(
            base_url=self.url, timeout=LIMIT_S, transport=transport, headers=headers,
            trust_env=False,
        )  # fmt: skip

    def peak_mib(self) -> float:
        """The most memory that it has had since the last time this was asked."""
        process = Path(f"/proc/{self.child.pid}")
        found = re.search(r"VmHWM:\s+(\d+)", (process / "status").read_text())
        assert found is not None
        (process / "clear_refs").write_text("5")
        return int(found[1]) / 1024

    def kept_mib(self) -> float:
        """Memory that it has now, of its own and in files that have no name."""
        process = Path(f"/proc/{self.child.pid}")
        found = re.search(r"VmRSS:\s+(\d+)", (process / "status").read_text())
        assert found is not None
        opened = [
            each for each in (process / "fd").iterdir() if "memfd:image" in str(each.readlink())
        ]
        return int(found[1]) / 1024 + sum(each.stat().st_size for each in opened) / 2**20

    def cpu_s(self) -> float:
        """Processor time that it has used."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, number: int = signal.SIGKILL) -> int:
        """Send it a signal, and wait for its end."""
        self.child.send_signal(number)
        code = self.child.wait(LIMIT_S)
        if self.child.stdout:
            self.child.stdout.close()
        return code


@contextmanager
def hosted(*settings: str, token: str = "", serves: str = "sandbox") -> Iterator[Host]:
    """A host for the time of a block."""
    with tempfile.NamedTemporaryFile() as log:
        host = Host(*settings, token=token, log=log, serves=serves)  # type: ignore[arg-type]
        try:
            yield host
        finally:
            if host.child.poll() is None:
                host.end()


@asynccontextmanager
async def connected(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which a test writes what it likes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def sent(port: int, data: bytes) -> bytes:
    """All that is answered to bytes on a connection of their own, until it is closed there."""
    async with connected(port) as (reader, writer):
        writer.write(data)
        return await ended(reader)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes."""
    read = bytearray()
    with suppress(ConnectionError):
        async with asyncio.timeout(LIMIT_S):
            while part := await reader.read(1 << 16):
                read += part
    return bytes(read)


@asynccontextmanager
async def gated(gate: object) -> AsyncIterator[int]:
    """A gate that is served in the running loop; its port."""
    from saccade.serve.gate.running import GateServer

    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = GateServer(gate, ready.set_result)  # type: ignore[arg-type]
    serving, clock = asyncio.create_task(server.serve()), Clock()
    try:
        yield int((await ready).rpartition(":")[2])
    finally:
        server.should_exit = True
        for _ in range(10):  # it looks every tenth of a second
            clock.forward(0.1)
            await asyncio.sleep(0)
        await serving
