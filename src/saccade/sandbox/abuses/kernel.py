"""Sockets, namespaces, tracing, and system calls that no calculation needs."""

from __future__ import annotations

from saccade.sandbox.abuses import Abuse

FILTER = ("seccomp",)
NETWORK = ("seccomp", "network", "landlock")

_FAMILIES = {
    "unix": 1, "inet": 2, "inet6": 10, "netlink": 16, "packet": 17, "bluetooth": 31, "alg": 38,
    "vsock": 40, "xdp": 44,
}  # fmt: skip


def _socket(name: str, family: int) -> Abuse:
    code = f"import socket\nreaches_family = {family}\n" + (
        "try:\n    socket.socket(reaches_family, 3 if reaches_family in (16, 17, 44, 31) else "
        "5 if reaches_family == 38 else 1)\n"
        "except OSError as error:\n"
        "    stopped = error.errno == errno.ENETUNREACH\n"
        "    print('CONTAINED' if stopped else 'ESCAPED', error)\n"
        "else:\n    print('ESCAPED')\n"
    )
    return Abuse(f"socket of family {name}", code, FILTER)


_REACHES = {
    # What a call answers that is not stopped by the filter: another error, or success.
    "trace another process": "reaches('ptrace', 0, 0, 0, 0)",
    "read the memory of a process": "reaches('process_vm_readv', os.getpid(), 0, 0, 0, 0, 0)",
    "write the memory of a process": "reaches('process_vm_writev', os.getpid(), 0, 0, 0, 0, 0)",
    "descriptor of a process": "reaches('pidfd_open', os.getpid(), 0)",
    "descriptor of another process": "reaches('pidfd_getfd', -1, 0, 0)",
    "signal by descriptor": "reaches('pidfd_send_signal', -1, 0, 0, 0)",
    "compare processes": "reaches('kcmp', os.getpid(), os.getpid(), 0, 0, 1)",
    "new user namespace": "reaches('unshare', 0x10000000)",
    "enter another namespace": "reaches('setns', -1, 0)",
    "change the root": "reaches('chroot', 0)",
    "copy a mount": "reaches('open_tree', -1, 0, 0)",
    "asynchronous calls past the filter": "reaches('io_uring_setup', 1, 0)",
    "count processor events": "reaches('perf_event_open', 0, 0, -1, -1, 0)",
    "handle page faults": "reaches('userfaultfd', 1)",
    "kernel keys": "reaches('keyctl', 0, -2, 0)",
    "add a kernel key": "reaches('add_key', 0, 0, 0, 0, 0)",
    "request a kernel key": "reaches('request_key', 0, 0, 0, 0)",
    "file handle": "reaches('name_to_handle_at', -1, 0, 0, 0, 0)",
    "anonymous file": "reaches('memfd_create', b'x', 0)",
    "move pages between pipes": "reaches('splice', -1, 0, -1, 0, 0, 0)",
    "copy pages between pipes": "reaches('tee', -1, -1, 0, 0)",
    "watch files": "reaches('inotify_init1', 0)",
    "become root": "reaches('setuid', 0)",
    "change the personality": "reaches('personality', 0xffffffff)",
    "choose processors": "reaches('sched_setaffinity', 0, 0, 0)",
    "change the priority": "reaches('setpriority', 0, 0, 19)",
    "shared memory of System V": "reaches('shmget', 0, 4096, 0o1600)",
    "semaphores of System V": "reaches('semget', 0, 1, 0o1600)",
    "messages of System V": "reaches('msgget', 0, 0o1600)",
    "memory policy": "reaches('mbind', 0, 0, 0, 0, 0, 0)",
    "new process by clone3": "reaches('clone3', 0, 0)",
    "new namespace by clone": "reaches('clone', 0x10000000 | 17, 0, 0, 0, 0)\n"
    "if os.getppid() != _parent: os._exit(0)",
}  # fmt: skip

