"""The run file of `saccade demos`.

# saccade demos recipes/deepeyes_v2_demos.toml
tasks = { kind = "file", path = "cold_start/tasks.jsonl" }
out = "runs/demos"
samples = 4

[[teachers]]
kind = "openai"
base_url = "https://HOST/v1"
model = "..."
price_in = 1.25
price_out = 10.0
hint = "Look before you compute."

[demos]
caps = { money = 20.0 }
"""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from saccade.config import Part
from saccade.recipe import Recipe
from saccade.types import Record

LeakKind = Literal["request", "hint", "question", "order", "image", "observation"]
"""Where the gold answer can be told; see `saccade.data.demos.leaks`."""
WrittenAs = Literal["sharegpt", "trl"]
"""Formats of others that demonstrations are written in: LLaMA-Factory's and TRL's."""


class TeacherPart(Part):
    """A policy that shows how questions are solved: `kind` and options as for `policy`."""

    kind: str
    """A built-in policy, or `pkg.mod:Name` of your own; its options stand beside it."""
    name: str = ""
    """Name of the teacher in the report; its model or its kind if left out."""
    weight: int = Field(default=1, ge=1)
    """How often it is asked, compared with the others."""
    hint: str = ""
    """Text that it is shown behind the system prompt, and that no student ever sees. `{meta.KEY}`
    becomes a note of the question; a hint that tells the gold answer is a leak."""


class Caps(Record):
    """What a synthesis may use; all its starts together, but for `seconds`."""

    episodes: int | None = Field(default=None, ge=1)
    """Number of episodes that may be finished."""
    tokens: int | None = Field(default=None, ge=1)
    """Number of tokens that teachers behind a server may read and write."""
    money: float | None = Field(default=None, gt=0)
    """Money that may be spent, by the `price_in` and `price_out` of the teachers."""
    seconds: float | None = Field(default=None, gt=0)
    """Seconds that one start of the command may take; the next start has as many again."""


class FilterOptions(Record):
    """Which of the right answers are kept."""

    leaks: tuple[LeakKind, ...] = get_args(LeakKind)
    """Where the gold answer is looked for: a question that tells it there is not asked, and an
    episode that was told it is dropped. `[]` looks nowhere."""
    repaired: bool = False
    """Whether an episode is kept in which a call failed and a later call of the same tool did not:
    demonstrations of repair."""
    require_tools: bool | tuple[str, ...] = False
    """Whether an episode must have called a tool with success: of all questions, or of the families
    that are named."""
    max_turns: int | None = Field(default=None, ge=1)
    """Number of turns that an episode may have; None: as many as the environment allows."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Number of tokens that the teacher may have written in an episode, as its server counts them;
    where none does, three characters count as one."""
    max_chars: int | None = Field(default=None, ge=1)
    """Number of characters that all turns and observations of an episode may have."""


class DemosOptions(Record):
    """The `demos` section of a run file."""

    enough: int = Field(default=1, ge=1)
    """Number of episodes of a question that are kept; it is not asked again once there are so many.
    There are at most `samples` attempts."""
    down_after: int = Field(default=5, ge=1)
    """Number of episodes in a row that may fail on our side with one teacher before it is asked no
    more; the next start asks it again."""
    caps: Caps = Caps()
    """What may be used: the run stops before a cap would be passed, and goes on with a higher
    one."""
    filters: FilterOptions = FilterOptions()
    """Which episodes are kept; another choice needs no new episode of those that are there."""
    written_as: tuple[WrittenAs, ...] = ("sharegpt",)
    """Formats that the kept episodes are written in beside ours, each in a folder of its own:
    `sharegpt` for LLaMA-Factory, `trl`, which needs the extra data."""

    @field_validator("written_as")
    @classmethod
    def _once(cls, value: tuple[WrittenAs, ...]) -> tuple[WrittenAs, ...]:
        return tuple(dict.fromkeys(value))


class DemosRecipe(Recipe):
    """A run file of `saccade demos`: all but `policy` is as for `saccade rollout`."""

    out: str
    teachers: tuple[TeacherPart, ...] = Field(min_length=1)
    """Who plays: parts as in `policy`, each with a weight and a hint of its own. By question and
    sample they take turns, in the same way at each start."""
    demos: DemosOptions = DemosOptions()

    @model_validator(mode="after")
    def _teachers_play(self) -> Self:
        if self.policy is not None:
            raise ValueError("policy: name who plays in teachers, as in [[teachers]]")
        return self

    @model_validator(mode="after")
    def _money_has_prices(self) -> Self:
        priced = any(t.options.get(key) for t in self.teachers for key in ("price_in", "price_out"))
        if self.demos.caps.money is not None and not priced:
            raise ValueError("demos.caps.money needs price_in and price_out of a teacher")
        return self
