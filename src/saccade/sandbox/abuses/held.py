"""Memory that the kernel holds for a session and no limit on memory counts."""

from __future__ import annotations

from pathlib import Path

from saccade.sandbox.abuses import Abuse
from saccade.sandbox.abuses.scene import Scene
from saccade.sandbox.cells import Cell
from saccade.sandbox.inside.plan import WAITED_FOR
from saccade.sandbox.session import Session

FILTER = ("seccomp",)
ARGUMENTS = ("arguments",)
FULL_MIB = 48
"""More than sockets hold that are open in one table of descriptors."""


async def _no_locks(scene: Scene, session: Session, cell: Cell) -> bool:
    """Whether the kernel keeps no lock of a session, whatever it was told."""
    lines = Path("/proc/locks").read_text().splitlines()
    return cell.status == "ok" and all(str(session.pid) not in line.split() for line in lines)


_REACHES = {
    "table of descriptors that is not shared": "reaches('unshare', 0x400)",
    "anonymous memory that is secret": "reaches('memfd_secret', 0)",
    "timer as a file": "reaches('timerfd_create', 1, 0)",
    "pages of a program into a pipe": "reaches('vmsplice', -1, 0, 0, 0)",
    "advice about another process": "reaches('process_madvise', -1, 0, 0, 4, 0)",
    "mapping that is out of order": "reaches('remap_file_pages', 0, 0, 0, 0, 0)",
    "list of what to watch": "import select\nattempt(select.epoll)",
    "lock of a whole file": """
import fcntl
file = open('locked', 'wb')
attempt(lambda: fcntl.flock(file, fcntl.LOCK_EX))
""",
}

_BY_ARGUMENT = {
    "table of descriptors of its own": "reaches('close_range', 1 << 20, 1 << 20, 2)",
    # A descriptor and a number in one place: what the kernel refuses once the filter has not.
    "thread with a table of its own":
        "reaches('clone', 0x100 | 0x800 | 0x10000 | 0x1000 | 0x100000, 0, 0, 0, 0)",
    "lock of an open file": """
import fcntl, struct
file = open('locked', 'wb')
lock = struct.pack('<hhqqi4x', 1, 0, 0, 1, 0)
attempt(lambda: fcntl.fcntl(file, 37, lock))  # F_OFD_SETLK
""",
    "large pipe": "import fcntl\nattempt(lambda: fcntl.fcntl(os.pipe()[0], 1031, 1 << 20))",
    "pipe of notifications": "reaches('pipe2', ctypes.create_string_buffer(8), 0x80)",
    "huge pages of the host": "reaches('mmap', 0, 2 << 20, 3, 0x40022, -1, 0)",
    "pages shared with equal ones": "reaches('madvise', 0, 0, 12)",
    # Closed meanwhile, they stay as full as they are, beyond the limit on open files.
    "many descriptors that a thread waits for": f"""
import select
waiting = select.poll()
for number in range({WAITED_FOR} + 1):
    waiting.register(number)
attempt(lambda: waiting.poll(0))
""",
    "a descriptor of many that a thread selects":
        f"import select\nattempt(lambda: select.select([], [os.dup2(1, {WAITED_FOR})], [], 0))",
    "sockets that take addresses":
        "import socket\nattempt(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))",
}  # fmt: skip

ABUSES = (
    *(Abuse(name, code, FILTER) for name, code in _REACHES.items()),
    *(Abuse(name, code, ARGUMENTS) for name, code in _BY_ARGUMENT.items()),
    Abuse("lock pages", "reaches('mlock2', 0, 0, 0)", ("seccomp", "memory")),
    Abuse("lock all pages", "reaches('mlockall', 1)", ("seccomp", "memory")),
    Abuse("byte-range locks", """
import fcntl
file = open('locked', 'wb')
for number in range(1000):
    fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * number)
""", ARGUMENTS, check=_no_locks),
    Abuse("shared memory that outlives its mapping", """
import mmap
kept = []
def grow():
    for _ in range(40):
        memory = mmap.mmap(-1, 64 << 20, mmap.MAP_SHARED)
        memory.resize(4096)
        kept.append(memory)
attempt(grow)
kept.clear()
""", ARGUMENTS),
    Abuse("shared memory of a device", """
import mmap
attempt(lambda: mmap.mmap(os.open('/dev/zero', os.O_RDWR), 4096))
""", ("root", "landlock")),
    Abuse("signals that wait", """
import resource
most = resource.getrlimit(resource.RLIMIT_SIGPENDING)[1]
print("CONTAINED" if 0 <= most <= 128 else "ESCAPED", most)
""", ("memory",)),
    Abuse("full sockets, a table of descriptors each thread", f"""
import socket, threading
most, total, block, pairs = {FULL_MIB} << 20, 0, bytes(1 << 15), []
together = threading.Barrier(8)
def fill():
    global total
    _libc.syscall(*map(ctypes.c_long, (CALLS['close_range'], 1 << 20, 1 << 20, 2)))
    try:
        together.wait()
        while total < most:
            pair = socket.socketpair()
            pairs.append(pair)
            for end in pair:
                end.setblocking(False)
                try:
                    while True:
                        sent = end.send(block)
                        total += sent
                except BlockingIOError:
                    pass
    except (OSError, threading.BrokenBarrierError):
        pass
threads = [threading.Thread(target=fill) for _ in range(8)]
try:
    for thread in threads: thread.start()
except RuntimeError:  # an ordinary user's threads count together
    together.abort()
for thread in threads:
    if thread.ident: thread.join()
for pair in pairs:
    for end in pair: end.detach()
print("ESCAPED" if total >= most else "CONTAINED", total)
""", ARGUMENTS, may_end=True),
)  # fmt: skip
