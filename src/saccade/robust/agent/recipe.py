"""The run file of `saccade attack` on an agent.

# saccade attack recipes/agent_attack.toml
tasks = { kind = "world", family = "easy", n = 200 }
policy = { kind = "hf", path = "nano-look" }
out = "runs/agent_attack"
attack.arms = ["direct", "agent"]
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from saccade.arms import ARMS
from saccade.config import Part, suggestion
from saccade.recipe import Recipe
from saccade.robust.attacks import ATTACKS
from saccade.robust.parts import known
from saccade.types import Record

Threat = Literal["view", "photograph"]
Loss = Literal["answer", "all"]


FILES = (
    "agent_attack.json", "agent_attack.md", "agent_attack.png", "attacked.png", "attacked",
)  # fmt: skip
"""What the command leaves for its user."""


class AgentAttackSection(Record):
    """What is tried on an agent: an attack in L-inf, on pixels of 8 bits."""

    threats: Annotated[tuple[Threat, ...], Field(min_length=1)] = ("view", "photograph")
    """What is changed: the image of the question as it is first shown, while tools still cut from
    the clean photograph; or the photograph, from which the view and every crop are taken."""
    epsilons: Annotated[tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(min_length=1)] = (
        1, 2, 4, 8,
    )  # fmt: skip
    """Largest change of a value, in steps of 8 bits."""
    losses: Annotated[tuple[Loss, ...], Field(min_length=1)] = ("answer", "all")
    """Which tokens of the clean episode an attack must change: those of its answer, or any."""
    method: Annotated[str | Part, AfterValidator(known(ATTACKS))] = "pgd"
    """Which attack: a name in `saccade.robust.attacks.ATTACKS` or `package.module:Name`, alone or
    with its options: { kind = "pgd", steps = 10 }."""
    arms: tuple[str, ...] = Field(default=("direct", "agent"), min_length=2)
    """The arms that are compared, the last against the first; see `saccade.arms`."""

    @field_validator("arms")
    @classmethod
    def _are_known(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        for place, name in enumerate(arms):
            if name not in ARMS:
                known = ", ".join(ARMS)
                raise ValueError(f"no arm {name[:40]!r}{suggestion(name, ARMS)}; known: {known}")
            if name in arms[:place]:
                raise ValueError(f"{name} is named twice")
        return arms


class AgentAttackRecipe(Recipe):
    """A run file of `saccade attack` with a `policy`: a local model (kind "hf")."""

    out: str = "runs/agent_attack"
    attack: AgentAttackSection = AgentAttackSection()
