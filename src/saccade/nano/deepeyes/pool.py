"""The scenes that a base is trained on, drawn once: views, crops of objects, and the truth."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from saccade.errors import FormatError
from saccade.images.geometry import Box, Size
from saccade.nano.spec import CROP_SIDE, MIN_BOX, NATIVE
from saccade.robust.arrays import read_arrays
from saccade.world.digits import Split
from saccade.world.scene import COLOURS, Scene, draw_scene
from saccade.world.scene import VIEW as VIEW_SIDE

MAX_BYTES = 16 * 2**30
"""What a saved pool may have: a million scenes."""

CHUNK = 250
"""Number of scenes that a process draws at a time."""


@dataclass(frozen=True)
class Objects:
    """The truth about every object of a pool, one entry each."""

    scene: NDArray[np.int32]
    """Index of the scene that the object is in."""
    colour: NDArray[np.int64]
    """Index of its colour in `COLOURS`."""
    digit: NDArray[np.int64]
    large: NDArray[np.bool_]
    box: NDArray[np.float32]
    """Box of each object, (M, 4), in pixels of the view."""


@dataclass(frozen=True)
class Pool:
    """N scenes with M objects in all."""

    views: NDArray[np.uint8]
    """Each scene as the model is shown it, (N, 56, 56, 3)."""
    crops: NDArray[np.uint8]
    """One for each object, (M, 28, 28, 3): what the zoom tool shows for a box about right."""
    objects: Objects

    def __len__(self) -> int:
        return len(self.views)

    @cached_property
    def members(self) -> list[NDArray[np.int64]]:
        """Indices of the objects of each scene; the large one is the first, if there is one."""
        bounds = np.searchsorted(self.objects.scene, np.arange(len(self) + 1))
        return [np.arange(a, b) for a, b in pairwise(bounds)]

    def save(self, path: Path) -> None:
        """Write the pool; a crash leaves no half file under this name."""
        temporary = path.with_suffix(".part.npz")
        np.savez(temporary, views=self.views, crops=self.crops, **vars(self.objects))
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Pool:
        """Read what `save` wrote.

        Raises:
            FormatError: the file is damaged.
        """
        held = read_arrays(path, "pool of scenes", most=MAX_BYTES)
        try:
            objects = Objects(
                scene=np.asarray(held["scene"], np.int32),
                colour=np.asarray(held["colour"], np.int64),
                digit=np.asarray(held["digit"], np.int64),
                large=np.asarray(held["large"], np.bool_),
                box=np.asarray(held["box"], np.float32),
            )
            views, crops = (np.asarray(held[name], np.uint8) for name in ("views", "crops"))
        except KeyError as error:
            raise FormatError(f"{path}: no pool of scenes ({error} is missing)") from error
        return cls(views, crops, objects)


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
    starts = range(0, n, CHUNK)
    draw = partial(_draw_chunk, end=n, seed=seed, split=split, sloppiness=sloppiness)
    workers = min(processes, len(starts))
    if workers == 1:
        return _joined(map(draw, starts))
    with ProcessPoolExecutor(workers) as pool:
        return _joined(pool.map(draw, starts))


def _draw_chunk(start: int, *, end: int, seed: int, split: Split, sloppiness: float) -> Pool:
    views, crops, rows = [], [], []
    for index in range(start, min(start + CHUNK, end)):
        rng = np.random.default_rng([seed, index])
        scene = draw_scene(rng, native=NATIVE, split=split, large=index % 2 == 1)
        view = scene.pixels.resize((VIEW_SIDE, VIEW_SIDE), PILImage.Resampling.BICUBIC)
        views.append(np.asarray(view))
        for thing in scene.objects:
            crops.append(_crop(rng, scene, thing.box, sloppiness))
            box = thing.box.scale(VIEW_SIDE / NATIVE, VIEW_SIDE / NATIVE)
            rows.append((index, list(COLOURS).index(thing.colour), thing.digit, thing.large, *box))
    table = np.array(rows)
    objects = Objects(
        scene=table[:, 0].astype(np.int32),
        colour=table[:, 1].astype(np.int64),
        digit=table[:, 2].astype(np.int64),
        large=table[:, 3].astype(np.bool_),
        box=table[:, 4:].astype(np.float32),
    )
    return Pool(np.stack(views), np.stack(crops), objects)


def _crop(rng: np.random.Generator, scene: Scene, box: Box, sloppiness: float) -> NDArray[np.uint8]:
    """The object as the tool shows it, for a box a little off and up to 1.4 times its size."""
    scale = float(np.exp(sloppiness * rng.uniform(-0.1, 0.35)))
    side = max(box.width * scale, MIN_BOX)
    x, y = (float(v) for v in sloppiness * rng.normal(0, 0.08, 2) * box.width)
    wanted = box.shift(x, y).resize_about_centre(side, side, Size(NATIVE, NATIVE))
    x1, y1, x2, y2 = (round(v) for v in wanted)
    part = scene.pixels.crop((x1, y1, x2, y2))
    return np.asarray(part.resize((CROP_SIDE, CROP_SIDE), PILImage.Resampling.BICUBIC))


def _joined(pools: Iterable[Pool]) -> Pool:
    parts = list(pools)
    objects = {
        name: np.concatenate([getattr(part.objects, name) for part in parts])
        for name in vars(parts[0].objects)
    }
    return Pool(
        np.concatenate([part.views for part in parts]),
        np.concatenate([part.crops for part in parts]),
        Objects(**objects),
    )
