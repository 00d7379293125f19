"""The steps of a training whose episodes were kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from saccade.errors import FormatError, StoreError
from saccade.view.dynamics import is_training, read_dynamics

ROLLOUTS = "rollouts"
_STEP = re.compile(r"step-(\d{1,9})(-\d+)?")


class KeptStep(NamedTuple):
    """A step of a training with its episodes."""

    number: int
    """The optimiser step that was first trained on them."""
    folders: tuple[Path, ...]
    """Run folders: one for each process that trained."""


def kept_steps(training: Path) -> tuple[KeptStep, ...]:
    """The steps that a training kept, in their order; none where it is no such training."""
    found: dict[int, list[Path]] = {}
    for folder in sorted((training / ROLLOUTS).glob("step-*")):
        name = _STEP.fullmatch(folder.name)
        if name and folder.is_dir():
            found.setdefault(int(name[1]), []).append(folder)
    return tuple(KeptStep(number, tuple(found[number])) for number in sorted(found))


def metrics_of_steps(training: Path) -> Mapping[int, Mapping[str, float]]:
    """The metrics of the finished steps of a training, by their numbers."""
    if not is_training(training):
        return {}
    try:
        return {round(row["step"]): row for row in read_dynamics(training).steps}
    except (StoreError, FormatError):
        return {}


def in_a_line(metrics: Mapping[str, float]) -> str:
    """What is said of a step beside its number."""
    shown = (("reward", "reward"), ("accuracy", "accuracy"), ("tool-call rate", "tool_call_rate"))
    return ", ".join(f"{name} {metrics[key]:.2f}" for name, key in shown if key in metrics)
