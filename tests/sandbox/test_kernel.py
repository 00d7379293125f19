"""What the kernel does and keeps for a session is bounded, and honest cells do without the rest."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from unhurried import UNHURRIED
from waiting import until

from saccade.sandbox import Notebook, Sandbox, SandboxOptions
from saccade.sandbox.abuses import signals
from saccade.sandbox.abuses.commit import commit, neighbour_in
from saccade.sandbox.abuses.scene import Scene
from saccade.sandbox.cgroups import Cgroups, granted
from saccade.sandbox.server import Server


async def not_held(sandbox: Sandbox, off: frozenset[str]) -> list[tuple[str, str]]:
    """Abuses by signals that work although the filter is there."""
    tried = [a for a in signals.ABUSES if {"arguments", "seccomp"} & {*a.held_by}]
    assert len(tried) > 20
    escaped = []
    with Scene() as scene:
        neighbour = await neighbour_in(sandbox)
        for abuse in tried:
            verdict = await commit(abuse, sandbox, scene, neighbour, off)
            if not verdict.contained:
                escaped.append((abuse.name, verdict.evidence))
                scene.restore()
        neighbour.close()
    return escaped


@pytest.fixture
def no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork server that starts soon."""
    monkeypatch.setattr("saccade.sandbox.server.USUAL", ())


@pytest.mark.usefixtures("no_libraries")
async def test_landlock_below_6_and_an_ordinary_user_do_not_matter() -> None:
    """Sessions that are root as the host is, with no rule about signals."""
    options = SandboxOptions(mode="landlock", allow_degraded=True, limits=UNHURRIED)
    async with Sandbox(options) as sandbox:
        assert await not_held(sandbox, frozenset({"user", "landlock"})) == []


SPARSE = """
import ctypes
call, size = ctypes.CDLL(None).mmap, ctypes.c_size_t
call.restype, call.argtypes = ctypes.c_void_p, [size, size, *[ctypes.c_int] * 4]
def scatter(most):
    # A page here and there: each needs tables of its own, which no limit on address space counts.
    for number in range(most):
        place = call((1 << 44) - (number << 30), 4096, 3, 0x100022, -1, 0)
        if not place or place == 2**64 - 1:
            return number
        ctypes.memset(place, 1, 1)
    return most
"""


def group_of(pid: int) -> Path | None:
    """The memory cgroup of a process, where this process may make some beside its own."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory") / path.lstrip("/")
        if number == "0" and "memory" in MIXED.joinpath("cgroup.controllers").read_text():
            return MIXED / path.lstrip("/")
    return None


MIXED = Path("/sys/fs/cgroup/unified")
if not MIXED.exists():
    MIXED = MIXED.parent


def used(pid: int) -> int:
    """Bytes that the kernel counts for a session, its own included."""
    group = group_of(pid)
    assert group is not None
    assert group.parent.name.startswith("saccade-"), group
    for name in ("memory.usage_in_bytes", "memory.current"):
        if (group / name).exists():
            return int((group / name).read_text())
    raise AssertionError(group)


@pytest.fixture
def cgroups() -> None:
    own = group_of(os.getpid())
    if own is None or not (os.access(own, os.W_OK) and os.access(own.parent, os.W_OK)):
        pytest.skip("this machine grants no memory cgroup")


@pytest.mark.usefixtures("cgroups")
async def test_a_cgroup_counts_what_the_kernel_holds(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "most", lambda server, limits: 64 << 20)
    held = await sandbox.session()
    cell = await held.run(f"{SPARSE}scatter(6000)")
    assert (cell.status, cell.error) == ("killed", "the process of the session ended")
    free = await sandbox.session(off=frozenset({"cgroup"}))
    assert (await free.run(f"{SPARSE}scatter(6000)")).value == "6000"
    free.close()


@pytest.mark.usefixtures("cgroups")
async def test_groups_that_are_gone_are_made_anew(sandbox: Sandbox) -> None:
    first = await sandbox.session()
    group, own = group_of(first.pid), group_of(os.getpid())
    assert group is not None
    assert own is not None

    def is_gone(folder: Path) -> bool:
        for inside in [*folder.glob("*/"), folder]:
            with suppress(OSError):  # a process in it is ending
                for pid in (inside / "cgroup.procs").read_text().split():
                    (own / "cgroup.procs").write_text(pid)
                inside.rmdir()
        return not folder.exists()

    await until(lambda: is_gone(group.parent))
    second = await sandbox.session()
    assert used(second.pid) > 0
    assert group_of(second.pid) != group
    for session in (first, second):
        session.close()


@pytest.mark.usefixtures("cgroups", "no_libraries")
async def test_groups_that_nobody_may_enter_break_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    own = group_of(os.getpid())
    assert own is not None
    mine = f"saccade-*-{os.getpid()}-*"  # other tests run beside this one
    before = {*own.glob(mine), *own.parent.glob(mine)}
    monkeypatch.setattr(Cgroups, "enter", refused)
    async with Sandbox(SandboxOptions(limits=UNHURRIED)) as without, without.notebook() as notebook:
        assert (await notebook.run("1 + 1")).value == "2"
    assert {*own.glob(mine), *own.parent.glob(mine)} == before


def refused(groups: Cgroups, place: int, pid: int) -> None:
    raise PermissionError(groups, place, pid)


def test_a_kernel_without_cgroups_grants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saccade.sandbox.cgroups.Path", lambda name: Path(f"/nowhere{name}"))
    assert granted() is None


GREEDY = f"""
import fcntl, mmap, os, socket, threading, time
{SPARSE}
libc, kept, full, stay = ctypes.CDLL(None), [], [], threading.Event()
def until_refused(action, most):
    try:
        for number in range(most):
            kept.append(action(number))
    except OSError as error:
        print(action.__name__, error)
