"""Things on the host that abuses reach for: all of them bait, none of them yours."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

CALLS = """
    acct add_key bpf capget chroot clock_nanosleep clone clone3 close_range delete_module
    fanotify_init fsopen futex getpid init_module inotify_init1 io_setup io_uring_setup kcmp
    kexec_load keyctl madvise mbind membarrier memfd_create memfd_secret mlock2 mlockall mmap mount
    move_mount mq_notify mq_open msgget name_to_handle_at open_by_handle_at open_tree
    perf_event_open personality pidfd_getfd pidfd_open pidfd_send_signal pipe2 pivot_root prctl
    process_madvise process_vm_readv process_vm_writev ptrace quotactl reboot remap_file_pages
    request_key rt_sigqueueinfo rt_tgsigqueueinfo sched_setaffinity semget sendto setdomainname
    sethostname setns setpgid setpriority settimeofday setuid setxattr shmget signalfd4 splice
    swapon sysinfo syslog tee timer_create timerfd_create tkill umount2 unshare userfaultfd vhangup
    vmsplice
"""
"""System calls that abuses name."""

PRELUDE = """
import ctypes, errno, os, sys, time
_libc = ctypes.CDLL(None, use_errno=True)
def attempt(action):
    try:
        found = action()
    except Exception as error:
        print("CONTAINED", type(error).__name__, error)
    else:
        print("ESCAPED", repr(found)[:200])
def reaches(name, *arguments, refused=(1, 13, 38)):
    \"\"\"Whether a call gets past the filter: it fails for another reason than permission.\"\"\"
    ctypes.set_errno(0)
    numbers = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = _libc.syscall(CALLS[name], *numbers)
    number = ctypes.get_errno()
    stopped = result < 0 and number in refused
    print("CONTAINED" if stopped else "ESCAPED", name, result, errno.errorcode.get(number, number))
"""


class Scene:
    """A canary file, a canary process, listening sockets, a secret in the environment."""

    SECRET = "SACCADE_CANARY"

    def __enter__(self) -> Self:
        self.token = secrets.token_hex(8)
        # Not in /tmp, which a session has one of its own of.
        self.folder = Path(tempfile.mkdtemp(prefix="saccade-canary.", dir="/var/tmp"))
        self.folder.chmod(0o777)
        self.file = self.folder / "canary.txt"
        self.file.write_text(self.token)
        self.file.chmod(0o666)
        os.environ[self.SECRET] = self.token
        self.process = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(3600)"],
            env={**os.environ, self.SECRET: self.token},
        )
        self._sockets = Path(tempfile.mkdtemp(prefix="saccade-socket.", dir="/var/tmp"))
        self._sockets.chmod(0o777)
        self._letterbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._letterbox.bind(str(self._sockets / "letterbox"))
        (self._sockets / "letterbox").chmod(0o777)
        self._letterbox.setblocking(False)
        self._tcp, self._udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        self._abstract = socket.socket(socket.AF_UNIX)
        self._tcp.bind(("127.0.0.1", 0))
        self._udp.bind(("127.0.0.1", 0))
        self._abstract.bind(f"\0saccade-{self.token}")
        for listener in (self._tcp, self._abstract):
            listener.listen()
        threading.Thread(target=self._answer, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        for opened in (self._letterbox, self._tcp, self._udp, self._abstract):
            opened.close()
        os.environ.pop(self.SECRET, None)
        for folder in (self.folder, self._sockets):
            shutil.rmtree(folder, ignore_errors=True)

    def code(self, abuse: str, *, long: float = 3600.0) -> str:
        """A cell: the abuse, with what it reaches for as variables.

        Args:
            abuse: What to try.
            long: Seconds after which something that would never end does so.
        """
        import pyseccomp

        numbers = {}
        for name in CALLS.split():
            number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
            numbers[name] = number if number >= 0 else 100_000
        known = {
            "CALLS": numbers,
            "CANARY": str(self.file),
            "FOLDER": str(self.folder),
            "HOST": os.getpid(),
            "VICTIM": self.process.pid,
            "TCP": self._tcp.getsockname()[1],
            "UDP": self._udp.getsockname()[1],
            "ABSTRACT": f"\0saccade-{self.token}",
            "LETTERBOX": str(self._sockets / "letterbox"),
            "HOST_NAME": socket.gethostname(),
            "SECRET": self.SECRET,
            "LONG": long,
        }
        given = "\n".join(f"{name} = {value!r}" for name, value in known.items())
        return f"{given}\n{PRELUDE}\n{abuse}"

    def untouched(self) -> bool:
        """Whether all of it is as it was."""
        return (
            self.process.poll() is None
            and [path.name for path in self.folder.iterdir()] == [self.file.name]
            and self.file.read_text() == self.token
            and not self._letters()
        )

    def _letters(self) -> bytes:
        """What has come by the letterbox since it was last looked into."""
        try:
            return self._letterbox.recv(100)
        except BlockingIOError:
            return b""

    def restore(self) -> None:
        """After an abuse that worked."""
        if self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(3600)"],
                env={**os.environ, self.SECRET: self.token},
            )
        for path in self.folder.iterdir():
            path.unlink()
        self.file.write_text(self.token)
        self.file.chmod(0o666)
        while self._letters():
            pass

    def _answer(self) -> None:
        while True:
            try:
                data, sender = self._udp.recvfrom(100)
                self._udp.sendto(data, sender)
            except OSError:
                return
