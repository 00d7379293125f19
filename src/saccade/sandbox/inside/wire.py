"""The words of the channel between host and session: packets of a sequenced socket.

Host to session: a JSON object {"op": "cell" | "image", ...}, then the code in chunks; an image
comes as a descriptor of memory that holds it as PPM. Session to host: `R` and a JSON object, then
for each image `D` and chunks of its RGB bytes, exactly as many as were announced. No pickle, no
image format, no path and no descriptor goes towards the host.
"""

from __future__ import annotations

PACKET = 1 << 17
"""Bytes of a packet at most."""

CHUNK = 60_000
"""Bytes of code or pixels in a packet."""

CHANNEL = 3
"""Descriptor of the socket in a session."""
