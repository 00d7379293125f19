"""The scenes that the second base is trained on, drawn once: views, crops, and the truth.

Objects with a digit and plates with a number, each in both sizes: read in the view, or in a crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from saccade.images.geometry import Box
from saccade.nano.deepeyes_v2.spec import CROP_SIDE, MIN_BOX
from saccade.nano.pool import Placed, ScenePool, crop_about, draw_chunks
from saccade.nano.spec import NATIVE
from saccade.world.digits import Split
from saccade.world.plates import LEGIBLE, Format, draw_plates
from saccade.world.plates import TINY as TINY_PLATES
from saccade.world.scene import COLOURS, SMALL, TINY, VIEW, Grain, draw_scene


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
class Objects(Placed):
    """The truth about every object and plate of a pool, one entry each."""

    number: NDArray[np.int64]
    """What is written on it: a digit on an object, a number of two digits on a plate."""
    plate: NDArray[np.bool_]


@dataclass(frozen=True)
class Pool(ScenePool[Objects]):
    """N scenes with M objects and plates in all; crops are shown at 42x42."""

    kind: ClassVar[type[Placed]] = Objects


def draw_pool(n: int, *, seed: int, split: Split, processes: int = 2) -> Pool:
    """Draw n scenes, of each kind in turn; the same for any number of processes."""
    draw = partial(_draw_chunk, seed=seed, split=split)
    return Pool.joined(draw_chunks(n, draw, processes=processes))


class _Shown(NamedTuple):
    colour: str
    number: int
    plate: bool
    large: bool
    box: Box


def _draw_chunk(scenes: range, *, seed: int, split: Split) -> Pool:
    views, crops, rows = [], [], []
    for index in scenes:
        rng = np.random.default_rng([seed, index])
        pixels, shown = _scene(rng, KINDS[index % len(KINDS)], split)
        view = pixels.resize((VIEW, VIEW), PILImage.Resampling.BICUBIC)
        views.append(np.asarray(view))
        for thing in shown:
            crops.append(crop_about(rng, pixels, thing.box, side=CROP_SIDE, min_box=MIN_BOX))
            box = thing.box.scale(VIEW / NATIVE, VIEW / NATIVE)
            colour = list(COLOURS).index(thing.colour)
            rows.append((index, colour, thing.number, thing.plate, thing.large, *box))
    table = np.array(rows)
    names = ("scene", "colour", "number", "plate", "large")
    columns = {name: table[:, place] for place, name in enumerate(names)}
    return Pool(np.stack(views), np.stack(crops), Objects.of({**columns, "box": table[:, 5:]}))


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
