"""The harness: what it uses, what it sends back, what one episode leaves for the next."""

from __future__ import annotations

from PIL import Image as PILImage

from saccade.sandbox.abuses import Abuse
from saccade.sandbox.abuses.scene import Scene
from saccade.sandbox.cells import Cell
from saccade.sandbox.session import Session


async def _is_proper(scene: Scene, session: Session, cell: Cell) -> bool:
    """Whether the host got a cell of proper types, however the session went."""
    texts = (cell.stdout, cell.stderr, cell.value or "", cell.error or "", *cell.notes)
    return (
        cell.status in ("ok", "error", "timeout", "killed")
        and all(isinstance(text, str) and _is_plain(text) for text in texts)
        and all(isinstance(image, PILImage.Image) for image in cell.images)
        and sum(image.width * image.height for image in cell.images) <= 8_000_000
    )


async def _goes_on(scene: Scene, session: Session, cell: Cell) -> bool:
    """Whether the session goes on or has ended properly."""
    return cell.status == "killed" or isinstance(await session.run("1 + 1"), Cell)


def _is_plain(text: str) -> bool:
    """Whether text holds nothing that a terminal or an encoder trips over."""
    text.encode("utf-8")
    return not any(c < " " and c not in "\n\t" for c in text)


_SEND = """
import json
def send(b):
    os.write(3, b)
def announce(**changes):
    forged = dict(number=1, status='ok', value=None, error=None, notes=[], images=[])
    send(b'R' + json.dumps(forged | changes).encode())
"""
_HARMLESS = "a forged result says no more than the cell could have printed"

ABUSES = (
    *(
        Abuse(
            f"every function of {module} gone", f"""
import {module} as module
for name in dir(module):
    if callable(getattr(module, name)) and not name.startswith('__'):
        try:
            setattr(module, name, None)
        except (AttributeError, TypeError):
            pass
""", (), check=_goes_on, may_end=True, seconds=1.0, always="it only harms its own session",
        )
        for module in ("builtins", "os", "json", "time", "signal", "io", "struct", "traceback",
                       "socket", "linecache", "PIL.Image", "matplotlib.pyplot")
    ),
    Abuse("replaced encoder", """
import sys
for frame in (sys._getframe(n) for n in range(3)):
    for name, value in list(frame.f_globals.items()):
        if name.startswith('_') and callable(value):
            frame.f_globals[name] = lambda *a, **k: b'x'
""", (), check=_is_proper, may_end=True, seconds=1.0, always=_HARMLESS),
    Abuse("forged result", f"{_SEND}announce(value='forged')",
          (), check=_is_proper, always=_HARMLESS),
    Abuse("pickle in the place of a result",
          f"{_SEND}send(b'R' + b'\\x80\\x04\\x8c\\x05posix\\x94.')",
          ("channel",), check=_is_proper, may_end=True),
    Abuse("result of wrong types", f"{_SEND}announce(value=[1])",
          ("channel",), check=_is_proper, may_end=True),
    Abuse("status that does not exist",
          f"{_SEND}announce(status='superb')",
          ("channel",), check=_is_proper, may_end=True),
    Abuse("notes of wrong types", f"{_SEND}announce(notes=[3])",
          ("channel",), check=_is_proper, may_end=True),
    Abuse("JSON nested 60,000 deep", f"{_SEND}send(b'R' + b'[' * 60_000)", ("channel",),
          check=_is_proper, may_end=True),
    Abuse("number of 50,000 digits", f"{_SEND}send(b'R{{\"number\": ' + b'9' * 50_000 + b'}}')",
          ("channel",), check=_is_proper, may_end=True),
    Abuse("image of a false size",
          f"{_SEND}announce(images=[[100_000, 100_000]])",
          ("channel", "deadline"), check=_is_proper, may_end=True, seconds=0.5,
          always="off, the host would wait for 30 GB"),
    Abuse("image of negative size",
          f"{_SEND}announce(images=[[-4, -4]])",
          ("channel",), check=_is_proper, may_end=True),
    Abuse("image that never comes",
          f"{_SEND}announce(images=[[8, 8]])\ntime.sleep(60)",
          ("deadline",), check=_is_proper, may_end=True, seconds=0.5,
          always="off, the host would wait for ever"),
    Abuse("more pixels than announced",
          f"{_SEND}announce(images=[[2, 2]])\nsend(b'D' + b'x' * 5000)",
          (), check=_is_proper, may_end=True,
          always="what makes an image of bytes takes no more than it needs either"),
    Abuse("surrogates and control characters",
          r"print('\x1b[2J\x00\x07\x9b'); sys.stdout.buffer.write(b'\xff\xfe'); '\ud800\x1b'",
          ("channel",), check=_is_proper),
    Abuse("flood of the channel", f"{_SEND}for _ in range(5000): send(b'x' * 1000)", (),
          check=_is_proper, may_end=True, always="off, the host would read for ever"),
    Abuse("closed channel", "os.close(3)", (), check=_is_proper, may_end=True,
          always="the host sees the end of the session"),
    Abuse("stolen request", """
import socket
host = socket.socket(fileno=os.dup(3))
host.setblocking(False)
try:
    host.recv(100)
except BlockingIOError:
    pass
""", (), check=_goes_on, may_end=True, always="only its own session's requests are there"),
    Abuse("descriptor sent to the host", """
import array, socket
host = socket.socket(fileno=os.dup(3))
attempt(lambda: socket.send_fds(host, [b'x'], [0]))
""", ("seccomp",)),
    Abuse("end of the channel by shutdown", """
import socket
socket.socket(fileno=os.dup(3)).shutdown(2)
""", (), check=_is_proper, may_end=True, always="the host sees the end of the session"),
)  # fmt: skip
