"""Memory that the host shares with a session, as a file.

`mmap.mmap` keeps a descriptor open for as long as it lives, and a session has few of them. A
mapping needs none.
"""

from __future__ import annotations

import ctypes
import io
import mmap
import os
from collections.abc import Callable
from typing import IO, cast

SMALL = 1 << 20
"""Bytes of an image that is copied; a larger one stays shared."""

_libc = ctypes.CDLL(None, use_errno=True)
_map, _unmap = _libc.mmap, _libc.munmap
_map.restype = ctypes.c_void_p
_map.argtypes = [
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
]  # fmt: skip
_unmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_FAILED = ctypes.c_void_p(-1).value


class Shared(io.RawIOBase):
    """Memory behind a descriptor, which may be closed then. Each one has a position of its own."""

    def __init__(self, descriptor: int, length: int) -> None:
        """Map it.

        Raises:
            MemoryError: there is no room for it.
        """
        self._place = None
        place = _map(None, length, mmap.PROT_READ, mmap.MAP_PRIVATE, descriptor, 0)
        if place == _FAILED:
            raise MemoryError(os.strerror(ctypes.get_errno()))
        self._place, self._length, self._position = place, length, 0
        self._bytes = memoryview((ctypes.c_char * length).from_address(place)).cast("B")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place, also beyond the end."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = max(0, start + position)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """At most so many bytes; all that are left if negative."""
        end = self._length if size is None or size < 0 else self._position + size
        found = bytes(self._bytes[self._position : end])
        self._position += len(found)
        return found

    def close(self) -> None:
        """Give the memory back."""
        if self._place is not None:
            self._bytes = memoryview(b"")
            _unmap(self._place, self._length)
            self._place = None
        super().close()


def opened(
    descriptor: int,
    size: Callable[[int], os.stat_result] = os.fstat,
    read: Callable[[int, int, int], bytes] = os.pread,
) -> IO[bytes]:
    """The memory of an image as a file.

    Raises:
        MemoryError: there is no room for it.
    """
    length = size(descriptor).st_size
    if length <= SMALL:
        return io.BytesIO(read(descriptor, length, 0))
    return cast(IO[bytes], Shared(descriptor, length))
