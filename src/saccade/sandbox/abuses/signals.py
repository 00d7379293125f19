"""Signals without kill, and notifications: ways to reach, end, thaw or watch another process."""

from __future__ import annotations

from saccade.sandbox.abuses import Abuse

FILTER = ("seccomp",)
ARGUMENTS = ("arguments",)
NOBODY = ("processes", "arguments", "user", "landlock")

_PAIR = """
import fcntl, socket, struct
a, b = socket.socketpair()
def asynchronous():
    fcntl.fcntl(a, 4, fcntl.fcntl(a, 3) | 0x2000)  # F_SETFL: O_ASYNC
"""


def _by_owner(how: str) -> str:
    """A cell that lets a socket send a signal to the process that it belongs to by `how`."""
    return f"""{_PAIR}
def send():
    {how}
    fcntl.fcntl(a, 10, 18)  # F_SETSIG: SIGCONT, which does no harm
    asynchronous()
    b.send(b'x')
attempt(send)
"""


_REACHES = {
    "signal with a value": "reaches('rt_sigqueueinfo', os.getpid(), 0, ctypes.create_string_buffer("
    "b'\\0' * 8 + b'\\xff' * 4, 128))",
    "signal with a value to a thread": "reaches('rt_tgsigqueueinfo', os.getpid(), os.getpid(), 0, "
    "ctypes.create_string_buffer(b'\\0' * 8 + b'\\xff' * 4, 128))",
    "signal to a thread by its number": "reaches('tkill', os.getpid(), 0)",
    "timer that signals a thread": "import struct\nreaches('timer_create', 1, ctypes."
    "create_string_buffer(struct.pack('<Qiii', 0, 18, 4, os.getpid()), 64), "
    "ctypes.create_string_buffer(8))",
    "asynchronous calls of the first kind": "reaches('io_setup', 1, 0)",
    "message queue": "reaches('mq_open', b'saccade', 0o102, 0o600, 0)",
    "notification by a message queue": "reaches('mq_notify', -1, 0)",
    "watch a file system": "reaches('fanotify_init', 0x200, 0)",
    "signals as a file": "reaches('signalfd4', -1, ctypes.create_string_buffer(8), 8, 0)",
    "interrupt every processor": "reaches('membarrier', 1, 0, 0)",
    "join a group of processes": "reaches('setpgid', 1 << 22, 1 << 22)",
}  # fmt: skip

ABUSES = (
    Abuse("signal by the owner of a socket", _by_owner("fcntl.fcntl(a, 8, VICTIM)"), NOBODY),
    Abuse(
        "signal by the owner of a socket, a thread",
        _by_owner("fcntl.fcntl(a, 15, struct.pack('<ii', 0, VICTIM))"), NOBODY,
    ),
    Abuse(
        "signal by the owner of a socket, set by ioctl",
        _by_owner("fcntl.ioctl(a, 0x8901, struct.pack('<i', VICTIM))"), (*NOBODY, "seccomp"),
    ),
    Abuse(
        "owner of a socket, itself", f"{_PAIR}attempt(lambda: fcntl.fcntl(a, 8, os.getpid()))",
        ARGUMENTS,
    ),
    Abuse(
        "group as the owner of a socket",
        f"{_PAIR}attempt(lambda: fcntl.ioctl(a, 0x8902, struct.pack('<i', os.getpid())))",
        ARGUMENTS,
    ),
    Abuse("signal of choice", f"{_PAIR}attempt(lambda: fcntl.fcntl(a, 10, 18))", ARGUMENTS),
    Abuse("signals of a socket", f"{_PAIR}attempt(asynchronous)", ARGUMENTS),
    Abuse(
        "signals of a socket by ioctl",
        f"{_PAIR}attempt(lambda: fcntl.ioctl(a, 0x5452, struct.pack('<i', 1)))", ARGUMENTS,
    ),
    Abuse(
        "signals of a file that is opened so",
        "attempt(lambda: os.open('new', os.O_RDWR | os.O_CREAT | 0x2000))", ARGUMENTS,
    ),
    Abuse(
        "notice what the host does with a library", """
import fcntl
folder = os.open('/usr/lib', os.O_RDONLY)
attempt(lambda: fcntl.fcntl(folder, 1026, 0x80000001))  # F_NOTIFY: every access
""", ARGUMENTS,
    ),
    Abuse(
        "lease of a file", """
import fcntl
own = os.open('own', os.O_RDONLY | os.O_CREAT)
attempt(lambda: fcntl.fcntl(own, 1024, 0))  # F_SETLEASE: until somebody writes
""", ARGUMENTS,
    ),
    Abuse(
        "limit the processor time of a process of the host",
        "import resource\nattempt(lambda: resource.prlimit(VICTIM, resource.RLIMIT_CPU, (1, 1)))",
        ("processes", "arguments", "user"),
    ),
    Abuse(
        "outlive the fork server", "reaches('prctl', 1, 0, 0, 0, 0)", ARGUMENTS,
    ),
    Abuse(
        "another filter", "reaches('prctl', 22, 2, 0, 0, 0)", ARGUMENTS,
    ),
    Abuse(
        "group of processes of the host", """
outside = os.getpgrp() != os.getpid() or os.getsid(0) != os.getpid()
print("ESCAPED" if outside else "CONTAINED", os.getpgrp(), os.getsid(0))
""", ("processes",),
    ),
    Abuse(
        "datagram to a socket of the host", """
import socket
def send():
    for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM):
        end.sendto(b'x', LETTERBOX)
attempt(send)
""", ("arguments", "root"),
    ),
    Abuse(
        "message to an address", """
import socket
a, b = socket.socketpair()
reaches('sendto', a.fileno(), b'x', 1, 0, b'\\1\\0/x', 4)
""", ARGUMENTS,
    ),
    *(Abuse(name, code, FILTER) for name, code in _REACHES.items()),
)  # fmt: skip
