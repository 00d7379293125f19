"""The nets that are attacked, and images that they read right; the folder of what is measured."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import JsonValue
from torch import nn

from saccade.errors import ConfigError
from saccade.fisher.target import CHUNK
from saccade.robust.classifiers.datasets import load_dataset
from saccade.robust.classifiers.nets import kept_net, load_model
from saccade.robust.classifiers.recipe import RobustRecipe
from saccade.robust.classifiers.splits import Dataset, Split
from saccade.robust.progress import OnProgress
from saccade.runs.manifest import keep_manifest, manifest_of


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
        ConfigError: the net reads too few test images right.
    """
    data = load_dataset(recipe.data)
    for seed in recipe.nets if recipe.model is None else recipe.nets[:1]:
        if recipe.model is not None:
            net = load_model(recipe.model)
        else:
            file = Path(recipe.out) / "nets" / f"net-{seed}.npz"
            training = partial(on_progress, f"train net {seed}")
            net = kept_net(file, data, seed=seed, epochs=recipe.epochs, on_step=training)
        said = torch.cat([net(part).argmax(1) for part in torch.split(data.test.x, CHUNK)])
        right = (said == data.test.y).nonzero()[:, 0]
        order = np.random.default_rng(recipe.seed).permutation(len(right))[: recipe.n]
        if len(order) < 20:
            raise ConfigError(
                f"{recipe.data}: the net reads {len(right)} of {len(data.test.y)} test images "
                "right; too few to attack"
            )
        images = data.test.part(right[torch.from_numpy(order)])
        yield data, Subject(seed, net, len(right) / len(data.test.y), images)


def run_folder(
    recipe: RobustRecipe, verb: Literal["attack", "detect"]
) -> tuple[Path, dict[str, JsonValue]]:
    """The folder of a command in that of the recipe, and what it is set to do.

    The nets lie beside it, for both commands; the section of the other one means nothing to it.

    Raises:
        ConfigError: the folder holds a run with other options.
    """
    folder, other = Path(recipe.out) / verb, "detect" if verb == "attack" else "attack"
    manifest = manifest_of(verb, recipe)
    config = {name: value for name, value in manifest.config.items() if name != other}
    keep_manifest(folder, manifest.model_copy(update={"config": config}))
    return folder, config
