"""Which images the attacks that are to be detected are tried on."""

from pathlib import Path

import numpy as np
import pytest

from saccade.config import read_toml, validate
from saccade.robust.classifiers.detection import FEWEST
from saccade.robust.classifiers.recipe import RobustRecipe
from saccade.robust.classifiers.trials import parts_of, trials_of

RECIPES = Path(__file__).parents[3] / "recipes"


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        (None, [133, 67, 200]), ("ossa_digits", [133, 67, 200]), ("ossa_mnist", [67, 33, 100]),
        ("ossa_cifar10", [40, 20, 60]),
    ],
)  # fmt: skip
def test_the_adaptive_attacks_reach_every_part(name: str | None, counts: list[int]) -> None:
    """Where a part has none, a signal cannot be fitted to them, or its setting not be chosen."""
    recipe = validate(RobustRecipe, read_toml(RECIPES / f"{name}.toml") if name else {})
    part = parts_of(recipe.n)
    trials = trials_of(recipe, part)
    for kind in ("adaptive_confidence", "adaptive_eigenvalue"):
        images = trials[kind].images
        assert np.bincount(part[images], minlength=3).tolist() == counts
        assert len(np.unique(images)) == len(images)
    assert min(counts) >= FEWEST
    assert len(trials["pgd40"].images) == recipe.n


@pytest.mark.parametrize("n", [1, 2, 3, 30, 100, 1000])
def test_there_are_no_more_of_a_part_than_it_has(n: int) -> None:
    recipe = validate(RobustRecipe, {"detect": {"adaptive_n": n}})
    counts = np.bincount(
        parts_of(134)[trials_of(recipe, parts_of(134))["adaptive_confidence"].images]
    )
    assert counts.sum() == min(2 * n, 134)
