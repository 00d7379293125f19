"""Other processes, and what outlives a cell."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image as PILImage

from saccade.sandbox.abuses import Abuse
from saccade.sandbox.abuses.scene import Scene
from saccade.sandbox.cells import Cell
from saccade.sandbox.session import Session

_TICKS = os.sysconf("SC_CLK_TCK")


WAIT_SECONDS = 60.0
"""How long to wait for what must happen: even a busy machine needs a fraction of it."""


async def _idle(scene: Scene, session: Session, cell: Cell) -> bool:
    """Whether the process gets no processor time while no cell runs."""
    return await _stands_still(session, lambda: _processor_seconds(session.pid), least=0.05)


async def _says_nothing_more(scene: Scene, session: Session, cell: Cell) -> bool:
    """Whether nothing is printed after the cell, not even when the session is given something."""
    if not session.ended:
        await session.give("given_later", PILImage.new("RGB", (1, 1)))
    return await _stands_still(session, session.printed_bytes, least=4)


async def _stands_still(session: Session, count: Callable[[], float], *, least: float) -> bool:
    """Whether a session is stopped, and `count` stays as it is from then on.

    One that is not stopped shows it: it counts at least `least` further, more than a thread can do
    before it notices that it was stopped.
    """
    if session.ended:
        return True
    before = count()
    await _happens(lambda: _is_stopped(session.pid) or count() - before >= least)
    if not _is_stopped(session.pid):
        return False
    before = count()
    await asyncio.sleep(0.1)
    return count() == before


async def _gone(scene: Scene, session: Session, cell: Cell) -> bool:
    """Whether nothing of a closed session is left."""
    session.close()
    return await _happens(lambda: not os.path.exists(f"/proc/{session.pid}"))


async def _happens(condition: Callable[[], bool]) -> bool:
    """Whether something happens, however long a busy machine takes."""
    until = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.01)
    return True


def _is_stopped(pid: int) -> bool:
    """Whether all threads of a process are stopped by a signal."""
    return all(_stat(path)[0] == "T" for path in Path(f"/proc/{pid}/task").glob("*/stat"))


def _processor_seconds(pid: int) -> float:
    fields = _stat(Path(f"/proc/{pid}/stat"))
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _stat(path: Path) -> list[str]:
    """The fields after the name of the program."""
    return path.read_text().rpartition(")")[2].split()


_FORKS = """
children = []
try:
    for _ in range(40):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        children.append(pid)
except OSError as error:
    print(error)
print("ESCAPED" if len(children) == 40 else "CONTAINED", len(children))
"""
_THREADS = """
import threading
threading.stack_size(1 << 16)
stop = threading.Event()
started = []
try:
    for _ in range(200):
        thread = threading.Thread(target=stop.wait, daemon=True)
        thread.start()
        started.append(thread)
except RuntimeError as error:
    print(error)
stop.set()
print("ESCAPED" if len(started) == 200 else "CONTAINED", len(started))
"""
_NOT_ALONE = "a session is one process: there is nothing to switch off that would let it reach more"

ABUSES = (
    Abuse("fork bomb", _FORKS, ("seccomp", "threads")),
    Abuse("fork bomb by vfork", """
reaches('clone', 17 | 0x4000, 0, 0, 0, 0)
if os.getpid() != _me: os._exit(0)
""".replace("reaches", "_me = os.getpid()\nreaches", 1), ("seccomp", "threads")),
    Abuse("thread bomb", _THREADS, ("threads",)),
    Abuse(
        "signal a process of the host", "attempt(lambda: os.kill(VICTIM, 0))",
        ("processes", "seccomp", "user", "landlock"),
    ),
    Abuse(
        "kill a process of the host", "attempt(lambda: os.kill(VICTIM, 9))",
        ("processes", "seccomp", "user", "landlock"),
    ),
    Abuse(
        "signal the parent", "attempt(lambda: os.kill(HOST, 0))",
        ("processes", "seccomp", "user", "landlock"),
    ),
    Abuse("signal every process by number", """
reached = []
for pid in range(2, 40000):
    try:
        os.kill(pid, 0)
        reached.append(pid)
    except OSError:
        pass
reached = [pid for pid in reached if pid != os.getpid()]
print("ESCAPED" if reached else "CONTAINED", reached[:5])
""", ("processes", "seccomp", "user", "landlock")),
    Abuse("number of its own process", """
print("CONTAINED" if os.getpid() == 1 and os.getppid() == 0 else "ESCAPED", os.getpid())
""", ("processes",), modes=("namespaces",)),
    Abuse(
        "kill(-1)",
        "try:\n    os.kill(-1, 9)\nexcept OSError as e:\n    print(e)\nprint('CONTAINED')",
        (), may_end=True, always="off, it would kill processes of the host",
    ),
    Abuse(
        "kill itself", "os.kill(os.getpid(), 9)\nprint('CONTAINED')", (), may_end=True,
        always=_NOT_ALONE,
    ),
    Abuse("os._exit", "os._exit(0)", (), may_end=True, always=_NOT_ALONE),
    Abuse("os.abort", "os.abort()", (), may_end=True, always=_NOT_ALONE),
    Abuse("segmentation fault", "ctypes.string_at(0)", (), may_end=True, always=_NOT_ALONE),
    Abuse(
        "stack overflow", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()\nf()", (),
        seconds=1.0, may_end=True, always=_NOT_ALONE,
    ),
    Abuse("thread that outlives the cell", """
import threading
def spin():
    while True:
        try:
            while True: sum(range(100))
        except BaseException:
            pass
threading.Thread(target=spin, daemon=True).start()
time.sleep(0.1)
print("CONTAINED")
""", ("freeze",), check=_idle),
    Abuse("thread that goes on printing", """
import threading
def chatter():
    while True:
        try:
            os.write(1, b'x')
            time.sleep(0.01)
        except BaseException:
            pass
threading.Thread(target=chatter, daemon=True).start()
time.sleep(0.1)
print("CONTAINED")
""", ("freeze",), check=_says_nothing_more),
    Abuse("thread that prints later", """
import threading
def late():
    while 'given_later' not in globals():
        try:
            time.sleep(0.01)
        except BaseException:
            pass
    os.write(1, b'late')
threading.Thread(target=late, daemon=True).start()
time.sleep(0.1)
print("CONTAINED")
""", ("freeze",), check=_says_nothing_more),
    Abuse(
        "atexit handler",
        "import atexit\natexit.register(lambda: time.sleep(60))\nprint('CONTAINED')",
        (), check=_gone, always="a session ends by SIGKILL; nothing runs at its exit",
    ),
    Abuse(
        "ignored signals", """
import signal
for number in range(1, 64):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
print("CONTAINED")
""", (), check=_gone, always="SIGKILL cannot be ignored",
    ),
    Abuse(
        "child that outlives the session", "attempt(lambda: os.fork() or os._exit(0))",
        ("seccomp", "threads"),
    ),
    Abuse("process of multiprocessing", """
def work(): pass
def start():
    import multiprocessing
    process = multiprocessing.get_context('fork').Process(target=work)
    process.start()
    process.join()
attempt(start)
""", ("seccomp", "threads", "landlock")),
)  # fmt: skip
