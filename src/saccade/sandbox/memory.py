"""Images handed to sessions: in sealed memory, once for all sessions that look at them."""

from __future__ import annotations

import fcntl
import os
import weakref
from collections import OrderedDict

from PIL import Image as PILImage


class SharedImage:
    """Memory that holds an image as PPM and can no longer be written."""

    def __init__(self, image: PILImage.Image) -> None:
        pixels = image.convert("RGB").tobytes()
        self.descriptor = os.memfd_create("image", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        with os.fdopen(os.dup(self.descriptor), "wb") as file:
            file.write(b"P6\n%d %d\n255\n" % image.size)
            file.write(pixels)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)
        weakref.finalize(self, os.close, self.descriptor)


KEPT = 64
"""Number of images whose memory is kept for further sessions; each keeps what it was given."""

_SHARED: OrderedDict[int, tuple[weakref.ref[PILImage.Image], SharedImage]] = OrderedDict()


def shared_image(image: PILImage.Image) -> SharedImage:
    """The memory of an image; the same one for those that were used lately."""
    key = id(image)
    kept = _SHARED.get(key)
    if kept is None or kept[0]() is not image:  # another image had this place before
        kept = weakref.ref(image), SharedImage(image)
    _SHARED[key] = kept
    _SHARED.move_to_end(key)
    while len(_SHARED) > KEPT:
        _SHARED.popitem(last=False)
    return kept[1]
