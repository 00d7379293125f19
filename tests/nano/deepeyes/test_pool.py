"""The pool: what the environment would show, the same however it is drawn."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from saccade.images.geometry import Size
from saccade.images.image import Image
from saccade.nano.deepeyes.pool import Objects, Pool, draw_pool
from saccade.nano.spec import OBSERVATION, VIEW, ZOOM, environment, sections
from saccade.recipe import Recipe, make_environment
from saccade.types import ToolContext
from saccade.world.digits import load, members
from saccade.world.scene import draw_scene

PASTELS = [
    (255, 120, 120), (120, 225, 130), (135, 155, 255), (245, 235, 120), (215, 130, 240),
    (125, 235, 240),
]  # fmt: skip
"""Red, green, blue, yellow, purple, cyan; `saccade.world.scene` says why these."""


@pytest.fixture(scope="module")
def pool() -> Pool:
    return draw_pool(12, seed=3, split="train", sloppiness=0, processes=1)


def test_two_processes_draw_what_one_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saccade.nano.pool.CHUNK", 3)
    one = draw_pool(8, seed=1, split="train", processes=1)
    two = draw_pool(8, seed=1, split="train", processes=2)
    assert (one.views == two.views).all()
    assert (one.crops == two.crops).all()
    for field in fields(Objects):
        assert (getattr(one.objects, field.name) == getattr(two.objects, field.name)).all()
    assert not (draw_pool(8, seed=2, split="train", processes=1).views == one.views).all()


async def test_views_and_crops_are_those_of_the_environment(pool: Pool) -> None:
    """The scenes are drawn again here, and go through Image, budgets and the zoom tool."""
    compared = 0
    for index in range(len(pool)):
        rng = np.random.default_rng([3, index])
        scene = draw_scene(rng, native=672, split="train", large=index % 2 == 1)
        image = Image.from_pixels(scene.pixels)
        view = image.fit(VIEW)
        assert view.size == Size(56, 56)
        assert (np.asarray(view.pixels()) == pool.views[index]).all()
        context = ToolContext("task", [view], environment().record.coords, OBSERVATION, seed=0)
        for row, thing in zip(pool.members[index], scene.objects, strict=True):
            async with ZOOM.open(context) as zoom:
                (crop,) = (await zoom({"bbox_2d": list(view.from_source(thing.box))})).content
            assert isinstance(crop, Image)
            assert crop.size == Size(28, 28)
            difference = np.asarray(crop.pixels()).astype(int) - pool.crops[row]
            # Rounding of a box by one source pixel is all that may differ.
            assert np.abs(difference).mean() < 12
            compared += int(not difference.any())
    assert compared > len(pool.crops) / 2


@pytest.mark.parametrize("side", range(25, 673, 9))
def test_every_square_cut_is_shown_at_28_by_28(side: int) -> None:
    assert OBSERVATION.fit(Size(side, side)) == Size(28, 28)
    assert OBSERVATION.fit(Size(side, side - 1)) == Size(28, 28)


def test_objects_tell_the_truth_about_the_view(pool: Pool) -> None:
    for row in range(len(pool.crops)):
        x1, y1, x2, y2 = pool.objects.box[row]
        assert 0 <= x1 < x2 <= 56
        assert (x2 - x1 > 9) == pool.objects.large[row]
        x, y = int(x1) + 1, int((y1 + y2) / 2)  # left of the digit, on squares and discs
        seen = pool.views[pool.objects.scene[row], y, x].astype(int)
        tint = PASTELS[int(pool.objects.colour[row])]
        assert np.corrcoef(seen, tint)[0, 1] > 0.9


def test_digits_come_from_the_split(pool: Pool) -> None:
    labels = load().labels[list(members("train"))]
    assert set(pool.objects.digit) <= set(labels.tolist())


def test_a_pool_survives_its_file(pool: Pool, tmp_path: Path) -> None:
    pool.save(tmp_path / "pool.npz")
    again = Pool.load(tmp_path / "pool.npz")
    assert (again.crops == pool.crops).all()
    assert (again.objects.box == pool.objects.box).all()
    assert [p.name for p in tmp_path.iterdir()] == ["pool.npz"]


def test_the_settings_make_the_same_environment_in_a_run_file() -> None:
    made = make_environment(Recipe.model_validate(sections()))
    assert made.fingerprint == environment().fingerprint


def test_sloppy_crops_still_hold_their_object() -> None:
    """Their mean colour stays close to that of the exact crop."""
    exact = draw_pool(20, seed=4, split="train", sloppiness=0, processes=1)
    sloppy = draw_pool(20, seed=4, split="train", processes=1)
    assert (exact.views[0] == sloppy.views[0]).all()
    assert not (exact.crops == sloppy.crops).all()
    for pool in (exact, sloppy):
        middle = pool.crops[:, 4:10, 10:18].astype(float).mean((1, 2)).max(-1)
        assert (middle > 100).mean() > 0.9


def test_pixels_are_what_pillow_resizes(pool: Pool) -> None:
    scene = draw_scene(np.random.default_rng([3, 0]), native=672, split="train", large=False)
    small = scene.pixels.resize((56, 56), PILImage.Resampling.BICUBIC)
    assert (np.asarray(small) == pool.views[0]).all()
