"""What became of an agent under attack: every answer, and the accuracies that come of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import JsonValue, ValidationError

from saccade.errors import ConfigError, FormatError
from saccade.files import MAX_KEPT_BYTES, read_whole
from saccade.measures.boxes import looks
from saccade.measures.intervals import Interval, wilson
from saccade.measures.paired import Paired, paired
from saccade.measures.summary import is_correct
from saccade.robust.agent.recipe import Loss, Threat
from saccade.types import Record, Task, Trajectory

CLEAN, NOISE = "clean", "noise"


class Outcome(NamedTuple):
    """What is counted of an episode."""

    correct: bool | None
    """Whether the answer is right; None where the episode failed on our side."""
    called: bool
    """Whether a call was executed."""
    aimed: bool | None
    """Whether a call showed half of the asked object or more; None where its place is not known."""

    @classmethod
    def of(cls, task: Task, episode: Trajectory) -> Self:
        """Of an episode, with the task whose photograph its calls cut from."""
        aimed = any(look.coverage >= 0.5 for look in looks(task, episode)) if task.boxes else None
        return cls(is_correct(episode), bool(episode.executed), aimed)


class ArmOutcomes(Record):
    """An arm of an agent on all questions, after one attack."""

    arm: str
    attacked: str
    """The arm through whose clean episode the images were attacked, `noise`, or `clean`."""
    loss: Loss | None
    """Loss of the attack; None for noise and clean images."""
    epsilon: int
    """Budget of the attack, in steps of 8 bits."""
    correct: str
    """A sign for each question: 1, 0, or - where the episode failed on our side."""
    called: str
    """A sign for each question: 1 where a call succeeded."""
    aimed: str
    """A sign for each question: 1 where a call showed half of the asked object or more, - where its
    place is not known."""

    @classmethod
    def of(
        cls,
        outcomes: Sequence[Outcome],
        *,
        arm: str,
        attacked: str,
        loss: Loss | None,
        epsilon: int,
    ) -> Self:
        """Signs of what became of episodes."""
        sign = {True: "1", False: "0", None: "-"}
        correct, called, aimed = (
            "".join(sign[v] for v in column) for column in zip(*outcomes, strict=True)
        )
        return cls(
            arm=arm, attacked=attacked, loss=loss, epsilon=epsilon, correct=correct, called=called,
            aimed=aimed,
        )  # fmt: skip

    def first(self, n: int) -> Self:
        """The same on the first n questions."""
        return self.model_copy(
            update={
                "correct": self.correct[:n], "called": self.called[:n], "aimed": self.aimed[:n],
            }
        )  # fmt: skip

    def followed_by(self, other: ArmOutcomes) -> Self:
        """The same on further questions."""
        return self.model_copy(
            update={
                "correct": self.correct + other.correct,
                "called": self.called + other.called,
                "aimed": self.aimed + other.aimed,
            }
        )


class AttackOutcomes(Record):
    """Every arm at every budget of one attack."""

    model: str
    """Digest of the weights."""
    tasks: tuple[str, ...]
    """Ids of the questions, in the order of the signs."""
    shown: tuple[str, ...]
    """Digest of what each question shows, asks and takes for an answer."""
    outcomes: tuple[ArmOutcomes, ...]

    @classmethod
    def of(cls, outcomes: Sequence[ArmOutcomes], tasks: Sequence[Task], *, model: str) -> Self:
        """Of outcomes on tasks, by the model whose weights have this digest."""
        ids, shown = tuple(task.id for task in tasks), tuple(map(_digest_of, tasks))
        return cls(model=model, tasks=ids, shown=shown, outcomes=tuple(outcomes))

    @classmethod
    def read(cls, file: Path, tasks: Sequence[Task], *, model: str) -> Self | None:
        """What is kept of an attack on the first of these tasks, or on all; None if there is none.

        An attack on other tasks, or on them in another order, is another one.

        Raises:
            ConfigError: it is of another model, or of other tasks that have the same ids.
            FormatError: the file is damaged, or of another version.
        """
        if not file.exists():
            return None
        try:
            kept = cls.model_validate_json(read_whole(file, most=MAX_KEPT_BYTES))
        except (OSError, ValidationError) as error:
            raise FormatError(
                f"{file}: not what this version keeps of an attack; delete it to attack again"
            ) from error
        ids = tuple(task.id for task in tasks)
        n = min(len(ids), len(kept.tasks))
        if kept.tasks[:n] != ids[:n]:
            return None
        if kept.model != model or kept.shown[:n] != tuple(map(_digest_of, tasks[:n])):
            raise ConfigError(
                f"{file} holds what was measured of another model or of other tasks, though under "
                "the same name; delete it to measure anew, or choose another out"
            )
        return kept.first(n)

    def first(self, n: int) -> Self:
        """The attack on the first n of its tasks."""
        rows = tuple(row.first(n) for row in self.outcomes)
        update = {"tasks": self.tasks[:n], "shown": self.shown[:n], "outcomes": rows}
        return self.model_copy(update=update)

    def followed_by(self, other: AttackOutcomes) -> Self:
        """The same attack on these tasks, then on those of another part."""
        pairs = zip(self.outcomes, other.outcomes, strict=True)
        return self.model_copy(
            update={
                "tasks": (*self.tasks, *other.tasks),
                "shown": (*self.shown, *other.shown),
                "outcomes": tuple(rows.followed_by(more) for rows, more in pairs),
            }
        )


def _digest_of(task: Task) -> str:
    """Of its pixels as well: in JSON an image is named by their digest."""
    told = task.model_dump_json(include={"prompt", "choices", "answer", "boxes"})
    return hashlib.sha256(told.encode()).hexdigest()


class ArmAccuracy(Record):
    """How well an arm answers."""

    accuracy: float
    interval: Interval
    """95 % CI of the accuracy, by Wilson."""
    tool_call_rate: float
    """Share of episodes in which a call succeeded."""
    aimed: float | None
    """Share of the episodes with a call that were shown half of the asked object or more."""


class Compared(Record):
    """The arms on the same questions."""

    arms: dict[str, ArmAccuracy]
    paired: Paired
    """The last arm against the first."""


class AgentRow(Record):
    """A threat at one budget.

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
    command: str = ""
    """The command line."""
    fingerprint: str | None = None
    """Fingerprint of the environment in which it was measured."""
    tasks: tuple[str, ...]
    unscored: int
    """Number of questions of which an episode failed on our side; they are in no accuracy."""
    clean: Compared
    threats: dict[Threat, tuple[AgentRow, ...]]
    outcomes: dict[Threat, tuple[ArmOutcomes, ...]]
    """Every answer behind the accuracies."""


