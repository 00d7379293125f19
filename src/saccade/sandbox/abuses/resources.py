"""Memory, processor, time, files, and floods of output."""

from __future__ import annotations

from saccade.sandbox.abuses import Abuse
from saccade.sandbox.abuses.scene import Scene
from saccade.sandbox.cells import Cell
from saccade.sandbox.session import Session


async def _is_short(scene: Scene, session: Session, cell: Cell) -> bool:
    """Whether all text that came back is within the limits."""
    texts = (cell.stdout, cell.stderr, cell.value or "", cell.error or "")
    return all(len(text) <= 25_000 for text in texts)


async def _little(scene: Scene, session: Session, cell: Cell) -> bool:
    """Whether no more was kept than a file may hold."""
    return session.printed_bytes() <= 33 << 20


async def _few_images(scene: Scene, session: Session, cell: Cell) -> bool:
    """Whether images are few and small."""
    return len(cell.images) <= 8 and sum(i.width * i.height for i in cell.images) <= 8_000_000


async def _lives(scene: Scene, session: Session, cell: Cell) -> bool:
    """Whether the host goes on, and the session too or it has ended properly."""
    return cell.status == "killed" or (await session.run("1 + 1")).value == "2"


_UNTIL = "end = time.monotonic() + LONG\n"
_WORKED = "print('ESCAPED')"
_SPIN = ("interrupt", "deadline")

