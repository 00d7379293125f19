"""What a command that takes long tells while it runs: what is under way, and how long it takes.

A timetable guesses from one timed pass of the net, before anything is measured, how long all will
take; what its parts then took corrects the guess.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

OnProgress = Callable[[str, int, int], None]
"""What is under way, how many steps of it are done, and how many there are."""
OnNote = Callable[[str], None]
"""A sentence for whoever waits: how long it will take, what is kept of an earlier run."""


class Timetable:
    """How long a run of several rounds has left, kind by kind of its parts."""

    def __init__(
        self,
        seconds: Mapping[str, float],
        rounds: int,
        on_progress: OnProgress,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Plan the rounds.

        Args:
            seconds: Kind of a part -> how long the parts of this kind take in a round, as a guess.
            rounds: Number of rounds: the nets that are measured.
            on_progress: Told of every part, with the percentage of the run that is done.
            clock: Seconds, from anywhere.
        """
        self._guess, self._rounds = dict(seconds), rounds
        self._on_progress, self._clock = on_progress, clock
        self._took: dict[str, float] = defaultdict(float)
        self._done: dict[str, float] = defaultdict(float)
        self._round: dict[str, float] = defaultdict(float)
        self._begun = 0

    @property
    def announcement(self) -> str:
        """What to say before anything is measured."""
        nets = f" for {self._rounds} nets" if self._rounds > 1 else ""
        return f"expected to take {duration(self.left_s)}{nets}, by what was timed so far"

    def begin_round(self) -> None:
        """Begin with the next net; what is left of the one before is kept of an earlier run."""
        self._begun += 1
        self._round.clear()

    def skip(self, kind: str, share: float) -> None:
        """A share of a kind that is kept of an earlier run."""
        self._round[kind] += share

    @contextmanager
    def part(self, what: str, kind: str, share: float = 1.0) -> Iterator[None]:
        """A part that is under way within the block.

        Args:
            what: Its name.
            kind: Its kind, one that was planned.
            share: Which share it is of all parts of its kind in a round.
        """
        spent, left = sum(self._took.values()), self.left_s
        percent = round(100 * spent / (spent + left)) if spent + left else 0
        known = f", about {duration(left)} left" if left >= 90 else ""
        self._on_progress(what + known, percent, 100)
        begun = self._clock()
        yield
        self._took[kind] += self._clock() - begun
        self._done[kind] += share
        self._round[kind] += share

    @property
    def left_s(self) -> float:
        """Seconds that the rest will take: each kind as long as before, or else as guessed."""
        later, left = self._rounds - max(self._begun, 1), 0.0
        for kind, guess in self._guess.items():
            known = self._done[kind] > 0
            seconds = self._took[kind] / self._done[kind] if known else guess
            left += seconds * (later + max(0.0, 1.0 - self._round[kind]))
        return left


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`: as exactly as a guess deserves."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