class Table:
    """All answers of a run, by what was shown."""

    def __init__(
        self, clean: Sequence[ArmOutcomes], outcomes: Mapping[Threat, Sequence[ArmOutcomes]]
    ) -> None:
        """Leave out the questions of which any episode failed on our side.

        Raises:
            ConfigError: that are all.
        """
        self._clean = {row.arm: row for row in clean}
        self._outcomes = outcomes
        every = [*clean, *(row for rows in outcomes.values() for row in rows)]
        questions = range(len(clean[0].correct))
        self._scored = [i for i in questions if all(row.correct[i] != "-" for row in every)]
        self.unscored = len(questions) - len(self._scored)
        if not self._scored:
            raise ConfigError("every question has an episode that failed on our side")

    def clean(self) -> Compared:
        return self._compared({arm: [row] for arm, row in self._clean.items()})

    def rows(self, threat: Threat) -> tuple[AgentRow, ...]:
        """One for each budget, the smallest first."""
        rows = self._outcomes[threat]
        return tuple(
            AgentRow(
                epsilon=epsilon,
                n=len(self._scored),
                noise=self._under(rows, epsilon, lambda row: row.attacked == NOISE),
                own=self._under(rows, epsilon, lambda row: row.attacked == row.arm),
                transfer=self._under(
                    rows, epsilon, lambda row: row.attacked not in (row.arm, NOISE)
                ),
            )
            for epsilon in sorted({row.epsilon for row in rows})
        )

    def _under(
        self,
        rows: Sequence[ArmOutcomes],
        epsilon: int,
        chosen: Callable[[ArmOutcomes], bool],
    ) -> Compared:
        at = [row for row in rows if row.epsilon == epsilon and chosen(row)]
        return self._compared({arm: [row for row in at if row.arm == arm] for arm in self._clean})

    def _compared(self, outcomes: Mapping[str, Sequence[ArmOutcomes]]) -> Compared:
        correct, arms = {}, {}
        for arm, rows in outcomes.items():
            every = [self._clean[arm], *rows]
            correct[arm] = [all(row.correct[i] == "1" for row in every) for i in self._scored]
            n, successes = len(self._scored), sum(correct[arm])
            looked = [row.aimed[i] for row in rows for i in self._scored if row.called[i] == "1"]
            known = [sign == "1" for sign in looked if sign != "-"]
            arms[arm] = ArmAccuracy(
                accuracy=successes / n,
                interval=wilson(successes, n),
                tool_call_rate=len(looked) / (n * len(rows)),
                aimed=sum(known) / len(known) if known else None,
            )
        first, *_, last = correct.values()
        return Compared(arms=arms, paired=paired(first, last))
