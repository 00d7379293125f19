"""A session's end of the channel: takes cells, runs them, sends back what they did."""

from __future__ import annotations

import json
import os
import socket

from saccade.sandbox.inside.notebook import Notebook, Outcome
from saccade.sandbox.inside.plan import Order
from saccade.sandbox.inside.shared import opened
from saccade.sandbox.inside.wire import CHUNK, PACKET

_encode = json.JSONEncoder(ensure_ascii=False).encode
_decode = json.JSONDecoder().decode


_write, _recv, _close = os.write, socket.recv_fds, os.close
SHORT = 4000
"""Characters of a text that must fit into a packet whatever they are."""


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
            _give(notebook, request["name"], descriptors)
            continue
        code = bytearray()
        while len(code) < request["size"]:
            code += host.recv(PACKET)
        text = code.decode("utf-8", "surrogatepass")
        _send(channel, request["number"], notebook.run(request["number"], text, request["seconds"]))


def _give(notebook: Notebook, name: str, descriptors: list[int]) -> None:
    """Define a variable that holds an image, or have the next cell say why it is not there."""
    try:
        notebook.give(name, opened(descriptors[0]))
    except Exception as error:  # cells may have left no memory, or no descriptor to receive
        notebook.missing(name, "descriptor" if isinstance(error, IndexError) else "memory")
    finally:
        for descriptor in descriptors:
            _close(descriptor)


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
