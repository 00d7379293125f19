"""Which system calls a session may make: an allow-list, everything else is refused.

A session is exactly one process: it cannot fork, execute or open a socket, so limits on memory, a
kill and a freeze reach all of it. Where a call does several things, it is allowed by its arguments:
what would reach another process, or keep memory of the kernel that no limit counts, is left out.
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress
from typing import NamedTuple

from saccade.sandbox.inside.kernel import CLONE_THREAD, CLONE_VM
from saccade.sandbox.inside.plan import WAITED_FOR


def _words(text: str) -> list[str]:
    return text.split()


FILES = _words("""
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 close stat fstat lstat
    newfstatat statx access faccessat faccessat2 lseek eventfd2 dup dup2 dup3 pipe fsync fdatasync
    ftruncate truncate fallocate getdents getdents64 getcwd chdir fchdir mkdir mkdirat rmdir unlink
    unlinkat rename renameat renameat2 link linkat symlink symlinkat readlink readlinkat chmod
    fchmod fchmodat utime utimes utimensat futimesat umask copy_file_range
""")
MEMORY = _words("""
    munmap mprotect mremap msync brk
""")
TIME = _words("""
    setitimer getitimer alarm pause nanosleep gettimeofday time times
""")
SELF = _words("""
    getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp
    getpgid getsid getrusage uname getrlimit setrlimit sched_yield sched_getaffinity sched_getparam
    sched_getscheduler sched_get_priority_max sched_get_priority_min getpriority arch_prctl
    set_tid_address set_robust_list rseq getrandom getcpu map_shadow_stack exit exit_group
    restart_syscall wait4 waitid
""")
THREADS = _words("""
    futex_waitv futex_wake futex_wait futex_requeue
""")
SIGNALS = _words("""
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend
    sigaltstack
""")
CHANNEL = _words("""
    recvfrom recvmsg shutdown getsockname getpeername
