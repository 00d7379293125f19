"""The scenes that a base is trained on, drawn once: views, crops of objects, and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from saccade.nano.pool import Placed, ScenePool, crop_about, draw_chunks
from saccade.nano.spec import CROP_SIDE, MIN_BOX, NATIVE
from saccade.world.digits import Split
from saccade.world.scene import COLOURS, draw_scene
from saccade.world.scene import VIEW as VIEW_SIDE


@dataclass(frozen=True)
class Objects(Placed):
    """The truth about every object of a pool, one entry each."""

    digit: NDArray[np.int64]


@dataclass(frozen=True)
class Pool(ScenePool[Objects]):
    """N scenes with M objects in all; crops are shown at 28x28."""

    kind: ClassVar[type[Placed]] = Objects


def draw_pool(
    n: int, *, seed: int, split: Split, sloppiness: float = 1.0, processes: int = 2
) -> Pool:
    """Draw n scenes, half of them with a large object; the same for any number of processes.

    Args:
        n: Number of scenes.
        seed: Seed of the scenes; another seed gives other scenes.
        split: Which handwritten samples may appear.
        sloppiness: How far crops are off their objects: 0 cuts them exactly, 1 as a model would.
        processes: Number of processes that draw at the same time.
    """
    draw = partial(_draw_chunk, seed=seed, split=split, sloppiness=sloppiness)
    return Pool.joined(draw_chunks(n, draw, processes=processes))


def _draw_chunk(scenes: range, *, seed: int, split: Split, sloppiness: float) -> Pool:
    views, crops, rows = [], [], []
    for index in scenes:
        rng = np.random.default_rng([seed, index])
        scene = draw_scene(rng, native=NATIVE, split=split, large=index % 2 == 1)
        view = scene.pixels.resize((VIEW_SIDE, VIEW_SIDE), PILImage.Resampling.BICUBIC)
        views.append(np.asarray(view))
        for thing in scene.objects:
            crop = crop_about(
                rng,
                scene.pixels,
                thing.box,
                side=CROP_SIDE,
                min_box=MIN_BOX,
                sloppiness=sloppiness,
            )
            crops.append(crop)
            box = thing.box.scale(VIEW_SIDE / NATIVE, VIEW_SIDE / NATIVE)
            rows.append((index, list(COLOURS).index(thing.colour), thing.digit, thing.large, *box))
    table = np.array(rows)
    names = ("scene", "colour", "digit", "large")
    columns = {name: table[:, place] for place, name in enumerate(names)}
    return Pool(np.stack(views), np.stack(crops), Objects.of({**columns, "box": table[:, 4:]}))
