"""What clients may have of something there is only so much of."""

from __future__ import annotations

from collections import Counter

MOST_OF_ONE = 0.75
"""Share of the whole that a single client may have where nothing else is said: some is left."""


class Quota:
    """So much for each owner, and so much in all: bytes, connections, sessions, cells."""

    def __init__(self, total: int, each: int | None = None) -> None:
        self._total = total
        self._each = max(1, int(total * MOST_OF_ONE)) if each is None else each
        self._taken: Counter[str] = Counter()
        self.used = 0
        """How much is taken, by all."""

    def of(self, owner: str) -> int:
        """How much an owner has."""
        return self._taken.get(owner, 0)

    def take(self, owner: str, amount: int = 1) -> bool:
        """Whether there was so much left; then the owner has it."""
        if self.used + amount > self._total or self.of(owner) + amount > self._each:
            return False
        self.used += amount
        self._taken[owner] += amount
        return True

    def give_back(self, owner: str, amount: int = 1) -> None:
        """What was taken and is needed no more."""
        self.used -= amount
        self._taken[owner] -= amount
        if not self._taken[owner]:
            del self._taken[owner]
