"""The scenes that the second base is trained on, drawn once: views, crops, and the truth.

Objects with a digit and plates with a number, each in both sizes: read in the view, or in a crop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from saccade.errors import FormatError
from saccade.images.geometry import Box, Size
from saccade.nano.deepeyes_v2.spec import CROP_SIDE, MIN_BOX
from saccade.nano.spec import NATIVE
from saccade.robust.arrays import read_arrays
from saccade.world.digits import Split
from saccade.world.plates import LEGIBLE, Format, draw_plates
from saccade.world.plates import TINY as TINY_PLATES
from saccade.world.scene import COLOURS, SMALL, TINY, VIEW, Grain, draw_scene

MAX_BYTES = 16 * 2**30
"""What a saved pool may have: a million scenes."""
CHUNK = 250
"""Number of scenes that a process draws at a time."""


class Kind(NamedTuple):
    """What a scene shows: objects, or two plates."""

    grain: Grain | None = None
    large: bool = False
    form: Format | None = None


KINDS = (
    Kind(SMALL), Kind(SMALL, large=True), Kind(form=LEGIBLE), Kind(form=TINY_PLATES),
    Kind(SMALL, large=True), Kind(form=LEGIBLE), Kind(TINY), Kind(form=LEGIBLE),
)  # fmt: skip
"""Kinds of scenes in turn. Three of eight have legible plates: four digits must be read at once."""


@dataclass(frozen=True)
class Objects:
    """The truth about every object and plate of a pool, one entry each."""

    scene: NDArray[np.int32]
    """Index of the scene that it is in."""
    colour: NDArray[np.int64]
    """Index of its colour in `COLOURS`."""
    number: NDArray[np.int64]
    """What is written on it: a digit on an object, a number of two digits on a plate."""
    plate: NDArray[np.bool_]
    large: NDArray[np.bool_]
    """Whether it can be read in the view."""
    box: NDArray[np.float32]
    """Its box, (M, 4), in pixels of the view."""


@dataclass(frozen=True)
class Pool:
    """N scenes with M objects and plates in all."""

    views: NDArray[np.uint8]
    """Each scene as the model is shown it, (N, 56, 56, 3)."""
    crops: NDArray[np.uint8]
    """One for each object, (M, 42, 42, 3): what the zoom tool shows for a box about right."""
    objects: Objects

    def __len__(self) -> int:
        return len(self.views)

    @cached_property
    def members(self) -> list[NDArray[np.int64]]:
        """Indices of the objects of each scene; a large one is the first, if there is one."""
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
                number=np.asarray(held["number"], np.int64),
                plate=np.asarray(held["plate"], np.bool_),
                large=np.asarray(held["large"], np.bool_),
                box=np.asarray(held["box"], np.float32),
            )
            views, crops = (np.asarray(held[name], np.uint8) for name in ("views", "crops"))
        except KeyError as error:
            raise FormatError(f"{path}: no pool of scenes ({error} is missing)") from error
        return cls(views, crops, objects)


def draw_pool(n: int, *, seed: int, split: Split, processes: int = 2) -> Pool:
    """Draw n scenes, of each kind in turn; the same for any number of processes."""
    starts = range(0, n, CHUNK)
    draw = partial(_draw_chunk, end=n, seed=seed, split=split)
    workers = min(processes, len(starts))
    if workers == 1:
        return _joined(map(draw, starts))
    with ProcessPoolExecutor(workers) as pool:
        return _joined(pool.map(draw, starts))


class _Shown(NamedTuple):
    colour: str
    number: int
    plate: bool
    large: bool
    box: Box


def _draw_chunk(start: int, *, end: int, seed: int, split: Split) -> Pool:
    views, crops, rows = [], [], []
    for index in range(start, min(start + CHUNK, end)):
        rng = np.random.default_rng([seed, index])
        pixels, shown = _scene(rng, KINDS[index % len(KINDS)], split)
        view = pixels.resize((VIEW, VIEW), PILImage.Resampling.BICUBIC)
        views.append(np.asarray(view))
        for thing in shown:
            crops.append(_crop(rng, pixels, thing.box))
            box = thing.box.scale(VIEW / NATIVE, VIEW / NATIVE)
            colour = list(COLOURS).index(thing.colour)
            rows.append((index, colour, thing.number, thing.plate, thing.large, *box))
    table = np.array(rows)
    objects = Objects(
        scene=table[:, 0].astype(np.int32),
        colour=table[:, 1].astype(np.int64),
        number=table[:, 2].astype(np.int64),
        plate=table[:, 3].astype(np.bool_),
        large=table[:, 4].astype(np.bool_),
        box=table[:, 5:].astype(np.float32),
    )
    return Pool(np.stack(views), np.stack(crops), objects)


def _scene(
    rng: np.random.Generator, kind: Kind, split: Split
) -> tuple[PILImage.Image, list[_Shown]]:
    if kind.form is not None:
        drawn = draw_plates(rng, native=NATIVE, split=split, form=kind.form)
        large = kind.form is LEGIBLE
        return drawn.pixels, [
            _Shown(p.colour, p.number, plate=True, large=large, box=p.box) for p in drawn.plates
        ]
    assert kind.grain is not None
    scene = draw_scene(rng, native=NATIVE, split=split, large=kind.large, grain=kind.grain)
    return scene.pixels, [
        _Shown(o.colour, o.digit, plate=False, large=o.large, box=o.box) for o in scene.objects
    ]


def _crop(rng: np.random.Generator, pixels: PILImage.Image, box: Box) -> NDArray[np.uint8]:
    """The object as the tool shows it, for a box a little off and up to 1.4 times its size."""
    scale = float(np.exp(rng.uniform(-0.1, 0.35)))
    side = max(box.width * scale, MIN_BOX)
    x, y = (float(v) for v in rng.normal(0, 0.08, 2) * box.width)
    wanted = box.shift(x, y).resize_about_centre(side, side, Size(NATIVE, NATIVE))
    x1, y1, x2, y2 = (round(v) for v in wanted)
    part = pixels.crop((x1, y1, x2, y2))
    return np.asarray(part.resize((CROP_SIDE, CROP_SIDE), PILImage.Resampling.BICUBIC))


def _joined(pools: Iterable[Pool]) -> Pool:
    parts = list(pools)
    return Pool(
        np.concatenate([part.views for part in parts]),
        np.concatenate([part.crops for part in parts]),
        Objects(**{name: np.concatenate(column) for name, column in _columns(parts)}),
    )


def _columns(pools: list[Pool]) -> Iterator[tuple[str, list[NDArray[np.generic]]]]:
    for name in vars(pools[0].objects):
        yield name, [getattr(pool.objects, name) for pool in pools]
