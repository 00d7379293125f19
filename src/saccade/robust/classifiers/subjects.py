"""The nets that are attacked, and images that they read right."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from saccade.errors import ConfigError
from saccade.fisher.target import CHUNK, Classifier
from saccade.measures.intervals import wilson
from saccade.robust.attacks.single import Fgm
from saccade.robust.attacks.stepped import Pgd
from saccade.robust.classifiers.datasets import load_dataset
from saccade.robust.classifiers.folder import claim_nets
from saccade.robust.classifiers.nets import kept_net, load_model
from saccade.robust.classifiers.own import check_net
from saccade.robust.classifiers.recipe import RobustRecipe
from saccade.robust.classifiers.results import Seen
from saccade.robust.classifiers.splits import Dataset, Split, digest_of
from saccade.robust.progress import OnProgress

FEWEST = 20
"""Least number of images that are attacked."""
TOLD, MOST_LOGITS = 3, 16
"""Number of images, and of logits of each, by which a net is told from another."""


class Subject(NamedTuple):
    """A net, and images that it reads right."""

    seed: int
    net: nn.Module
    accuracy: float
    """On the whole test part."""
    images: Split


def subjects(recipe: RobustRecipe, on_progress: OnProgress) -> Iterator[tuple[Dataset, Subject]]:
    """The nets of a recipe, trained where they are not there yet.

    Raises:
        ConfigError: a net that cannot be measured, or reads too few test images right.

    Warns:
        UserWarning: the accuracy of a net is at chance.
    """
    data = load_dataset(recipe.data)
    test, source = data.test, recipe.model or "net"
    for seed in recipe.nets if recipe.model is None else recipe.nets[:1]:
        if recipe.model is None:
            net = _reference(recipe, data, seed, on_progress)
        else:
            net = load_model(recipe.model)
            check_net(f"model {recipe.model}", net, data)
        said = torch.cat([net(part).argmax(1) for part in torch.split(test.x, CHUNK)])
        right = (said == test.y).nonzero()[:, 0]
        if warning := chance_warning(len(right), len(test.y), data.classes):
            warnings.warn(f"{source} on {recipe.data}: {warning}", stacklevel=2)
        order = np.random.default_rng(recipe.seed).permutation(len(right))[: recipe.n]
        if len(order) < FEWEST:
            raise ConfigError(
                f"{recipe.data}: the net reads {len(right)} of {len(test.y)} test images right; at "
                f"least {FEWEST} are needed to attack"
            )
        images = test.part(right[torch.from_numpy(order)])
        yield data, Subject(seed, net, len(right) / len(test.y), images)


def seen(net: nn.Module, images: Split, *others: Split) -> Seen:
    """What tells a net and its images from others of the same name.

    Args:
        net: The net.
        images: What it reads; the first of them say which net it is.
        others: Further images on which a measurement depends.
    """
    with torch.no_grad():
        logits = net(images.x[:TOLD])[:, :MOST_LOGITS]
    values = tuple(float(f"{value:.6g}") for value in logits.flatten().tolist())
    return Seen(images=digest_of(images, *others), logits=values)


def check_seen(file: Path, kept: Seen, now: Seen) -> None:
    """Whether what is kept is of this net and these images.

    Raises:
        ConfigError: it is not.
    """
    # Logits are compared as numbers: with other threads their last digits are others.
    same = len(kept.logits) == len(now.logits) and np.allclose(
        kept.logits, now.logits, rtol=1e-3, atol=1e-3
    )
    if kept.images != now.images or not same:
        raise ConfigError(
            f"{file} holds what was measured of another net or of other images, though under the "
            "same name; delete it to measure anew, or choose another out"
        )


def seconds_a_pass(net: nn.Module, images: Split) -> float:
    """Seconds that a gradient of an image takes, timed on one chunk."""
    x, y = images.part(slice(0, CHUNK))
    target, steps = Classifier(net), 4
    Fgm()(target, x, y, epsilons=[1.0])  # the first pass of a net takes longer
    begun = time.monotonic()
    Pgd(steps=steps)(target, x, y, epsilons=[1.0])
    return (time.monotonic() - begun) / (steps * len(x))


def chance_warning(right: int, n: int, classes: int) -> str | None:
    """What to say of an accuracy whose 95 % interval (Wilson) holds that of guessing, or less."""
    low, high = wilson(right, n)
    if low > 1 / classes:
        return None
    return (
        f"an accuracy of {right / n:.3f} [{low:.3f}, {high:.3f}] before any attack, n = {n}, "
        f"cannot be told from guessing among {classes} classes ({1 / classes:.3f}): what is "
        "measured says nothing of the net. Does it take pixels in [0, 1], and are its classes "
        "numbered as those of the data?"
    )


def _reference(
    recipe: RobustRecipe, data: Dataset, seed: int, on_progress: OnProgress
) -> nn.Module:
    """The reference net of a seed, trained if it is not in the folder yet."""
    file = Path(recipe.out) / "nets" / f"net-{seed}.npz"
    claim_nets(recipe, write=False)
    training = partial(on_progress, f"train net {seed}")
    return kept_net(
        file, data, seed=seed, epochs=recipe.epochs, on_step=training,
        before_writing=partial(claim_nets, recipe, write=True),
    )  # fmt: skip