_CAPABLE = {
    # The kernel asks for a capability first: that is dropped too.
    "mount": "reaches('mount', 0, 0, 0, 0, 0)",
    "change the root mount": "reaches('pivot_root', 0, 0)",
    "new mount API": "reaches('fsopen', 0, 0)",
    "unmount": "reaches('umount2', 0, 0)",
}

_NEVER = {
    "name of the host": "reaches('sethostname', b'x', -1)",
    "load BPF": "reaches('bpf', 0, 0, 0)",
    "open by handle": "reaches('open_by_handle_at', -1, 0, 0)",
    "load a kernel module": "reaches('init_module', 0, 0, 0)",
    "unload a kernel module": "reaches('delete_module', 0, 0)",
    "start another kernel": "reaches('kexec_load', 0, 0, 0, 0)",
    "restart the machine": "reaches('reboot', 0, 0, 0, 0)",
    "set the clock": "reaches('settimeofday', 0, 0)",
    "kernel messages": "reaches('syslog', 3, 0, 0)",
    "swap": "reaches('swapon', 0, 0)",
    "accounting": "reaches('acct', 0)",
    "hang up the terminal": "reaches('vhangup')",
}
_BY_KERNEL = "the kernel itself refuses it to all but the real root"

ABUSES = (
    *(_socket(name, family) for name, family in _FAMILIES.items()),
    Abuse(
        "connect to a server on this host",
        "import socket\nattempt(lambda: socket.create_connection(('127.0.0.1', TCP), 60))", NETWORK,
    ),
    Abuse(
        "ask a name server on this host", """
import socket
def ask():
    s = socket.socket(type=socket.SOCK_DGRAM)
    s.settimeout(60)
    s.sendto(b'example.org?', ('127.0.0.1', UDP))
    return s.recv(100)
attempt(ask)
""", NETWORK,
    ),
    Abuse(
        "listen", """
import socket
def listen():
    s = socket.socket()
    s.bind(('0.0.0.0', 0))
    s.listen()
attempt(listen)
""", ("seccomp", "landlock"),
    ),
    Abuse(
        "abstract socket of the host", """
import socket
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(ABSTRACT)
attempt(connect)
""", NETWORK,
    ),
    Abuse(
        "resolve a name",
        "import socket\nattempt(lambda: socket.getaddrinfo('localhost', 80))", (),
        always="without the filter it still needs /etc/hosts, which is not there to switch on",
    ),
    *(
        Abuse(name, f"_parent = os.getppid()\n{code}", FILTER)
        for name, code in _REACHES.items()
    ),
    *(Abuse(name, code, ("seccomp", "capabilities")) for name, code in _CAPABLE.items()),
    *(Abuse(name, code, (), always=_BY_KERNEL) for name, code in _NEVER.items()),
    Abuse(
        "regain capabilities", """
import struct
header = ctypes.create_string_buffer(struct.pack('<Ii', 0x20080522, 0))
data = ctypes.create_string_buffer(24)
_libc.syscall(125 if os.uname().machine == 'x86_64' else 90, header, data)
effective = struct.unpack('<6I', data.raw[:24])[0]
print('ESCAPED' if effective else 'CONTAINED', hex(effective))
""", ("seccomp", "capabilities"), modes=("namespaces",),
    ),
    Abuse(
        "call by the numbers of another architecture",
        "_libc.syscall(ctypes.c_long(0x40000000 | 39))\nprint('ESCAPED')", FILTER, may_end=True,
    ),
    Abuse(
        "call by the interrupt of another architecture", """
import mmap
if os.uname().machine != 'x86_64':
    print('CONTAINED: there is no such interrupt')
else:
    every = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    code = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE, every)
    code.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')  # mov eax, 20; int 0x80; ret
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    print('ESCAPED')
""", FILTER, may_end=True,
    ),
    Abuse(
        "raise the limits", """
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
attempt(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1)))
""", (), always=_BY_KERNEL,
    ),
)  # fmt: skip
