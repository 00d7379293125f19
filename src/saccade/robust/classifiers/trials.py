"""The attacks that are to be detected, and the inputs that they make of the images of a net."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from saccade.fisher.target import Classifier
from saccade.robust.attacks import Norm
from saccade.robust.attacks.adaptive import (
    AdaptiveConfidence,
    AdaptiveEigenvalue,
    typical_log_lambda,
    typical_log_q,
)
from saccade.robust.attacks.base import Attack
from saccade.robust.attacks.directions import sized
from saccade.robust.attacks.minimal import GreedyL0, Opt
from saccade.robust.attacks.single import Fgm, Ossa, Otcm
from saccade.robust.attacks.stepped import Pgd
from saccade.robust.classifiers.recipe import FIT, RobustRecipe
from saccade.robust.classifiers.subjects import Subject
from saccade.robust.progress import Timetable

ATTACKS = (
    "fgm", "otcm", "ossa", "bim", "opt", "l0", "pgd40", "adaptive_confidence",
    "adaptive_eigenvalue",
)  # fmt: skip
NEGATIVES = ("clean", "noisy")
PARTS = (0.4, FIT)
"""Where the parts to fit and to choose end, as shares of the images."""


class Trial(NamedTuple):
    """An attack that is to be detected."""

    attack: Attack
    epsilon: float
    images: NDArray[np.int64]
    """Which images it is tried on."""
    norm: Norm = "l2"


class Sets(NamedTuple):
    """Each kind of input, and which of them are used."""

    inputs: dict[str, torch.Tensor]
    used: dict[str, NDArray[np.bool_]]
    """Whether an input is used: if attacked, only where the attack succeeded."""
    part: NDArray[np.int64]
    """(N,): 0 to fit, 1 to choose, 2 to test."""
    images: dict[str, NDArray[np.int64]]
    """Which images a kind is made of; the adaptive attacks are run on some."""


def trials_of(
    recipe: RobustRecipe, part: NDArray[np.int64], log_q: float = 0.0, log_lambda: float = 0.0
) -> dict[str, Trial]:
    """Kind -> how it is made, for images of these parts (N,)."""
    options = recipe.detect
    strongest, everything = 2 * options.stepped_epsilon, np.arange(len(part))
    few = _some_of_each(part, options.adaptive_n)
    walk = {"steps": options.adaptive_steps, "restarts": options.adaptive_restarts}
    return {
        "fgm": Trial(Fgm(), options.epsilon, everything),
        "otcm": Trial(Otcm(), options.epsilon, everything),
        "ossa": Trial(Ossa(), options.epsilon, everything),
        "bim": Trial(Pgd(steps=10), options.stepped_epsilon, everything),
        "opt": Trial(Opt(), math.inf, everything),
        "l0": Trial(GreedyL0(), options.l0, everything, norm="l0"),
        "pgd40": Trial(Pgd(steps=40), strongest, everything),
        "adaptive_confidence": Trial(AdaptiveConfidence(log_q=log_q, **walk), strongest, few),
        "adaptive_eigenvalue": Trial(
            AdaptiveEigenvalue(log_q=log_q, log_lambda=log_lambda, **walk), strongest, few
        ),
    }


def attack_all(
    recipe: RobustRecipe, target: Classifier, subject: Subject, timetable: Timetable
) -> Sets:
    """Clean and noisy images, and those that every attack makes of them."""
    options, (x, y), part = recipe.detect, subject.images, parts_of(len(subject.images.y))
    trials = trials_of(recipe, part, typical_log_q(target, x), typical_log_lambda(target, x))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(recipe.seed))
    inputs = {"clean": x, "noisy": (x + options.epsilon * sized(noise, "l2")).clamp(0, 1)}
    used = {kind: np.ones(len(y), bool) for kind in NEGATIVES}
    for kind, trial in trials.items():
        with timetable.part(f"net {subject.seed}: {kind}", kind):
            which = torch.from_numpy(trial.images)
            found = trial.attack(
                target, x[which], y[which], epsilons=[trial.epsilon], norm=trial.norm,
                seed=recipe.seed,
            )  # fmt: skip
        inputs[kind], used[kind] = found.inputs[0], found.success[0].numpy()
    images = {kind: trials[kind].images if kind in trials else np.arange(len(y)) for kind in inputs}
    return Sets(inputs, used, part, images)


def parts_of(n: int) -> NDArray[np.int64]:
    """(n,): 0 to fit, 1 to choose, 2 to test."""
    return np.searchsorted(PARTS, (np.arange(n) + 0.5) / n)


def _some_of_each(part: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Places of n images of the test part, and of n of the others: as these are shared, 2 to 1."""
    to_fit = round(n * PARTS[0] / FIT)
    return np.concatenate([
        np.flatnonzero(part == which)[:number]
        for which, number in enumerate((to_fit, n - to_fit, n))
    ])  # fmt: skip
