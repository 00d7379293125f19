"""What became of an agent under attack: every answer, and the shares that come of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import JsonValue

from saccade.errors import ConfigError
from saccade.measures.boxes import looks
from saccade.measures.intervals import Interval, wilson
from saccade.measures.paired import Paired, paired
from saccade.measures.summary import is_correct
from saccade.robust.agent.recipe import Loss, Threat
from saccade.types import Record, Task, Trajectory

CLEAN, NOISE = "clean", "noise"


class Outcome(NamedTuple):
    """What is counted of an episode."""

    right: bool | None
    """None where it failed on our side."""
    called: bool
    """A call succeeded."""
    aimed: bool | None
    """A call showed half of the asked object or more; None where its place is not known."""

    @classmethod
    def of(cls, task: Task, episode: Trajectory) -> Self:
        """Of an episode, with the task whose photograph its calls cut from."""
        aimed = any(look.coverage >= 0.5 for look in looks(task, episode)) if task.boxes else None
        return cls(is_correct(episode), bool(episode.successes), aimed)


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
    aimed: str
    """1 where a call showed half of the asked object or more, - where its place is not known."""

    @classmethod
    def of(
        cls, outcomes: Sequence[Outcome], *, arm: str, by: str, loss: Loss | None, epsilon: int
    ) -> Self:
        """Signs of what became of episodes."""
        sign = {True: "1", False: "0", None: "-"}
        right, called, aimed = (
            "".join(sign[v] for v in column) for column in zip(*outcomes, strict=True)
        )
        return cls(
            arm=arm, by=by, loss=loss, epsilon=epsilon, right=right, called=called, aimed=aimed
        )


class Attacker(Record):
    """All that was asked after one attack."""

    tasks: tuple[str, ...]
    """Ids of the questions, in the order of the signs."""
    asked: tuple[Asked, ...]

    @classmethod
    def read(cls, file: Path, tasks: Sequence[Task]) -> Self | None:
        """What is kept of an attack on these tasks; None if there is none."""
        if not file.exists():
            return None
        kept = cls.model_validate_json(file.read_bytes())
        return kept if kept.tasks == tuple(task.id for task in tasks) else None


class Share(Record):
    """Right answers."""

    accuracy: float
    interval: Interval
    """Wilson's."""
    tool_call_rate: float
    aimed: float | None
    """Of the episodes with a call, those that were shown half of the asked object or more."""


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
    fingerprint: str | None = None
    """Of the environment in which it was measured."""
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
            looked = [row.aimed[i] for row in rows for i in self._used if row.called[i] == "1"]
            known = [sign == "1" for sign in looked if sign != "-"]
            shares[arm] = Share(
                accuracy=successes / n,
                interval=wilson(successes, n),
                tool_call_rate=len(looked) / (n * len(rows)),
                aimed=sum(known) / len(known) if known else None,
            )
        first, *_, last = right.values()
        return Compared(shares=shares, paired=paired(first, last))
