"""What a session could find out about the machine, or change of it, beside its files."""

from __future__ import annotations

from saccade.sandbox.abuses import Abuse

_MEMBER_OF_THE_HOST = ("processes", "arguments")

ABUSES = (
    Abuse(
        "name of the machine", """
import platform, socket
found = HOST_NAME in (socket.gethostname(), os.uname().nodename, *platform.uname())
print("ESCAPED" if found else "CONTAINED", socket.gethostname())
""", ("host name",), modes=("namespaces",),
    ),
    Abuse(
        "other name of the machine", """
names = ctypes.create_string_buffer(6 * 65)
_libc.uname(names)
domain = names.raw[5 * 65 :].rstrip(b"\\0")
print("CONTAINED" if domain == b"sandbox" else "ESCAPED", domain)
""", ("host name",), modes=("namespaces",),
    ),
    Abuse(
        "load, memory and age of the machine",
        "reaches('sysinfo', ctypes.create_string_buffer(128))", ("seccomp",),
    ),
    Abuse("size of a disk", "attempt(lambda: os.statvfs(os.path.dirname(os.__file__)))",
          ("seccomp",)),
    Abuse("size of the disk of an open file",
          "attempt(lambda: os.fstatvfs(os.open(os.__file__, os.O_RDONLY)))", ("seccomp",)),
    Abuse("change the times of /dev/null", "attempt(lambda: os.utime('/dev/null'))", ("root",)),
    Abuse("change the times of standard input", "attempt(lambda: os.utime(0))", ("root",)),
    Abuse("change the mode of /dev/null", "attempt(lambda: os.chmod('/dev/null', 0o666))", (),
          always="only its owner may, and a session is never the real root"),
    Abuse("set an attribute of /dev/null",
          "reaches('setxattr', b'/dev/null', b'user.x', b'x', 1, 0, refused=(1, 13, 30, 38))", (),
          always="the kernel keeps no such attribute of a device"),
    Abuse("set an attribute of a file",
          "reaches('setxattr', b'none', b'user.x', b'x', 1, 0)", ("seccomp",)),
    Abuse(
        "who is at the other end of the channel",
        "import socket\nattempt(lambda: socket.socket(fileno=os.dup(3)).getsockopt(1, 17, 12))",
        ("arguments",),
    ),
    Abuse(
        "descriptor of the process at the other end", """
import socket
SO_PEERPIDFD = 77  # Linux 6.5
try:
    socket.socket(fileno=os.dup(3)).getsockopt(1, SO_PEERPIDFD)
except OSError as error:
    print("CONTAINED" if error.errno == 1 else "ESCAPED", error)
else:
    print("ESCAPED")
""", ("arguments",),
    ),
    Abuse("capabilities of a process of the host", """
import struct
header = struct.pack('<Ii', 0x20080522, VICTIM)
reaches('capget', header, ctypes.create_string_buffer(24))
""", ("seccomp", "processes")),
    Abuse("processor time of a process of the host",
          "attempt(lambda: time.clock_gettime((~VICTIM << 3) | 2))", _MEMBER_OF_THE_HOST),
    Abuse("wait for the processor time of a process of the host", """
moment = ctypes.create_string_buffer(16)
reaches('clock_nanosleep', (~VICTIM << 3) | 2, 1, moment, 0, refused=(1, 22))
""", _MEMBER_OF_THE_HOST),
    Abuse("whether a process of the host lives", """
import errno
lock = ctypes.c_uint32(VICTIM)  # as if it held a lock that inherits its priority
_libc.syscall(CALLS['futex'], ctypes.byref(lock), 8, 0, 0, 0, 0)
print("ESCAPED" if ctypes.get_errno() == errno.EAGAIN else "CONTAINED", ctypes.get_errno())
""", _MEMBER_OF_THE_HOST),
    Abuse("group of a process of the host", "attempt(lambda: os.getpgid(VICTIM))",
          _MEMBER_OF_THE_HOST),
    Abuse("processors of a process of the host", "attempt(lambda: os.sched_getaffinity(VICTIM))",
          _MEMBER_OF_THE_HOST),
    Abuse("priority of a process of the host",
          "attempt(lambda: os.getpriority(os.PRIO_PROCESS, VICTIM))", _MEMBER_OF_THE_HOST),
)  # fmt: skip
