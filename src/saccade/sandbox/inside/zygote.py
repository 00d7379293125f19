"""The fork server: loads the libraries once, then makes a locked-down copy of itself per session.

    python -I -c "..." DESCRIPTOR     # started by `saccade.sandbox.server`

It is trusted and has one thread. Copies are made before any code of a model runs, and the server
itself never reads what a session writes.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import re
import resource
import select
import selectors
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import Self, TypedDict

from PIL import Image

from saccade.sandbox.inside import filter as calls
from saccade.sandbox.inside import jail, kernel
from saccade.sandbox.inside.jail import House
from saccade.sandbox.inside.plan import Limits, Order
from saccade.sandbox.inside.session import serve
from saccade.sandbox.inside.wire import CHANNEL


class Wanted(TypedDict):
    """What the host says at the start."""

    mode: str
    off: list[str]
    libraries: list[str]
    packages: list[str]
    first_user: int
    scratch: str
    root: str
    huge_pages: bool


LOOK_UP = 2.0
"""Seconds between two looks whether the host still lives."""

PAGE = resource.getpagesize()
HUGE = 2 << 20


def main(descriptor: int) -> None:
    """Serve orders until the host is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the host to answer
    control = socket.socket(fileno=descriptor)
    host = os.getppid()
    try:
        wanted = json.loads(control.recv(1 << 16))
        house, reply = prepare(wanted)
    except BaseException as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
        control.send(json.dumps(reply).encode()[:4000])
        return
    control.send(json.dumps(reply).encode())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while os.getppid() == host:
        # Not by PR_SET_PDEATHSIG: that is about the thread which started this process.
        if not select.select([control], [], [], LOOK_UP)[0]:
            continue
        packet, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 3)
        if not packet:
            return  # the host is gone; the sessions follow this process
        try:
            pid, handle = spawn(house, _order(packet), control, descriptors)
            socket.send_fds(control, [json.dumps({"pid": pid}).encode()], [handle])
            os.close(handle)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
            control.send(json.dumps(reply).encode()[:4000])
        for number in descriptors:
            os.close(number)


def prepare(wanted: Wanted) -> tuple[House, dict[str, object]]:
    """Load libraries, leave the host behind.

    Raises:
        OSError: the kernel lacks a mechanism.
    """
    os.umask(0o022)
    off = frozenset(wanted["off"])
    namespaces = wanted["mode"] == "namespaces"
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if namespaces and os.geteuid() == 0 and not _may_administer(proc):
        jail.become_nobody(wanted["first_user"])
    root = os.geteuid() == 0
    readable = jail.readable_paths((sys.base_prefix, sys.prefix, *wanted["packages"]))
    if namespaces:
        jail.enter_namespaces(proc, root=root, off=off)
    # Libraries remember what they asked the machine, such as its name.
    load_libraries(wanted["libraries"])
    program = calls.build(namespaces=namespaces)
    if namespaces and "root" not in off:
        jail.build_root(wanted["root"], readable)
    version = kernel.landlock_version()
    if wanted["mode"] == "landlock" and version < (1 if root else 3):
        raise OSError(
            f"Landlock version {version}: as root version 1 is needed (Linux 5.13), otherwise 3 "
            "(Linux 6.2)"
        )
    gc.collect()
    gc.freeze()
    if wanted["huge_pages"]:
        use_huge_pages(proc)
    threads = len(_listed(proc, "self/task"))
    if threads != 1:
        raise OSError(f"a library started {threads - 1} threads; their locks cannot be copied")
    space, resident = (int(pages) * PAGE for pages in _read(proc, "self/statm").split()[:2])
    house = House(
        namespaces=namespaces, root=root, first_user=wanted["first_user"],
        scratch=wanted["scratch"], own_scratch="/tmp" if "root" in off else jail.SCRATCH,
        proc=proc, program=program, readable=readable,
        address_space=space, landlock=version,
    )  # fmt: skip
    return house, {"ready": True, "landlock": version, "resident": resident}


