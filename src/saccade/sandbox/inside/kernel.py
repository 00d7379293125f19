"""System calls that Python has no name for. Linux on x86-64 and aarch64."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_PIDFD, CLONE_VM, CLONE_THREAD = 0x1000, 0x100, 0x10000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 4096, 8192, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS = 28, 38
SECUREBITS_LOCKED = 0x2F
"""NOROOT, NO_SETUID_FIXUP and KEEP_CAPS, each with its lock."""

LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
_CLONE, _PIVOT_ROOT, _CAPSET = (56, 155, 126) if os.uname().machine == "x86_64" else (220, 41, 91)

# PyDLL keeps the interpreter's lock: `clone` must not let another thread run.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def unshare(flags: int) -> None:
    """Go on in new namespaces."""
    _checked(_libc.unshare(flags), "unshare")


def set_domain_name(name: str) -> None:
    """The other name of this machine, which `uname` tells too."""
    _checked(_libc.setdomainname(name.encode(), ctypes.c_size_t(len(name))), "setdomainname")


def mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    """Mount something; what is None is left to the kernel."""
    names = [None if name is None else name.encode() for name in (source, target, kind)]
    data = None if options is None else options.encode()
    _checked(_libc.mount(*names, flags, data), f"mount {target}")


def enter_root(folder: str) -> None:
    """Make a folder the root of this mount namespace; the old one is gone."""
    os.chdir(folder)
    if _libc.syscall(_PIVOT_ROOT, b".", b".") == 0:
        _checked(_libc.umount2(b".", MNT_DETACH), "umount of the old root")
    else:  # Docker's seccomp profile denies pivot_root even with CAP_SYS_ADMIN
        mount(".", "/", None, MS_MOVE)
        os.chroot(".")
    os.chdir("/")


def prctl(option: int, value: int) -> None:
    """Change an attribute of this process."""
    arguments = [ctypes.c_ulong(number) for number in (value, 0, 0, 0)]
    _checked(_libc.prctl(option, *arguments), f"prctl {option}")


def drop_capabilities() -> None:
    """All of them, for good."""
    for capability in range(64):
        if _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break  # beyond the last one
    _libc.prctl(PR_SET_SECUREBITS, ctypes.c_ulong(SECUREBITS_LOCKED), 0, 0, 0)
    version = ctypes.create_string_buffer(struct.pack("<Ii", 0x20080522, 0))
    none = ctypes.create_string_buffer(24)
    _checked(_libc.syscall(_CAPSET, version, none), "capset")


def fork(flags: int) -> tuple[int, int]:
    """Fork into new namespaces.

    Returns:
        0 in the child; in the parent its pid, and a descriptor for it, or -1 where the kernel has
        none.
    """
    pidfd = ctypes.c_int(-1)
    api = ctypes.pythonapi
    api.PyOS_BeforeFork()
    pid = int(
        _libc.syscall(_CLONE, ctypes.c_ulong(flags | CLONE_PIDFD), None, ctypes.byref(pidfd), 0, 0)
    )
    if pid == 0:
        api.PyOS_AfterFork_Child()
        return 0, -1
    error = ctypes.get_errno()
    api.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, f"clone: {os.strerror(error)}")
    return pid, pidfd.value


def load_filter(program: bytes) -> None:
    """Install a seccomp filter for this process and what it starts."""
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    pointer = ctypes.create_string_buffer(head)
    _checked(_libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(2), pointer, 0, 0), "seccomp")


def landlock_version() -> int:
    """0 where the kernel has no Landlock."""
    return max(0, int(_libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)))


_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15


def landlock(readable: Sequence[str], writable: Sequence[str]) -> None:
    """Allow reading and writing beneath some paths, and nothing else; nothing may be executed.

    With version 4 also no TCP, with 6 no signals and no abstract sockets to the outside.
    """
    version = landlock_version()
    handled = (1 << 13) - 1
    handled |= 1 << 13 if version >= 2 else 0
    handled |= _TRUNCATE if version >= 3 else 0
    handled |= _IOCTL_DEV if version >= 5 else 0
    attributes = struct.pack("<QQQ", handled, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    attributes = attributes[: 8 if version < 4 else 16 if version < 6 else 24]
    size = ctypes.c_size_t(len(attributes))
    rules = int(_libc.syscall(LANDLOCK_CREATE, ctypes.create_string_buffer(attributes), size, 0))
    _checked(rules, "landlock_create_ruleset")
    special = _EXECUTE | _MAKE_CHAR | _MAKE_SOCK | _MAKE_BLOCK | _IOCTL_DEV
    for paths, allowed in (
        (readable, _READ_FILE | _READ_DIR),
        (writable, handled & ~special),
    ):
        for path in paths:
            try:
                place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:  # what this user cannot reach needs no rule
                continue
            of_files = _WRITE_FILE | _READ_FILE | _TRUNCATE
            rights = allowed if os.path.isdir(path) else allowed & of_files
            rule = ctypes.create_string_buffer(struct.pack("<Qi", rights & handled, place), 12)
            _checked(_libc.syscall(LANDLOCK_ADD, rules, 1, rule, 0), f"landlock rule for {path}")
            os.close(place)
    _checked(_libc.syscall(LANDLOCK_RESTRICT, rules, 0), "landlock_restrict_self")
    os.close(rules)


def use_huge_pages(start: int, length: int) -> None:
    """Ask for huge pages where memory already is: forking copies fewer page tables."""
    _libc.madvise(start, length, 14)  # MADV_HUGEPAGE
    _libc.madvise(start, length, 25)  # MADV_COLLAPSE


def _checked(result: int, what: str) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
