"""A session's end of the channel: takes cells, runs them, sends back what they did."""

from __future__ import annotations

import json
import mmap
import os
import socket
from typing import IO, Literal, cast

from saccade.tools.sandbox.inside.notebook import Notebook, Outcome
from saccade.tools.sandbox.inside.plan import Order
from saccade.tools.sandbox.inside.wire import CHUNK, PACKET

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


_write, _recv, _map, _close = os.write, socket.recv_fds, Memory, os.close


def serve(channel: int, order: Order) -> None:
    """Run cells until the host hangs up."""
    host = socket.socket(fileno=channel)
    notebook = Notebook(order)
    while True:
        packet, descriptors, _, _ = _recv(host, PACKET, 1)
        if not packet:
            return
        told = _decode(packet.decode())
        if told["op"] == "image":
            memory = cast(IO[bytes], _map(descriptors[0], 0, mmap.MAP_PRIVATE, mmap.PROT_READ))
            notebook.give(told["name"], memory)
            _close(descriptors[0])
            continue
        code = bytearray()
        while len(code) < told["size"]:
            code += host.recv(PACKET)
        text = code.decode("utf-8", "surrogatepass")
        _send(channel, told["number"], notebook.run(told["number"], text, told["seconds"]))


def _send(channel: int, number: int, outcome: Outcome) -> None:
    head = {
        "number": number,
        "status": outcome.status,
        "value": outcome.value,
        "error": outcome.error,
        "notes": outcome.notes[:20],
        "images": [[picture.width, picture.height] for picture in outcome.pictures],
    }
    _write(channel, b"R" + _encode(head).encode("utf-8", "replace"))
    for picture in outcome.pictures:
        for start in range(0, len(picture.pixels), CHUNK):
            _write(channel, b"D" + picture.pixels[start : start + CHUNK])
