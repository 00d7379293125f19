"""Which command a run file is for: its keys say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from saccade.config import Table
    from saccade.types import Record


class Kind(NamedTuple):
    """A kind of run file."""

    name: str
    verb: str
    """The command that runs it."""
    recipe: str
    """What it is validated as, as "module:Class"."""
    marks: tuple[str, ...]
    """Keys, of which those joined by `+` tell the kind together."""


KINDS = (
    Kind("benchmark", "bench", "saccade.bench.recipe:BenchRecipe", ("bench",)),
    Kind("sft", "sft", "saccade.train.recipe:SFTRecipe", ("runs",)),
    Kind("demos", "demos", "saccade.data.demos.recipe:DemosRecipe", ("teachers",)),
    Kind("curate", "curate", "saccade.data.curate.recipe:CurateRecipe", ("curate",)),
    Kind("rl", "rl", "saccade.train.recipe:RLRecipe", ("train", "model+tasks")),
    Kind("agent attack", "attack", "saccade.robust.agent.recipe:AgentAttackRecipe",
         ("attack+policy", "attack+tasks")),
    Kind("classifier", "attack or detect", "saccade.robust.classifiers.recipe:RobustRecipe",
         ("data", "nets", "attack", "detect")),
    Kind("rollout", "rollout", "saccade.recipe:Recipe", ("tasks", "policy")),
)  # fmt: skip
"""The first kind all of whose keys of a mark are there."""


def kind_of(table: Mapping[str, object], where: str) -> Kind:
    """The kind of a run file.

    Args:
        table: Its content.
        where: Its name, for messages.

    Raises:
        ConfigError: none of the keys that tell it is there.
    """
    from saccade.config import suggestion
    from saccade.errors import ConfigError

    for kind in KINDS:
        if any(set(mark.split("+")) <= set(table) for mark in kind.marks):
            return kind
    known = {key for kind in KINDS for mark in kind.marks for key in mark.split("+")}
    nearest = (suggestion(key, known) for key in table)
    hint = next((near for near in nearest if near), "")
    raise ConfigError(
        f"{where}: no key tells which command it is for{hint}; `tasks` and `policy` are for "
        "rollout, `teachers` for demos, `model` and `train` for rl, `runs` for sft, `curate` for "
        "curate, `bench` for bench, `data` for attack and detect, `attack` and `policy` for the "
        "attack on an agent"
    )


def read_as(kind: Kind, table: Table) -> Record:
    """The record of a run file.

    Raises:
        ConfigError: a key or a value is wrong.
        MissingExtra: the kind needs an optional dependency.
    """
    from saccade.config import resolve, validate
    from saccade.types import Record

    return validate(cast(type[Record], resolve(kind.recipe, {}, kind.name)), table)
