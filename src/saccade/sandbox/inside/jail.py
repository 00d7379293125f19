"""The lock-down: of the fork server once, then of every session before it reads any code."""

from __future__ import annotations

import os
import resource
import signal
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass

from saccade.sandbox.inside import filter as calls
from saccade.sandbox.inside import kernel
from saccade.sandbox.inside.plan import MIB, Limits, Order
from saccade.sandbox.inside.wire import CHANNEL

SCRATCH = "/scratch"
"""Of a session with a root of its own; /tmp leads there too."""

USER = 1000
"""Who a session is, inside."""

_LIBRARIES = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/fonts", "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
)  # fmt: skip
_DEVICES = ("null", "random", "urandom")
"""Not zero: what is mapped of it is shared memory, which the limit on memory does not hold."""

HOST_NAME = "sandbox"
"""What a machine is called inside."""

PENDING_SIGNALS = 128
"""Signals of a session that wait to be handled; the kernel keeps each."""


@dataclass(frozen=True)
class House:
    """What all sessions of a fork server share."""

    namespaces: bool
    root: bool
    """Whether the server acts as root and can give each session a user of its own."""
    first_user: int
    scratch: str
    """Where sessions without a file system of their own have their folders."""
    own_scratch: str
    """Where the others have theirs: not /tmp, where libraries may be."""
    proc: int
    """A descriptor of /proc, which no session has."""
    program: bytes
    """The filter of system calls."""
    readable: tuple[str, ...]
    address_space: int
    """Bytes that the libraries take."""
    landlock: int
    """Version; 0 where there is none."""


