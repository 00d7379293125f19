"""The run file of `saccade attack` and `saccade detect` on a classifier.

# saccade attack recipes/ossa_digits.toml
data = "digits"
nets = [0, 1, 2, 3, 4]
out = "runs/ossa_digits"
attack.epsilons = [0.25, 0.5, 1.0]
detect = { epsilon = 1.0, stepped_epsilon = 0.75 }
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from saccade.config import Part, suggestion
from saccade.errors import ConfigError
from saccade.robust.attacks import ATTACKS, Norm
from saccade.robust.detectors import SIGNALS
from saccade.robust.detectors.forest import TREES, clean_needed
from saccade.robust.parts import known, name_of
from saccade.types import Record

BUILT_IN_DATA = ("digits",)
FIT = 0.6
"""Share of the images to which a detector is fitted; the rest is what it is tested on."""
Size = Annotated[float, Field(gt=0)]


class AttackSection(Record):
    """What `saccade attack` tries."""

    methods: Annotated[
        tuple[str | Part, ...], Field(min_length=1), AfterValidator(known(ATTACKS))
    ] = (
        "ossa", "ossa_two_step", "ossa_iterated", "fgm", "otcm", "deepfool", "pgd", "random",
    )  # fmt: skip
    """Names in `saccade.robust.attacks.ATTACKS` or `package.module:Name`, each alone or with its
    options: { kind = "pgd", steps = 40 }."""
    epsilons: Annotated[tuple[Size, ...], Field(min_length=1)] = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5)
    """Budgets of every attack."""
    norm: Norm = "l2"
    """Norm by which a budget is measured."""
    clip: bool = True
    """Images are kept in [0, 1]; without it sizes are exact, as in the paper's curves."""
    levels: int | None = Field(default=None, ge=1)
    """Images are rounded to so many steps, 255 for images of 8 bits; they are then clipped too."""
    scales: Annotated[tuple[Size, ...], Field(min_length=1)] = (1.0,)
    """Factors by which logits are multiplied: the same decisions, more confident."""
    limit: Size = 8.0
    """Largest L2 size that is tried along the top eigenvector for the least that flips an image."""


class DetectSection(Record):
    """What `saccade detect` tells from clean and noisy images."""

    epsilon: Size = 1.0
    """L2 budget of attacks of one step, and size of the noise."""
    stepped_epsilon: Size = 0.75
    """L2 budget of attacks of ten steps; that of PGD-40 and the adaptive attacks is twice it."""
    l0: int = Field(default=8, ge=1)
    """Number of values that the L0 attack may change."""
    adaptive_n: int = Field(default=200, ge=1)
    """Number of images of the test part on which the adaptive attacks are run; as many are taken
    of the other images, two to fit for each one to choose."""
    adaptive_steps: int = Field(default=100, ge=1)
    """Number of steps of each start of an adaptive attack."""
    adaptive_restarts: int = Field(default=5, ge=1)
    """Number of starts of an adaptive attack."""
    false_positive_rate: float = Field(default=0.05, gt=0, lt=1)
    """Share of clean images that the saved detector may flag."""
    signals: Annotated[tuple[str | Part, ...], AfterValidator(known(SIGNALS))] = tuple(SIGNALS)
    """Names in `saccade.robust.detectors.SIGNALS` or `package.module:Name`, each alone or with its
    options: { kind = "kd", bandwidth = 0.26 }. `fisher` is always tried."""
    trees: int = Field(default=TREES, ge=1)
    """Number of trees of each forest."""
    reference: int = Field(default=2000, ge=100)
    """Number of training images to which signals are fitted."""

    @field_validator("signals")
    @classmethod
    def _with_fisher(cls, signals: tuple[str | Part, ...]) -> tuple[str | Part, ...]:
        return ("fisher", *(signal for signal in signals if name_of(signal) != "fisher"))


class RobustRecipe(Record):
    """A run file."""

    data: str = "digits"
    """Which images; see `saccade.robust.classifiers.datasets`."""
    model: str | None = None
    """`package.module:name` of a net that returns logits; left out, reference nets are trained."""
    epochs: int | None = Field(default=None, ge=1)
    """Number of epochs of a reference net; the size of the images decides if left out."""
    nets: Annotated[tuple[int, ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    """Seeds of reference nets; the first is the one whose pictures are shown."""
    n: int = Field(default=500, ge=20)
    """Number of test images that are attacked, of those that the net reads right."""
    seed: int = 0
    """Seed of the choice of images, of noise and of forests."""
    out: str = "runs/ossa"
    """The run folder: `nets`, and a folder for each command."""
    attack: AttackSection = AttackSection()
    detect: DetectSection = DetectSection()

    @field_validator("nets")
    @classmethod
    def _are_different(cls, nets: tuple[int, ...]) -> tuple[int, ...]:
        for place, seed in enumerate(nets):
            if seed in nets[:place]:  # its images would count twice, and intervals be too narrow
                raise ValueError(f"{seed} is named twice")
        return nets


def check_attack(recipe: RobustRecipe) -> None:
    """What can be known to be wrong before torch is loaded.

    Raises:
        ConfigError: data or a net that is not there.
    """
    source = recipe.data
    if not (Path(source).expanduser().exists() or source in BUILT_IN_DATA):
        if ":" not in source:
            raise ConfigError(
                f"data: there is no file, folder or built-in data {source!r}"
                f"{suggestion(source, BUILT_IN_DATA)}; built in is digits, your own is "
                "'package.module:function'"
            )
        _check_module("data", source)
    if recipe.model is not None:
        _check_module("model", recipe.model)


def check_detect(recipe: RobustRecipe) -> None:
    """The same for detection, which needs a number of images as well.

    Raises:
        ConfigError: data or a net that is not there; too few images for the rate of false alarms.
    """
    rate = recipe.detect.false_positive_rate
    needed = math.ceil(clean_needed(rate) / FIT)
    if recipe.n < needed:
        raise ConfigError(
            f"n: a false positive rate of {rate} needs {needed} images, got {recipe.n}; "
            f"say n={needed} or more, or a larger detect.false_positive_rate"
        )
    check_attack(recipe)


def _check_module(key: str, name: str) -> None:
    module, colon, attribute = name.partition(":")
    if not (colon and attribute.isidentifier()):
        raise ConfigError(f"{key}: {name!r} is to be 'package.module:name'")
    try:
        found = find_spec(module)
    except (ImportError, ValueError) as error:  # a package above it is missing; an empty name
        raise ConfigError(f"{key}: {name!r} cannot be imported: {error}") from error
    if found is None:
        raise ConfigError(
            f"{key}: there is no module {module!r}; it is looked for where the command is run and "
            "among the installed packages"
        )
