"""A session's end of the channel: takes cells, runs them, sends back what they did."""

from __future__ import annotations

import io
import json
import mmap
import os
import socket
from collections.abc import Callable
from typing import IO, Literal, cast

from saccade.sandbox.inside.notebook import Notebook, Outcome
from saccade.sandbox.inside.plan import Order
from saccade.sandbox.inside.wire import CHUNK, PACKET

_encode = json.JSONEncoder(ensure_ascii=False).encode
_decode = json.JSONDecoder().decode


class Memory(mmap.mmap):
    """Memory that reads as a file does: seeking beyond its end is no error.

    Not the descriptor itself: its position is shared by all sessions that were given it.
    """

    def seek(self, position: int, whence: Literal[0, 1, 2, 3, 4] = 0) -> None:
        """Go to a place, at most to the end."""
        try:
            super().seek(position, whence)
        except ValueError:
            super().seek(0, os.SEEK_END)


_write, _recv, _close = os.write, socket.recv_fds, os.close
SHORT = 4000
"""Characters of a text that must fit into a packet whatever they are."""

SMALL = 1 << 20
"""Bytes of an image that is copied; a larger one stays shared, and keeps a descriptor open."""


def serve(channel: int, order: Order) -> None:
    """Run cells until the host hangs up."""
    host = socket.socket(fileno=channel)
    notebook = Notebook(order)
    while True:
        packet, descriptors, _, _ = _recv(host, PACKET, 1)
        if not packet:
            return
        request = _decode(packet.decode())
        if request["op"] == "image":
            notebook.give(request["name"], _opened(descriptors[0]))
            _close(descriptors[0])
            continue
        code = bytearray()
        while len(code) < request["size"]:
            code += host.recv(PACKET)
        text = code.decode("utf-8", "surrogatepass")
        _send(channel, request["number"], notebook.run(request["number"], text, request["seconds"]))


def _opened(
    descriptor: int,
    size: Callable[[int], os.stat_result] = os.fstat,
    read: Callable[[int, int, int], bytes] = os.pread,
    share: Callable[[int, int, int, int], Memory] = Memory,
) -> IO[bytes]:
    """The memory of an image as a file."""
    length = size(descriptor).st_size
    if length <= SMALL:
        return io.BytesIO(read(descriptor, length, 0))
    return cast(IO[bytes], share(descriptor, 0, mmap.MAP_PRIVATE, mmap.PROT_READ))


def _send(channel: int, number: int, outcome: Outcome) -> None:
    head: dict[str, object] = {
        "number": number,
        "status": outcome.status,
        "value": outcome.value,
        "error": outcome.error,
        "notes": outcome.notes[:20],
        "images": [[picture.width, picture.height] for picture in outcome.pictures],
    }
    packet = b"R" + _encode(head).encode("utf-8", "replace")
    if len(packet) > PACKET:  # characters of four bytes
        for name in ("value", "error"):
            text = getattr(outcome, name)
            head[name] = None if text is None else f"{text[:SHORT]}\n... [cut]"
        packet = b"R" + _encode(head).encode("utf-8", "replace")
    _write(channel, packet)
    for picture in outcome.pictures:
        for start in range(0, len(picture.pixels), CHUNK):
            _write(channel, b"D" + picture.pixels[start : start + CHUNK])
