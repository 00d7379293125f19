"""Images handed to sessions: in sealed memory, once for all sessions that look at them."""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from collections import OrderedDict

from PIL import Image as PILImage


class SharedImage:
    """Memory that holds an image as PPM and can no longer be written."""

    def __init__(self, image: PILImage.Image) -> None:
        pixels = image.convert("RGB").tobytes()
        self.size = len(pixels)
        """Bytes of the pixels."""
        self.descriptor = os.memfd_create("image", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        with os.fdopen(os.dup(self.descriptor), "wb") as file:
            file.write(b"P6\n%d %d\n255\n" % image.size)
            file.write(pixels)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)
        weakref.finalize(self, os.close, self.descriptor)


KEPT = 64
"""Number of images whose memory is kept for further sessions, for as long as somebody has them."""
KEPT_BYTES = 512 << 20
"""Bytes of that memory, unless a single image has more."""

_SHARED: OrderedDict[int, tuple[weakref.ref[PILImage.Image], SharedImage]] = OrderedDict()
_SHARING = threading.RLock()  # an image may be collected in a thread that holds it


def shared_image(image: PILImage.Image) -> SharedImage:
    """The memory of an image; the same one for those that were used lately. Thread-safe."""
    key = id(image)
    with _SHARING:
        kept = _SHARED.get(key)
        if kept is None or kept[0]() is not image:  # another image had this place before
            kept = weakref.ref(image, lambda gone: _forget(key, gone)), SharedImage(image)
        _SHARED[key] = kept
        _SHARED.move_to_end(key)
        while len(_SHARED) > KEPT or (len(_SHARED) > 1 and kept_bytes() > KEPT_BYTES):
            _SHARED.popitem(last=False)
        return kept[1]


def kept_bytes() -> int:
    """How much memory is kept for further sessions."""
    with _SHARING:
        return sum(shared.size for _, shared in _SHARED.values())


def _forget(key: int, gone: weakref.ref[PILImage.Image]) -> None:
    with _SHARING:
        if key in _SHARED and _SHARED[key][0] is gone:
            del _SHARED[key]
