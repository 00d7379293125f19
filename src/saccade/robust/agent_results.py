"""What became of an agent under attack: every answer, and the shares that come of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Self

from pydantic import JsonValue

from saccade.errors import ConfigError
from saccade.measures import Interval, Paired, is_correct, paired, wilson
from saccade.robust.options import Loss, Threat
from saccade.types import Record, Trajectory

CLEAN, NOISE = "clean", "noise"


class Asked(Record):
    """An arm of an agent on all questions, as an attacker changed them."""

    arm: str
    by: str
    """The arm that was attacked, `noise`, or `clean`."""
    loss: Loss | None
    """Of the attack; None for noise and clean images."""
    epsilon: int
    """In steps of 8 bits."""
    right: str
    """A sign for each question: 1, 0, or - where the episode failed on our side."""
    called: str
    """1 where a call succeeded."""

    @classmethod
    def of(
        cls, episodes: Sequence[Trajectory], *, arm: str, by: str, loss: Loss | None, epsilon: int
    ) -> Self:
        """What became of episodes."""
        sign = {True: "1", False: "0", None: "-"}
        right = "".join(sign[is_correct(episode)] for episode in episodes)
        called = "".join(sign[bool(episode.successes)] for episode in episodes)
        return cls(arm=arm, by=by, loss=loss, epsilon=epsilon, right=right, called=called)


class Attacker(Record):
    """All that was asked after one attack."""

    asked: tuple[Asked, ...]


class Share(Record):
    """Right answers."""

    accuracy: float
    interval: Interval
    """Wilson's."""
    call_rate: float


class Compared(Record):
    """The arms on the same questions."""

    shares: dict[str, Share]
    paired: Paired
    """The last arm against the first."""


class AgentRow(Record):
    """A threat at one size.

    A question is right under attack if it is right clean and under each loss of the attack.
    """

    epsilon: int
    n: int
    noise: Compared
    own: Compared
    """Each arm under the attacks on itself."""
    transfer: Compared
    """Each arm under the attacks on the others."""


class AgentAttackResult(Record):
    """A run of `saccade attack` on an agent."""

    config: dict[str, JsonValue]
    tasks: tuple[str, ...]
    unscored: int
    """Questions of which an episode failed on our side: in no share."""
    clean: Compared
    threats: dict[Threat, tuple[AgentRow, ...]]
    asked: dict[Threat, tuple[Asked, ...]]
    """Every answer behind the shares."""


class Table:
    """All answers of a run, by what was shown."""

    def __init__(self, clean: Sequence[Asked], asked: Mapping[Threat, Sequence[Asked]]) -> None:
        """Leave out the questions of which any episode failed on our side.

        Raises:
            ConfigError: that are all.
        """
        self._clean = {row.arm: row for row in clean}
        self._asked = asked
        every = [*clean, *(row for rows in asked.values() for row in rows)]
        questions = range(len(clean[0].right))
        self._used = [i for i in questions if all(row.right[i] != "-" for row in every)]
        self.unscored = len(questions) - len(self._used)
        if not self._used:
            raise ConfigError("every question has an episode that failed on our side")

    def clean(self) -> Compared:
        return self._compared({arm: [row] for arm, row in self._clean.items()})

    def rows(self, threat: Threat) -> tuple[AgentRow, ...]:
        """By size."""
        asked = self._asked[threat]
        return tuple(
            AgentRow(
                epsilon=epsilon,
                n=len(self._used),
                noise=self._under(asked, epsilon, lambda arm, by: by == NOISE),
                own=self._under(asked, epsilon, lambda arm, by: by == arm),
                transfer=self._under(asked, epsilon, lambda arm, by: by not in (arm, NOISE)),
            )
            for epsilon in sorted({row.epsilon for row in asked})
        )

    def _under(
        self, asked: Sequence[Asked], epsilon: int, counts: Callable[[str, str], bool]
    ) -> Compared:
        return self._compared(
            {
                arm: [row for row in asked if row.arm == arm and row.epsilon == epsilon
                      and counts(arm, row.by)]
                for arm in self._clean
            }
        )  # fmt: skip

    def _compared(self, asked: Mapping[str, Sequence[Asked]]) -> Compared:
        right, shares = {}, {}
        for arm, rows in asked.items():
            every = [self._clean[arm], *rows]
            right[arm] = [all(row.right[i] == "1" for row in every) for i in self._used]
            n, successes = len(self._used), sum(right[arm])
            calls = [row.called[i] == "1" for row in rows for i in self._used]
            shares[arm] = Share(
                accuracy=successes / n,
                interval=wilson(successes, n),
                call_rate=sum(calls) / len(calls),
            )
        first, *_, last = right.values()
        return Compared(shares=shares, paired=paired(first, last))
