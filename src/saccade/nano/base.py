"""What the trainings of the embedded bases share: pools that are drawn once, stages taken over."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol, Self, TypeVar

from saccade.errors import ConfigError
from saccade.nano.stage import Plan, Skills

BEGUN = ("*.npz", "*.pt")
"""What shows that a training has done something; see `saccade.runs.claim`."""
POOLS = ("train.npz", "dev.npz")
"""The scenes of a training and of its measurements, in its folder."""
LONG_STAGES = ("vision", "language")
"""The stages that every base has, each of which may take off late."""


class Base(NamedTuple):
    """A finished base."""

    folder: Path
    skills: dict[str, Skills]
    """Stage -> the skills at its end, on the development split."""


class SavedPool(Protocol):
    """A pool of scenes that can be kept in a file."""

    def save(self, path: Path) -> None: ...
    @classmethod
    def load(cls, path: Path) -> Self: ...


P = TypeVar("P", bound=SavedPool)


def kept_pool(path: Path, kind: type[P], draw: Callable[[], P]) -> P:
    """Read the pool of a training, which is drawn and kept the first time."""
    if not path.exists():
        draw().save(path)
    return kind.load(path)


def take_over(start: str, out: Path, stages: Iterable[str] = LONG_STAGES) -> None:
    """Copy the scenes and the finished stages of another training, if one is named.

    Raises:
        ConfigError: the other training has not finished its last stage.
    """
    if not start:
        return
    files = [*POOLS, *(f"{stage}.pt" for stage in stages)]
    for name in (*POOLS, files[-1]):
        if not (Path(start) / name).exists():
            raise ConfigError(f"start: {start} holds no {name}; name the folder of a finished base")
    for name in files:
        if (Path(start) / name).exists() and not (out / name).exists():
            shutil.copyfile(Path(start) / name, out / name)


def limited(plans: Mapping[str, Plan], step_limit: int) -> dict[str, Plan]:
    """The same plans, with the limit of steps by which each long stage must have taken off."""
    return {
        name: replace(plan, step_limit=step_limit) if name in LONG_STAGES else plan
        for name, plan in plans.items()
    }
