"""Images handed to sessions: in sealed memory, once for all sessions that look at them."""

from __future__ import annotations

import fcntl
import os
import weakref

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


_SHARED: dict[int, SharedImage] = {}


def shared_image(image: PILImage.Image) -> SharedImage:
    """The memory of an image; the same one as long as the image lives."""
    key = id(image)
    if key not in _SHARED:
        _SHARED[key] = SharedImage(image)
        weakref.finalize(image, _SHARED.pop, key, None)
    return _SHARED[key]
