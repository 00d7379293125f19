"""The host's end of the fork server: starts it, asks for sessions, starts it again if it dies."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from saccade.errors import ServiceError
from saccade.sandbox.cgroups import Cgroups, granted
from saccade.sandbox.inside.plan import MIB, Limits
from saccade.sandbox.libraries import LONG, USUAL
from saccade.sandbox.options import Mode, SandboxOptions

START_SECONDS = 120.0
SPAWN_SECONDS = 30.0
UNBOUNDED = 1 << 60
ROOT = Path(__file__).resolve().parents[2]
"""Folder of the package."""

_RUN = (
    "import sys; sys.path[:0] = sys.argv[2:]; "
    "from saccade.sandbox.inside.zygote import main; main(int(sys.argv[1]))"
)
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp", "TMPDIR": "/tmp",
    "MPLBACKEND": "Agg", "MPLCONFIGDIR": "/tmp", "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENCV_OPENCL_RUNTIME": "disabled",
    "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
    # Few arenas: each reserves address space, which is limited. Plain malloc can use huge pages.
    "MALLOC_ARENA_MAX": "2", "PYTHONMALLOC": "malloc",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}  # fmt: skip


class Refused(ServiceError):
    """The kernel of this machine lacks what a mode needs."""


class Started(NamedTuple):
    """A session as the fork server made it."""

    channel: socket.socket
    pid: int
    handle: int
    """A descriptor for the process."""
    printed: tuple[int, int]
    """Descriptors of what it prints."""
    slot: int
    scratch: str


class Server:
    """One fork server. Thread-safe."""

    def __init__(
        self, options: SandboxOptions, mode: Mode, *, off: frozenset[str] = frozenset()
    ) -> None:
        """Remember how to start it; `off` leaves mechanisms out, in tests of what they are for."""
        self.mode: Mode = mode
        self._options, self._off = options, off
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._live: dict[int, Started] = {}
        """By slot."""
        self.landlock = 0
        self._cgroups: Cgroups | None = None
        self._given_up: list[Cgroups] = []
        self._moving: threading.Thread | None = None
        self._ahead: int | OSError = 0
        """The slot whose group the fork server is in, or why it is in none."""
        self._resident = 0
        """Bytes of memory that the libraries take."""

    @property
    def cgroup(self) -> str:
        """What limits the kernel's memory of a session: cgroups "v1" or "v2", or "none"."""
        return "none" if self._cgroups is None else self._cgroups.kind

    def most(self, limits: Limits) -> int:
        """Bytes that a session takes at most, the kernel's included, where cgroups are granted."""
        counted = limits.memory_mib + limits.scratch_mib + 2 * limits.file_mib
        return self._resident + (counted + limits.held_mib()) * MIB

    def start(self) -> None:
        """Start the server, unless it runs.

        Raises:
            Refused: the kernel lacks a mechanism.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()

    def spawn(self, limits: Limits, seed: int, off: frozenset[str]) -> Started:
        """Make a session. Takes some milliseconds; to be called in a thread.

        Raises:
            ServiceError: the server did not make it.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            assert self._control is not None
            bounded = "cgroup" not in off | self._off
            slot = self._slot(self.most(limits) if bounded else UNBOUNDED)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            printed = os.memfd_create("stdout"), os.memfd_create("stderr")
            for descriptor in printed:
                _append_only(descriptor)
            scratch = f"saccade-{secrets.token_hex(8)}"
            order = {
                "slot": slot, "seed": seed, "scratch": scratch,
                "limits": asdict(limits), "off": sorted(self._off | off),
            }  # fmt: skip
            try:
                socket.send_fds(
                    self._control, [json.dumps(order).encode()], [theirs.fileno(), *printed]
                )
                packet, handles, _, _ = socket.recv_fds(self._control, 1 << 16, 1)
            except OSError as error:
                packet, handles = b"", []
                reason = str(error)
            else:
                reason = "the fork server has died" if not packet else ""
            theirs.close()
            reply: Mapping[str, int] = json.loads(packet) if packet else {}
            if "pid" not in reply or not handles:
                ours.close()
                for descriptor in (*printed, *handles):
                    os.close(descriptor)
                raise ServiceError(f"sandbox: no session: {reply.get('error') or reason}")
            session = Started(ours, reply["pid"], handles[0], printed, slot, scratch)
            self._live[slot] = session
            if self._cgroups is not None:
                self._go_ahead(self._cgroups)
        ours.settimeout(SPAWN_SECONDS)
        try:
            up = ours.recv(4096)
        except OSError as error:
            up = str(error).encode()
        if up != b"up":
            self.bury(session)
            raise ServiceError(f"sandbox: a session did not lock itself down: {up[:500]!r}")
        ours.setblocking(False)
        return session

    def _next_slot(self) -> int:
        return next(n for n in range(len(self._live) + 1) if n not in self._live)

    def _go_ahead(self, cgroups: Cgroups) -> None:
        """Move the fork server into the group of the next session, meanwhile."""
        assert self._process is not None
        if self._moving is not None:
            self._moving.join()
        slot, pid = self._next_slot(), self._process.pid

        def move() -> None:
            try:
                cgroups.enter(slot, pid)
            except OSError as error:
                self._ahead = error
            else:
                self._ahead = slot

        self._moving = threading.Thread(target=move, daemon=True)
        self._moving.start()

    def _slot(self, most: int) -> int:
        """The slot of the next session; with cgroups that whose group the fork server is in.

        Groups that somebody has removed or closed are made anew, and if that is no longer granted
        it goes on as where it never was.
        """
        for again in (True, False):
            if self._cgroups is None:
                break
            if self._moving is None:
                self._go_ahead(self._cgroups)
            assert self._moving is not None
            self._moving.join()
            slot = self._ahead
            if not isinstance(slot, OSError):
                try:
                    self._cgroups.limit(slot, most)
                except OSError:
                    pass
                else:
                    return slot
            self._moving = None
            self._given_up.append(self._cgroups)
            self._cgroups = granted() if again else None
        return self._next_slot()

    def bury(self, session: Started) -> None:
        """Kill a session and give back all that it had; once."""
        with self._lock:
            if self._live.get(session.slot) is not session:
                return
            with contextlib.suppress(ProcessLookupError):
                signal_process(session, signal.SIGKILL)
            session.channel.close()
            for descriptor in (session.handle, *session.printed):
                os.close(descriptor)
            del self._live[session.slot]
        if self.mode != "namespaces" or self._off:
            shutil.rmtree(Path(self._options.scratch) / session.scratch, ignore_errors=True)

    def close(self) -> None:
        """End the server and all sessions."""
        atexit.unregister(self.close)
        for session in list(self._live.values()):
            self.bury(session)
        with self._lock:
            if self._control is not None:
                self._control.close()
                self._control = None
            if self._process is not None:
                try:
                    self._process.wait(10)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
                self._process = None
            if self._moving is not None:
                self._moving.join()
                self._moving = None
            if self._cgroups is not None:
                self._given_up.append(self._cgroups)
                self._cgroups = None
            while self._given_up:
                self._given_up.pop().close()

    def _start(self) -> None:
        if self._control is not None:  # it has died
            self._control.close()
            self._control = None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = dict(_ENVIRONMENT)
        if "environment" in self._off:
            environment = {**os.environ, **_ENVIRONMENT}
        if "LD_LIBRARY_PATH" in os.environ:
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _RUN, str(theirs.fileno()), str(ROOT), *packages()],
            env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip
        theirs.close()
        wanted = {
            "mode": self.mode, "off": sorted(self._off), "first_user": self._options.first_user,
            "scratch": self._options.scratch, "huge_pages": True,
            "packages": packages(),
            "libraries": LONG if self._options.libraries == "long" else USUAL,
        }  # fmt: skip
        ours.settimeout(START_SECONDS)
        with tempfile.TemporaryDirectory(prefix="saccade-root.") as folder:
            # An empty folder to hang the root in; once inside, nobody needs it.
            os.chmod(folder, 0o755)
            try:
                ours.send(json.dumps({**wanted, "root": folder}).encode())
                reply = json.loads(ours.recv(1 << 16) or b'{"error": "it died"}')
            except (OSError, ValueError) as error:
                reply = {"error": str(error)}
        if "ready" not in reply:
            ours.close()
            self._process.kill()
            self._process.wait()
            self._process = None
            raise Refused(f"sandbox: mode {self.mode}: {reply.get('error')}")
        ours.settimeout(SPAWN_SECONDS)
        atexit.register(self.close)
        self._control, self.landlock = ours, reply["landlock"]
        self._resident = reply["resident"]
        if self._cgroups is None:
            self._cgroups = granted()
        if self._cgroups is not None:
            self._go_ahead(self._cgroups)
            assert self._moving is not None
            self._moving.join()
            if isinstance(self._ahead, OSError):  # they can be made, but not entered
                self._given_up.append(self._cgroups)
                self._moving = self._cgroups = None


def signal_process(session: Started, number: int) -> None:
    """Send a signal to a session's process.

    Raises:
        ProcessLookupError: it has ended.
    """
    signal.pidfd_send_signal(session.handle, number)


def packages() -> list[str]:
    """Folders of installed packages that this process imports from, wherever they are."""
    return [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]


def _append_only(descriptor: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND | os.O_RDWR)