class Memory(mmap.mmap):
    """Shared where it is asked for: no other process is there to share it with."""

    def __new__(cls, fileno: int, length: int, *args: int, **named: int) -> Self:
        """What has no file is private, unless something else is said."""
        if fileno == -1 and not args and not {"flags", "access"} & named.keys():
            named["flags"] = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        return super().__new__(cls, fileno, length, *args, **named)


def load_libraries(names: list[str]) -> None:
    """Import what sessions share; one that is not installed is left out."""
    vars(sys)["modules"]["pyarrow"] = None  # pandas does without; its allocator starts a thread
    # An event loop waits by poll: what epoll is told to watch, the kernel keeps without a limit.
    vars(selectors)["DefaultSelector"] = selectors.PollSelector
    vars(mmap)["mmap"] = Memory
    for name in names:
        with suppress(ImportError):
            import_module(name)
    if "matplotlib.pyplot" in sys.modules:
        plt = sys.modules["matplotlib.pyplot"]
        figure = plt.figure()
        plt.plot([1, 2])
        plt.title("x")
        figure.canvas.draw()  # fonts and ticks are looked up once, here
        plt.close("all")
    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # memory is what is limited
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)


def spawn(house: House, order: Order, control: socket.socket, given: list[int]) -> tuple[int, int]:
    """A session: its pid, and a descriptor for it."""
    own_processes = house.namespaces and order.has("processes")
    flags = int(signal.SIGCHLD)
    if house.namespaces:
        flags |= kernel.NEWNS | kernel.NEWUSER
        flags |= kernel.NEWPID if own_processes else 0
    mapped, go = os.pipe()
    pid, handle = kernel.fork(flags)
    if pid == 0:
        _become_session(house, order, control, given, mapped, go)
    os.close(mapped)
    try:
        if house.namespaces and house.root:
            user = house.first_user + order.slot if order.has("user") else 0
            jail.map_user(house.proc, str(pid), inside=jail.USER, user=user, group=user)
        os.write(go, b"m")
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.close(handle)
        raise
    finally:
        os.close(go)
    return pid, handle


def _become_session(
    house: House, order: Order, control: socket.socket, given: list[int], mapped: int, go: int
) -> None:
    """In the child; does not return."""
    try:
        control.close()
        os.close(go)
        if os.read(mapped, 1) != b"m":
            os._exit(121)
        os.close(mapped)
        channel = jail.lock_down(house, order, given[0], (given[1], given[2]))
        os.write(channel, b"up")
        serve(channel, order)
    except BaseException as error:
        for place in (CHANNEL, given[0]):  # whichever it is by now
            with suppress(OSError):
                os.write(place, f"{type(error).__name__}: {error}".encode()[:2000])
        os._exit(120)
    os._exit(0)


def use_huge_pages(proc: int) -> None:
    """For the memory of the libraries: a fork then copies fewer page tables."""
    for line in _read(proc, "self/maps").splitlines():
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0\s*(\[heap\])?$", line)
        if found:
            start = (int(found[1], 16) + HUGE - 1) // HUGE * HUGE
            end = int(found[2], 16) // HUGE * HUGE
            if end > start:
                kernel.use_huge_pages(start, end - start)


def _order(packet: bytes) -> Order:
    wanted = json.loads(packet)
    return Order(
        wanted["slot"],
        wanted["seed"],
        wanted["scratch"],
        Limits(**wanted["limits"]),
        frozenset(wanted["off"]),
    )


def _may_administer(proc: int) -> bool:
    line = next(x for x in _read(proc, "self/status").splitlines() if x.startswith("CapEff"))
    return bool(int(line.split()[1], 16) >> 21 & 1)


def _read(proc: int, name: str) -> str:
    with open(os.open(name, os.O_RDONLY, dir_fd=proc)) as file:
        return file.read()


def _listed(proc: int, name: str) -> list[str]:
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=proc)
    try:
        return os.listdir(folder)
    finally:
        os.close(folder)