""")
ALLOWED = (*FILES, *MEMORY, *TIME, *SELF, *THREADS, *SIGNALS, *CHANNEL)

NEEDS_NAMESPACES = frozenset(
    _words("""
        chmod fchmod fchmodat utime utimes utimensat futimesat getpgid getsid sched_getaffinity
        sched_getparam sched_getscheduler getpriority
    """)
)
"""What Landlock has no rule for: changes of metadata, and questions about other processes."""

_OWN_PID = 0x7FFFFFF1
"""Stands in the program for the pid that is not known yet."""

_INT = (1 << 32) - 1
"""The bits of an argument that the kernel looks at, but for a place in memory."""

_O_ASYNC = 0x2000
_PRIVATE, _ANONYMOUS, _KIND_OF_MAPPING, _HUGETLB = 0x02, 0x20, 0x0F, 0x40000
_FUTEX_PRIVATE, _FUTEX_REALTIME = 128, 256
_STREAM, _NONBLOCK, _CLOEXEC = 1, 0x800, 0x80000
_MEMBER = CLONE_VM | CLONE_THREAD | 0x200 | 0x400 | 0x800
"""A thread shares memory, folder, table of descriptors and handlers with the others: a table of its
own would have descriptors of its own, beyond the limit."""
_LOCAL = 0x40000 | 0x80000 | 0x100000 | 0x200000 | 0x400000 | 0x1000000
"""What else libc asks for: places in memory that the kernel writes to, nothing that it keeps."""


class Where(NamedTuple):
    """What an argument must be: `value`, in the bits of `mask`."""

    argument: int
    value: int
    mask: int = _INT


def _none_but(argument: int, bits: int) -> Where:
    return Where(argument, 0, _INT & ~bits)


_OWN = (Where(0, 0), Where(0, _OWN_PID))
"""The process that asks."""

# Signals by fcntl (F_SETOWN, F_SETSIG), watching folders (F_NOTIFY), leases and locks, which the
# kernel keeps without a limit, and larger pipes are left out: duplicates, flags and questions stay.
_F_DUPFD, _F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL, _F_DUPFD_CLOEXEC = 0, 1, 2, 3, 4, 1030
_F_GETLK, _F_SETLK, _F_SETLKW, _F_GETPIPE_SZ, _F_GET_SEALS = 5, 6, 7, 1032, 1034

BY_ARGUMENT: tuple[tuple[str, tuple[Where, ...]], ...] = (
    *(
        ("fcntl", (Where(1, command),))
        for command in (
            _F_DUPFD, _F_GETFD, _F_SETFD, _F_GETFL, _F_GETLK, _F_DUPFD_CLOEXEC, _F_GETPIPE_SZ,
            _F_GET_SEALS,
        )
    ),
    ("fcntl", (Where(1, _F_SETFL), Where(2, 0, _O_ASYNC))),
    ("open", (Where(1, 0, _O_ASYNC),)),
    ("openat", (Where(2, 0, _O_ASYNC),)),
    # TCGETS, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, TIOCGWINSZ.
    *(
        ("ioctl", (Where(1, request),))
        for request in (0x5401, 0x541B, 0x5421, 0x5450, 0x5451, 0x5413)
    ),
    ("close_range", (_none_but(2, 4),)),  # CLOSE_RANGE_CLOEXEC
    ("pipe2", (_none_but(1, _NONBLOCK | _CLOEXEC),)),
    # What a thread waits for stays open, full as it is, although its descriptor was closed. Of
    # `select` the largest number counts.
    *((name, (_none_but(1, WAITED_FOR),)) for name in ("poll", "ppoll")),
    *((name, (_none_but(0, WAITED_FOR),)) for name in ("select", "pselect6")),
    # A negative number is the processor time of a thread, which may be of any process.
    *(
        (name, (Where(0, 0, 1 << 31),))
        for name in ("clock_gettime", "clock_getres", "clock_nanosleep")
    ),
    # Not with inheritance of priorities, which looks up a thread of any process by its number.
    *(
        ("futex", (Where(1, operation, _INT & ~(_FUTEX_PRIVATE | _FUTEX_REALTIME)),))
        for operation in (0, 1, 3, 4, 5, 9, 10)
    ),
    # Shared memory without a file is kept whole while a page of it is mapped, whatever the limit
    # says. Huge pages are the host's.
    ("mmap", (Where(3, _PRIVATE | _ANONYMOUS, _KIND_OF_MAPPING | _ANONYMOUS | _HUGETLB),)),
    ("mmap", (Where(3, 0, _ANONYMOUS | _HUGETLB),)),
    # No merging with equal pages of other sessions, no pages that are locked or poisoned.
    *(
        ("madvise", (Where(2, advice),))
        for advice in (0, 1, 2, 3, 4, 8, 14, 15, 16, 17, 22, 23, 25)
    ),
    ("clone", (Where(0, _MEMBER, _INT & ~_LOCAL),)),
    *(("prctl", (Where(0, option),)) for option in (15, 16)),  # the name of a thread
    # A limit on the processor time of another process kills it.
    *(("prlimit64", (own,)) for own in _OWN),
    *((name, (_OWN[1],)) for name in ("kill", "tgkill")),
    # An event loop wakes itself through a pair of sockets. Only of streams: others take an address.
    ("socketpair", (Where(0, 1), Where(1, _STREAM, _INT & ~(_NONBLOCK | _CLOEXEC)))),
    ("sendto", (Where(4, 0, (1 << 64) - 1),)),
    # SO_TYPE, SO_ERROR, SO_PROTOCOL, SO_DOMAIN: not who is at the other end.
    *(("getsockopt", (Where(1, 1), Where(2, name))) for name in (3, 4, 38, 39)),
)  # fmt: skip
"""Calls that are allowed with some arguments."""

WITHOUT_NAMESPACES: tuple[tuple[str, tuple[Where, ...]], ...] = (
    *(
        (name, (own,))
        for name in ("getpgid", "getsid", "sched_getaffinity", "sched_getparam",
                     "sched_getscheduler")
        for own in _OWN
    ),
    *(("getpriority", (Where(0, 0), Where(1, own.value))) for own in _OWN),
)  # fmt: skip
"""What is asked of itself only where other processes could be named."""

ANSWERED: tuple[tuple[str, int, tuple[Where, ...]], ...] = (
    ("socket", errno.ENETUNREACH, ()),  # what a model will understand
    ("execve", errno.EACCES, ()),
    ("execveat", errno.EACCES, ()),
    # Their arguments are behind a pointer; without them libc goes back to what can be checked.
    ("clone3", errno.ENOSYS, ()),
    ("openat2", errno.ENOSYS, ()),
    ("statfs", errno.ENOSYS, ()),
    ("fstatfs", errno.ENOSYS, ()),
    # `shutil.copytree` goes on without attributes only where there are none.
    *((name, errno.ENOTSUP, ()) for name in ("listxattr", "llistxattr", "flistxattr")),
    # A byte-range lock holds off other processes, and a session has none: each is granted, and the
    # kernel has nothing to keep. SQLite asks for them.
    ("fcntl", 0, (Where(1, _F_SETLK),)),
    ("fcntl", 0, (Where(1, _F_SETLKW),)),
    ("flock", errno.ENOLCK, ()),
)
"""Calls that are not made, and what they answer."""


def build(*, namespaces: bool, arguments: bool = True) -> bytes:
    """A BPF program; `for_process` completes it.

    Args:
        namespaces: Whether sessions have a pid and a mount namespace of their own.
        arguments: Whether calls that do several things are told apart.
    """
    import pyseccomp as seccomp

    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    try:  # a call in the convention of another architecture
        rules.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)
    except OSError:  # gVisor
        rules.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL)
    with suppress(OSError, ValueError):  # an older libseccomp compares one number after the other
        rules.set_attr(seccomp.Attr.CTL_OPTIMIZE, 2)

    def add(action: int, name: str, where: tuple[Where, ...]) -> None:
        with suppress(ValueError, RuntimeError, OSError):  # no such call on this machine
            rules.add_rule(
                action,
                name,
                *(seccomp.Arg(w.argument, seccomp.MASKED_EQ, w.mask, w.value) for w in where),
            )

    for name in ALLOWED:
        if namespaces or name not in NEEDS_NAMESPACES:
            add(seccomp.ALLOW, name, ())
    for name, where in (*BY_ARGUMENT, *(() if namespaces else WITHOUT_NAMESPACES)):
        add(seccomp.ALLOW, name, where if arguments else ())
    for name, number, where in ANSWERED:
        if arguments or not where:
            add(seccomp.ERRNO(number), name, where)
    memory = os.memfd_create("filter")
    with os.fdopen(memory, "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def for_process(program: bytes, pid: int) -> bytes:
    """The program for one process."""
    return program.replace(struct.pack("<I", _OWN_PID), struct.pack("<I", pid))
