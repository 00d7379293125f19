"""Which system calls a session may make: an allow-list, everything else is refused.

A session is exactly one process: it cannot fork, execute or open a socket, so limits on memory, a
kill and a freeze reach all of it.
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress

from saccade.sandbox.inside.kernel import CLONE_THREAD, CLONE_VM


def _words(text: str) -> list[str]:
    return text.split()


FILES = _words("""
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open openat close
    close_range stat fstat lstat newfstatat statx access faccessat faccessat2 lseek poll ppoll
    select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
    eventfd2 dup dup2 dup3 pipe pipe2 fcntl flock fsync fdatasync ftruncate truncate fallocate
    getdents getdents64 getcwd chdir fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat
    renameat2 link linkat symlink symlinkat readlink readlinkat chmod fchmod fchmodat utime
    utimes utimensat futimesat umask statfs fstatfs copy_file_range
""")
MEMORY = _words("""
    mmap munmap mprotect mremap madvise msync brk
""")
TIME = _words("""
    timerfd_create timerfd_settime timerfd_gettime setitimer getitimer alarm pause nanosleep
    clock_nanosleep clock_gettime clock_getres gettimeofday time times
""")
SELF = _words("""
    getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp
    getpgid getsid setpgid setsid getrusage sysinfo uname getrlimit setrlimit prlimit64
    sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max
    sched_get_priority_min getpriority capget arch_prctl set_tid_address set_robust_list
    get_robust_list rseq getrandom getcpu map_shadow_stack exit exit_group restart_syscall
    wait4 waitid
""")
THREADS = _words("""
    futex futex_waitv futex_wake futex_wait futex_requeue membarrier
""")
SIGNALS = _words("""
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend
    sigaltstack kill tkill tgkill
""")
CHANNEL = _words("""
    sendto recvfrom recvmsg shutdown getsockopt getsockname getpeername
""")
ALLOWED = (*FILES, *MEMORY, *TIME, *SELF, *THREADS, *SIGNALS, *CHANNEL)

NEEDS_NAMESPACES = frozenset(
    _words("""
        kill tkill tgkill setpgid setsid chmod fchmod fchmodat utime utimes utimensat futimesat
        flock
    """)
)
"""What Landlock has no rule for: signals to others, and changes of metadata."""

_IOCTLS = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451, 0x5413)
"""TCGETS, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, TIOCGWINSZ."""

_NEW_NAMESPACE_OR_TRACED = 0x7E020000 | 0x80 | 0x2000
_OWN_PID = 0x7FFFFFF1
"""Stands in the program for the pid that is not known yet."""


def build(*, namespaces: bool) -> bytes:
    """A BPF program; `for_process` completes it.

    Args:
        namespaces: Whether sessions have a pid and a mount namespace of their own.
    """
    import pyseccomp as seccomp

    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    try:  # a call in the convention of another architecture
        rules.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)
    except OSError:  # gVisor
        rules.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL)
    for name in ALLOWED:
        if namespaces or name not in NEEDS_NAMESPACES:
            with suppress(ValueError, RuntimeError, OSError):  # no such call on this machine
                rules.add_rule(seccomp.ALLOW, name)
    thread = CLONE_THREAD | CLONE_VM
    mask = _NEW_NAMESPACE_OR_TRACED | thread
    rules.add_rule(seccomp.ALLOW, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, mask, thread))
    # Its flags are behind a pointer; without it libc goes back to clone.
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    for request in _IOCTLS:
        rules.add_rule(seccomp.ALLOW, "ioctl", seccomp.Arg(1, seccomp.EQ, request))
    for option in (15, 16):  # the name of a thread
        rules.add_rule(seccomp.ALLOW, "prctl", seccomp.Arg(0, seccomp.EQ, option))
    # An event loop wakes itself through a pair of sockets.
    rules.add_rule(seccomp.ALLOW, "socketpair", seccomp.Arg(0, seccomp.EQ, 1))
    rules.add_rule(seccomp.ERRNO(errno.ENETUNREACH), "socket")  # what a model will understand
    for name in ("execve", "execveat"):
        rules.add_rule(seccomp.ERRNO(errno.EACCES), name)
    if not namespaces:
        for name in ("kill", "tgkill"):
            rules.add_rule(seccomp.ALLOW, name, seccomp.Arg(0, seccomp.EQ, _OWN_PID))
    memory = os.memfd_create("filter")
    with os.fdopen(memory, "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def for_process(program: bytes, pid: int) -> bytes:
    """The program for one process."""
    return program.replace(struct.pack("<I", _OWN_PID), struct.pack("<I", pid))
