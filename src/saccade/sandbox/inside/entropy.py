"""Numbers of the episode in place of the system's entropy: a cell that is run again draws alike.

They are what Python asks for: `os.urandom`, `secrets`, `random.SystemRandom`, `uuid.uuid4`, an
unseeded `random.Random`, `numpy.random.default_rng()`. They are not what is asked of the kernel
itself (`os.getrandom`, /dev/urandom, libraries in C), and they are no secrets.
"""

from __future__ import annotations

import _random
import functools
import os
import random
from collections.abc import Callable

BYTES = 32
"""Bytes of the seed of a generator that is given none."""


class Entropy:
    """Takes the place of the system's entropy."""

    def __init__(self, seed: int) -> None:
        """Take it; `begin` says for which cell."""
        self._seed, self._drawn = seed, _random.Random(seed)
        vars(os)["urandom"] = vars(random)["_urandom"] = self.read  # numpy asks `random` too
        generator = vars(random)["_inst"]
        vars(random)["Random"].seed = self._seeding(vars(random)["Random"].seed)
        vars(random)["seed"] = generator.seed

    def begin(self, number: int) -> None:
        """A new cell: what it draws depends on nothing that cells before it drew."""
        self._drawn.seed(self._seed << 32 | number)

    def read(self, size: int, /) -> bytes:
        """So many bytes."""
        if size < 0:
            raise ValueError("negative argument not allowed")
        return self._drawn.getrandbits(8 * size).to_bytes(size, "little")

    def _seeding(self, seed: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(seed)
        def seeded(generator: random.Random, a: object = None, version: int = 2) -> None:
            seed(generator, int.from_bytes(self.read(BYTES)) if a is None else a, version)

        return seeded