def readable_paths(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """The interpreter and its libraries."""
    paths = dict.fromkeys(os.path.normpath(path) for path in (*prefixes, *_LIBRARIES))
    return tuple(path for path in paths if os.path.exists(path))


def become_nobody(user: int) -> None:
    """Root without the right to make namespaces: go on as an ordinary user, who may have it."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)


def enter_namespaces(proc: int, *, root: bool, off: frozenset[str]) -> None:
    """Leave those of the host."""
    flags = kernel.NEWNS | kernel.NEWIPC | kernel.NEWUTS | kernel.NEWCGROUP
    flags |= kernel.NEWNET if "network" not in off else 0
    if root:
        kernel.unshare(flags)
    else:
        user, group = os.getuid(), os.getgid()
        kernel.unshare(flags | kernel.NEWUSER)
        map_user(proc, "self", inside=0, user=user, group=group)
    if "host name" not in off:
        socket.sethostname(HOST_NAME)
        kernel.set_domain_name(HOST_NAME)


def map_user(proc: int, process: str, *, inside: int, user: int, group: int) -> None:
    """Say who a user of a new namespace is outside."""
    if process == "self":
        with suppress(OSError):
            _write(proc, "self/setgroups", "deny")
    _write(proc, f"{process}/uid_map", f"{inside} {user} 1")
    _write(proc, f"{process}/gid_map", f"{inside} {group} 1")


def build_root(new: str, readable: tuple[str, ...]) -> None:
    """Change into a root of read-only copies of `readable`, devices and a place for scratch.

    `new` is an empty folder, which can be removed afterwards.
    """
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    quiet = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", new, "tmpfs", quiet, "size=1m,mode=755")
    for path in readable:
        there = new + path
        os.makedirs(os.path.dirname(there), exist_ok=True)
        if os.path.islink(path):
            os.symlink(os.readlink(path), there)
            continue
        if os.path.isdir(path):
            os.makedirs(there, 0o755, exist_ok=True)
        else:
            _touch(there)
        kernel.mount(path, there, None, kernel.MS_BIND | kernel.MS_REC)
        again = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
        kernel.mount(None, there, None, again | quiet)
    os.makedirs(f"{new}/dev", exist_ok=True)
    for name in _DEVICES:
        _touch(f"{new}/dev/{name}")
        kernel.mount(f"/dev/{name}", f"{new}/dev/{name}", None, kernel.MS_BIND)
        # What is written to a device passes; its times, owner and mode are the host's.
        again = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
        kernel.mount(None, f"{new}/dev/{name}", None, again | kernel.MS_NOSUID | kernel.MS_NOEXEC)
    os.mkdir(new + SCRATCH)
    if not os.path.exists(f"{new}/tmp"):  # no library is beneath it
        os.symlink(SCRATCH, f"{new}/tmp")
    again = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
    kernel.mount(None, new, None, again | quiet)
    kernel.enter_root(new)


def lock_down(house: House, order: Order, channel: int, printed: tuple[int, int]) -> int:
    """Give up everything that a session does not need. Afterwards only descriptors 0 to 3 are open.

    Args:
        house: Of the fork server.
        order: The session.
        channel: The socket to the host.
        printed: Where standard output and standard error go.

    Returns:
        The channel, now descriptor 3.
    """
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if order.has("processes"):
        os.setsid()  # its group reaches beyond a process namespace: kill(0) would end the host
    folder = _own_user_and_scratch(house, order)
    os.environ.update(HOME=folder, TMPDIR=folder, MPLCONFIGDIR=folder, USER=HOST_NAME)
    tempfile.tempdir = None  # to be looked up again
    with suppress(OSError):
        _write(house.proc, "self/oom_score_adj", "1000")
    os.nice(5)
    if order.has("capabilities"):
        kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # a new user had cleared it
    channel = _only_the_channel(channel, printed, close=order.has("descriptors"))
    _set_limits(house, order)
    os.chdir(folder)
    if order.has("landlock") and house.landlock:
        devices = [f"/dev/{name}" for name in ("random", "urandom")]
        kernel.landlock([*house.readable, *devices], [folder, "/dev/null"])
    for number in (signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    if order.has("seccomp"):
        program = house.program
        if not order.has("arguments"):
            program = calls.build(namespaces=house.namespaces, arguments=False)
        kernel.load_filter(calls.for_process(program, os.getpid()))
    if not order.off:
        prove(house)
    return channel


def prove(house: House) -> None:
    """Try what must not work, before any code of a model is read.

    Raises:
        OSError: it works: the kernel does not do what it said.
    """
    for name, attempt in (("socket", _try_socket), ("fork", _try_fork)):
        try:
            attempt()
        except OSError:
            continue
        raise OSError(f"the lock-down does not hold: {name} works")
    if house.namespaces:
        seen = [
            path for path in ("/proc/self", "/etc/passwd", "/sys/kernel") if os.path.exists(path)
        ]
        if seen or os.getpid() != 1:
            raise OSError(f"the lock-down does not hold: pid {os.getpid()}, {seen} can be seen")


def _try_socket() -> None:
    socket.socket().close()


def _try_fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _own_user_and_scratch(house: House, order: Order) -> str:
    """The folder that the session may write to."""
    limits = order.limits
    own_mount = house.namespaces and order.has("scratch")
    folder = house.own_scratch if own_mount else f"{house.scratch}/{order.scratch}"
    if house.namespaces:
        if not house.root:
            map_user(house.proc, "self", inside=USER, user=0, group=0)
        else:
            os.setgroups([])
        if not own_mount:
            os.mkdir(folder)
            os.chmod(folder, 0o777)
        # Not by way of user 0 of the namespace: the right to mount would be lost.
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
        if own_mount:
            flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
            size = f"size={limits.scratch_mib}m,nr_inodes={limits.scratch_files},mode=700"
            kernel.mount("tmpfs", folder, "tmpfs", flags, size)
        return folder
    os.mkdir(folder, 0o700)
    if house.root and order.has("user"):
        user = house.first_user + order.slot
        os.chown(folder, user, user)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    return folder


def _only_the_channel(channel: int, printed: tuple[int, int], *, close: bool) -> int:
    null = os.open("/dev/null", os.O_RDWR)
    for target, number in ((null, 0), (printed[0], 1), (printed[1], 2)):
        os.dup2(target, number)
    os.dup2(channel, CHANNEL)
    if close:
        os.closerange(CHANNEL + 1, 1 << 16)
    return CHANNEL


def _set_limits(house: House, order: Order) -> None:
    limits: Limits = order.limits
    memory = house.address_space + limits.memory_mib * MIB
    for mechanism, kind, value in (
        ("memory", resource.RLIMIT_AS, memory),
        ("file size", resource.RLIMIT_FSIZE, limits.file_mib * MIB),
        ("open files", resource.RLIMIT_NOFILE, limits.open_files),
        ("threads", resource.RLIMIT_NPROC, limits.threads),
        ("memory", resource.RLIMIT_MEMLOCK, 0),
        ("memory", resource.RLIMIT_MSGQUEUE, 0),
        ("memory", resource.RLIMIT_SIGPENDING, PENDING_SIGNALS),
        ("", resource.RLIMIT_CORE, 0),
        ("", resource.RLIMIT_STACK, 16 * MIB),
        ("cpu", resource.RLIMIT_CPU, limits.cpu_seconds),
    ):
        if order.has(mechanism):
            hard = resource.getrlimit(kind)[1]
            most = value if hard < 0 else min(value, hard)
            resource.setrlimit(kind, (most, most))


def _write(proc: int, name: str, text: str) -> None:
    file = os.open(name, os.O_WRONLY, dir_fd=proc)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def _touch(path: str) -> None:
    with open(path, "w"):
        pass
