"""Files of the host, its environment, and what is left between episodes."""

from __future__ import annotations

from saccade.sandbox.abuses import Abuse

READ = ("root", "landlock")
OWN = ("root", "landlock", "user")
HERE = ("root", "landlock", "scratch")
"""Off, a session works in a folder of the host, as in Landlock mode."""
OTHERS = "the kernel lets nobody in a user namespace look into a process outside of it"

ABUSES = (
    Abuse("read a file of the host", "attempt(lambda: open(CANARY).read())", READ),
    Abuse("read /etc/passwd", "attempt(lambda: open('/etc/passwd').read())", READ),
    Abuse("read /etc/shadow", "attempt(lambda: open('/etc/shadow').read())", OWN),
    Abuse("list the root directory", "attempt(lambda: os.listdir('/'))", READ),
    Abuse(
        "list the directory above by ..",
        "attempt(lambda: os.listdir('../' * 20 + FOLDER))", READ,
    ),
    Abuse(
        "devices of the host", """
found = [name for name in ('console', 'tty', 'kmsg', 'mem', 'vda', 'sda', 'fuse', 'ptmx', 'full')
         if os.path.exists('/dev/' + name)]
print("ESCAPED" if found else "CONTAINED", found)
""", ("root",), modes=("namespaces",),
    ),
    Abuse(
        "walk the file system", """
found = [p for p in ('/etc', '/home', '/root', '/var', '/sys', '/proc', '/run', '/boot')
         if os.path.isdir(p) and os.access(p, os.R_OK)]
readable = []
for path in found:
    try:
        readable += os.listdir(path)
    except OSError:
        pass
print("ESCAPED" if readable else "CONTAINED", readable[:5])
""", READ,
    ),
    Abuse(
        "environment of the host's process",
        "attempt(lambda: open(f'/proc/{VICTIM}/environ', 'rb').read().index(SECRET.encode()))",
        (), always=OTHERS,
    ),
    Abuse(
        "memory of the host's process",
        "attempt(lambda: open(f'/proc/{HOST}/maps').read())", (), always=OTHERS,
    ),
    Abuse(
        "command lines of other processes",
        "attempt(lambda: open(f'/proc/{VICTIM}/cmdline').read()[0])", (*READ, "processes"),
    ),
    Abuse(
        "own memory through /proc/self/mem", "attempt(lambda: open('/proc/self/mem', 'rb'))", (),
        always="a process that changed its user has no readable entries in /proc",
    ),
    Abuse(
        "kernel log", "attempt(lambda: open('/dev/kmsg').fileno())", (),
        always="the kernel shows it to the real root only",
    ),
    Abuse(
        "secret in the environment",
        "print('ESCAPED' if SECRET in os.environ else 'CONTAINED')", ("environment",),
    ),
    Abuse(
        "inherited descriptors", """
open_ones = []
for number in range(4, 256):
    try:
        os.fstat(number)
        open_ones.append(number)
    except OSError:
        pass
print("ESCAPED" if open_ones else "CONTAINED", open_ones)
""", ("descriptors",),
    ),
    Abuse(
        "write a file of the host", "attempt(lambda: open(CANARY, 'a').write('x'))",
        READ,
    ),
    Abuse(
        "create a file on the host", "attempt(lambda: open(FOLDER + '/new', 'w').close())", READ,
    ),
    Abuse("truncate a file of the host", "attempt(lambda: os.truncate(CANARY, 1))", READ),
    Abuse(
        "rename a file of the host", "attempt(lambda: os.rename(CANARY, CANARY + '.x'))", READ,
    ),
    Abuse("delete a file of the host", "attempt(lambda: os.unlink(CANARY))", READ),
    Abuse("change the mode of a file of the host", "attempt(lambda: os.chmod(CANARY, 0o600))", OWN),
    Abuse(
        "change the times of a file of the host",
        "attempt(lambda: os.utime(CANARY, (1, 1)))", OWN,
    ),
    Abuse(
        "change a library",
        "import json\nattempt(lambda: open(json.__file__, 'r+').close())", OWN,
    ),
    Abuse(
        "write to the root", "attempt(lambda: open('/escape', 'x').close())", (),
        always="with a root of its own off this would write to the host's",
    ),
    Abuse(
        "symbolic link to a file of the host",
        "os.symlink(CANARY, 'link')\nattempt(lambda: open('link').read())", READ,
    ),
    Abuse(
        "symbolic link in a path",
        "os.symlink(FOLDER, 'folder')\nattempt(lambda: open('folder/canary.txt').read())", READ,
    ),
    Abuse(
        "hard link to a file of the host",
        "attempt(lambda: (os.link(CANARY, FOLDER + '/hard'), open(FOLDER + '/hard').read()))", OWN,
    ),
    Abuse(
        "image that is a link to a file of the host", """
from PIL import Image
os.symlink(CANARY, 'picture.png')
def look():
    try:
        return Image.open('picture.png')
    except Image.UnidentifiedImageError:
        return 'read it'
attempt(look)
""", READ,
    ),
    Abuse(
        "shared memory of the host",
        "attempt(lambda: open('/dev/shm/saccade-abuse', 'w').close() or "
        "os.unlink('/dev/shm/saccade-abuse'))", READ,
    ),
    Abuse(
        "make a device node", "attempt(lambda: os.mknod('disk', 0o60600, os.makedev(8, 0)))", (),
        always="the kernel itself makes no device node in a user namespace",
    ),
    Abuse(
        "named pipe to the host",
        "attempt(lambda: os.mkfifo(FOLDER + '/pipe'))", (*READ, "seccomp"),
    ),
    Abuse(
        "own library on the scratch space", """
import mmap
open('code.so', 'wb').write(b'\\xc3' * 4096)
with open('code.so', 'r+b') as file:
    executable = mmap.PROT_READ | mmap.PROT_EXEC
    attempt(lambda: mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, executable))
""", HERE, modes=("namespaces",),
    ),
    Abuse(
        "execute a program of the host",
        "attempt(lambda: os.execv('/bin/echo', ['echo', 'ESCAPED']))", (*READ, "seccomp"),
        may_end=True,
    ),
    Abuse(
        "execute the interpreter again",
        "attempt(lambda: os.execv(sys.executable, [sys.executable, '-c', 'print(\"ESCAPED\")']))",
        ("landlock", "seccomp"), may_end=True,
    ),
    Abuse(
        "subprocess", """
import subprocess
attempt(lambda: subprocess.run(['/bin/echo', 'x'], check=True))
""", (*READ, "seccomp"),
    ),
)  # fmt: skip
