"""A cache that is bounded by the bytes that it holds: pixels, patches, encoded images."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ByteCache(Generic[Key, Value]):
    """The most recently used values, up to a number of bytes. Safe to use from several threads."""

    def __init__(self, limit: int, size_of: Callable[[Value], int]) -> None:
        """Make an empty cache.

        Args:
            limit: Bytes to hold; the newest value stays even if it alone is larger.
            size_of: Maps a value to its bytes.
        """
        self._limit = limit
        self._size_of = size_of
        self._held: OrderedDict[Key, Value] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """The value of a key, now the most recently used one; None if it is not held."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Hold a value; a key that is already held keeps the value that it has."""
        with self._lock:
            if key in self._held:
                return
            self._held[key] = value
            self._bytes += self._size_of(value)
            while self._bytes > self._limit and len(self._held) > 1:
                _, oldest = self._held.popitem(last=False)
                self._bytes -= self._size_of(oldest)