ABUSES = (
    Abuse("10 GB at once", "attempt(lambda: len(bytearray(10 << 30)))", (),
          always="off, it would take the memory of the host"),
    Abuse("2 GiB of address space",
          "import mmap\nattempt(lambda: mmap.mmap(-1, 2 << 30, mmap.MAP_PRIVATE))", ("memory",)),
    Abuse("2 GiB of shared memory",
          "import mmap\nattempt(lambda: mmap.mmap(-1, 2 << 30, mmap.MAP_SHARED))",
          ("memory", "arguments")),
    Abuse("2 GiB by numpy", "import numpy\nattempt(lambda: numpy.empty(2 << 30, 'u1').shape)",
          ("memory",)),
    Abuse("memory little by little", """
import mmap
kept = []
def grow():
    for _ in range(32):
        kept.append(mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE))
    return len(kept)
attempt(grow)
kept.clear()
""", ("memory",)),
    Abuse("locked memory",
          "a = ctypes.create_string_buffer(1 << 20)\n"
          "locked = _libc.mlock(a, 1 << 20) == 0\nprint('ESCAPED' if locked else 'CONTAINED')",
          ("memory", "seccomp")),
    Abuse("huge stack", """
import threading
def stack():
    threading.stack_size(2 << 30)
    t = threading.Thread(target=lambda: None)
    t.start()
    t.join()
attempt(stack)
""", ("memory",)),
    Abuse("endless loop", f"{_UNTIL}while time.monotonic() < end: pass\n{_WORKED}", _SPIN,
          seconds=0.5, may_end=True),
    Abuse("endless sleep", f"time.sleep(LONG)\n{_WORKED}", _SPIN, seconds=0.5, may_end=True),
    Abuse("regular expression that never ends",
          f"import re\n{_UNTIL}"
          f"while time.monotonic() < end: re.match('(a*)*b', 'a' * 20)\n{_WORKED}", _SPIN,
          seconds=0.5, may_end=True),
    Abuse("loop that swallows exceptions", f"""
{_UNTIL}
while time.monotonic() < end:
    try:
        while time.monotonic() < end: pass
    except BaseException:
        pass
{_WORKED}
""", _SPIN, seconds=0.5, may_end=True),
    Abuse("loop in C", f"""
import collections, itertools
{_UNTIL}
while time.monotonic() < end:
    collections.deque(itertools.repeat(0, 100_000_000), maxlen=0)
{_WORKED}
""", ("deadline", "interrupt"), seconds=0.5, may_end=True),
    Abuse("masked alarm", f"""
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
{_UNTIL}
while time.monotonic() < end: pass
{_WORKED}
""", ("deadline",), seconds=0.5, may_end=True),
    Abuse("cancelled alarm", f"""
import signal
signal.setitimer(signal.ITIMER_REAL, 0)
{_UNTIL}
while time.monotonic() < end: pass
{_WORKED}
""", ("deadline",), seconds=0.5, may_end=True),
    Abuse("lock that is never released", f"""
import threading
lock = threading.Lock()
lock.acquire()
lock.acquire(timeout=LONG)
{_WORKED}
""", _SPIN, seconds=0.5, may_end=True),
    Abuse("processor time", """
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
print("CONTAINED" if 0 < hard <= 120 else "ESCAPED", hard)
""", ("cpu",)),
    Abuse("standard input", "attempt(lambda: input())", (),
          always="standard input is /dev/null; there is nothing else to read"),
    Abuse("endless print", "for _ in range(50_000): print('x' * 20)", ("output", "file size"),
          check=_is_short),
    Abuse("endless error output", "for _ in range(50_000): sys.stderr.write('x' * 20)",
          ("output", "file size"), check=_is_short),
    Abuse("flood past the streams",
          "for _ in range(48): os.write(1, b'x' * (1 << 20))", ("file size",), check=_little),
    Abuse("huge repr",
          "class Huge:\n    def __repr__(self): return 'x' * 100_000\nHuge()",
          ("output", "channel"), check=_is_short),
    Abuse("huge exception", "raise ValueError('x' * 100_000)", ("output", "channel"),
          check=_is_short),
    Abuse("hostile repr", """
class Hostile:
    def __repr__(self): raise SystemExit
    __str__ = __del__ = __repr__
Hostile()
""", (), check=_lives, always="it only harms its own cell"),
    Abuse("hostile exception", """
class Hostile(Exception):
    def __str__(self): os._exit(0)
raise Hostile
""", (), check=_lives, may_end=True, always="it only harms its own session"),
    Abuse("endless recursion", "def f(): return f()\nf()", (), check=_lives,
          always="Python stops it; it only harms its own cell"),
    Abuse("12 figures", """
import matplotlib.pyplot as plt
for _ in range(12):
    plt.figure(figsize=(1, 1))
""", ("output", "channel"), check=_few_images),
    Abuse("10,000 displayed images", """
from PIL import Image
for _ in range(10_000):
    display(Image.new('RGB', (8, 8)))
""", ("output", "channel"), check=_few_images),
    Abuse("one image of 9 million pixels",
          "from PIL import Image\ndisplay(Image.new('L', (3000, 3000)))",
          ("output", "channel"), check=_few_images),
    Abuse("figure of 2,000 x 2,000 inches", """
import matplotlib.pyplot as plt
plt.figure(figsize=(2000, 2000))
plt.show()
""", (), check=_few_images, may_end=True, always="off, it would take 120 GB"),
    Abuse("PNG that unpacks to 2 GB", """
import io, zlib, struct
from PIL import Image
def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
side = 27_000
packed = zlib.compressobj(9)
row = b'\\0' * (side * 3 + 1)
body = b''.join(packed.compress(row) for _ in range(64)) + packed.flush()
head = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
bomb = (b'\\x89PNG\\r\\n\\x1a\\n' + chunk(b'IHDR', head) + chunk(b'IDAT', body)
        + chunk(b'IEND', b''))
attempt(lambda: Image.open(io.BytesIO(bomb)).load())
""", (), may_end=True, seconds=10.0, always="off, it would take the memory of the host"),
    Abuse("fill the scratch space", """
def fill():
    for number in range(6):
        with open(f'fill{number}', 'wb') as file:
            for _ in range(16):
                file.write(b'x' * (1 << 20))
try:
    attempt(fill)
finally:
    for number in range(6):
        if os.path.exists(f'fill{number}'): os.unlink(f'fill{number}')
""", ("scratch", "root", "landlock"), modes=("namespaces",)),
    Abuse("many files", """
def make():
    for number in range(5000):
        open(f'many{number}', 'w').close()
attempt(make)
for number in range(5000):
    if os.path.exists(f'many{number}'): os.unlink(f'many{number}')
""", ("scratch", "root", "landlock"), modes=("namespaces",)),
    Abuse("large file", """
def grow():
    with open('large', 'wb') as file:
        file.truncate(40 << 20)
attempt(grow)
if os.path.exists('large'): os.unlink('large')
""", ("file size",)),
    Abuse("all descriptors", """
opened = []
def take():
    for _ in range(1000):
        opened.append(os.open('/dev/null', os.O_RDONLY))
attempt(take)
for number in opened: os.close(number)
""", ("open files",)),
    Abuse("core dump",
          "import resource\nsize = resource.getrlimit(resource.RLIMIT_CORE)[1]\n"
          "print('ESCAPED' if size else 'CONTAINED')", (), always="never allowed"),
)  # fmt: skip