def lock(number):
    fcntl.lockf(locked, fcntl.LOCK_EX, 1, 2 * number)
def share(number):
    memory = mmap.mmap(-1, 8 << 20, mmap.MAP_SHARED)
    memory[::4096] = bytes(2048)
    memory.resize(4096)
    return memory
def name(number):
    os.symlink('x' * 100, f'{{number:0255}}')
def pair(number):
    for end in socket.socketpair():
        kept.append(end)
        end.setblocking(False)
        try:
            while True:
                end.send(bytes(1 << 15))
        except BlockingIOError:
            pass
def fill():
    libc.close_range(1 << 20, 1 << 20, 2)  # a table of descriptors of its own
    together.wait()
    until_refused(pair, 100)
    full.append(True)
    stay.wait()
locked, together = open('locked', 'wb'), threading.Barrier(6)
threading.stack_size(1 << 16)
for _ in range(6):
    threading.Thread(target=fill, daemon=True).start()
while len(full) < 6:
    time.sleep(0.01)
until_refused(share, 8)
until_refused(lock, 1000)
until_refused(name, 5000)
print(scatter(20_000), 'mappings')
"""


@pytest.mark.usefixtures("cgroups")
async def test_all_at_once_is_no_more_than_stated(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets, shared memory, locks, names, mappings: counted from outside, not stopped there."""
    monkeypatch.setattr(Server, "most", lambda server, limits: 1 << 40)
    limits = replace(
        UNHURRIED, memory_mib=48, scratch_mib=8, scratch_files=1000, open_files=64, threads=10
    )
    tables = 2 * limits.memory_mib  # two for each page
    most = limits.memory_mib + tables + limits.scratch_mib + limits.held_mib()
    held = await sandbox.session(limits=limits)
    cell = await held.run(GREEDY)
    assert cell.status == "ok", cell.error
    assert used(held.pid) >> 20 <= most, cell.stdout
    free = await sandbox.session(limits=limits, off=frozenset({"arguments"}))
    cell = await free.run(GREEDY)
    assert cell.status == "ok", cell.error
    assert used(free.pid) >> 20 > most, cell.stdout
    for session in (held, free):
        session.close()


async def test_what_honest_cells_need_works(notebook: Notebook) -> None:
    cells = {
        # SQLite locks its files, and looks for locks of others.
        """
import sqlite3
def rows(name, journal):
    one, other = sqlite3.connect(name), sqlite3.connect(name)
    one.execute(f'pragma journal_mode={journal}')
    one.execute('create table t (x)')
    one.execute('insert into t values (1)')
    one.commit()
    return other.execute('select x from t').fetchall()
[rows('a.db', 'delete'), rows('b.db', 'wal')]
""": "[[(1,)], [(1,)]]",
        "import asyncio\nawait asyncio.gather(asyncio.to_thread(int, '7'), asyncio.sleep(0, 8))":
            "[7, 8]",
        """
import threading
results = []
threads = [threading.Thread(target=results.append, args=(n,)) for n in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sorted(results)
""": "[0, 1, 2, 3]",
        "import numpy\nkept = numpy.memmap('m', 'u1', 'w+', shape=5000)\nkept[:] = 3\n"
        "kept.flush()\nint(numpy.fromfile('m', 'u1').sum())": "15000",
        "import mmap\nkept = mmap.mmap(-1, 4096)\nkept[:2] = b'ab'\nkept.resize(8192)\nkept[:3]":
            r"b'ab\x00'",
        "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: results.append('signal'))\n"
        "signal.raise_signal(signal.SIGUSR1)\nresults[-1]": "'signal'",
        "import os\nend, other = os.pipe()\nos.set_blocking(end, False)\nos.write(other, b'x')\n"
        "os.read(end, 1)": "b'x'",
        "import os, shutil\nos.makedirs('a/b')\nshutil.copytree('a', 'c')\nos.listdir('c')":
            "['b']",
        "import getpass, selectors, socket\nseveral = selectors.DefaultSelector()\n"
        "for end in socket.socketpair(): several.register(end, selectors.EVENT_WRITE)\n"
        "getpass.getuser(), len(several.select())": "('sandbox', 2)",
        "open('/dev/null', 'w').write('x'), len(os.urandom(4))": "(1, 4)",
    }  # fmt: skip
    for code, value in cells.items():
        cell = await notebook.run(code)
        assert cell.value == value, (code, cell.error)
