"""What the pools of scenes of both bases share: drawn once, by chunks, and kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from saccade.errors import FormatError
from saccade.images.geometry import Box, Size
from saccade.nano.spec import NATIVE
from saccade.robust.arrays import read_arrays

MAX_BYTES = 16 * 2**30
"""What a saved pool may have: a million scenes."""
CHUNK = 250
"""Number of scenes that a process draws at a time."""


@dataclass(frozen=True)
class Placed:
    """Where every object of a pool is, one entry each; subclasses say what is written on it."""

    scene: NDArray[np.int32]
    """Index of the scene that the object is in."""
    colour: NDArray[np.int64]
    """Index of its colour in `COLOURS`."""
    large: NDArray[np.bool_]
    """Whether it can be read in the view."""
    box: NDArray[np.float32]
    """Its box, (M, 4), in pixels of the view."""

    @classmethod
    def of(cls, columns: dict[str, NDArray[np.generic]]) -> Self:
        """From an array for each field, of any type.

        Raises:
            KeyError: the array of a field is missing.
        """
        return cls(
            **{
                field.name: np.asarray(columns[field.name], TYPES.get(field.name, np.int64))
                for field in fields(cls)
            }
        )


TYPES = {"scene": np.int32, "large": np.bool_, "plate": np.bool_, "box": np.float32}
"""Field -> type of its array, where it is no count."""
O = TypeVar("O", bound=Placed)  # noqa: E741


@dataclass(frozen=True)
class ScenePool(Generic[O]):
    """N scenes with M objects in all."""

    kind: ClassVar[type[Placed]]

    views: NDArray[np.uint8]
    """Each scene as the model is shown it, (N, 56, 56, 3)."""
    crops: NDArray[np.uint8]
    """One for each object, (M, side, side, 3): what the zoom tool shows for a box about right."""
    objects: O

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
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            FormatError: the file is damaged.
        """
        held = read_arrays(path, "pool of scenes", most=MAX_BYTES)
        try:
            objects = cls.kind.of(held)
            views, crops = (np.asarray(held[name], np.uint8) for name in ("views", "crops"))
        except KeyError as error:
            raise FormatError(f"{path}: no pool of scenes ({error} is missing)") from error
        return cls(views, crops, objects)  # type: ignore[arg-type]

    @classmethod
    def joined(cls, pools: Iterable[Self]) -> Self:
        """One pool of several."""
        parts = list(pools)
        columns = {
            name: np.concatenate([getattr(part.objects, name) for part in parts])
            for name in vars(parts[0].objects)
        }
        return cls(
            np.concatenate([part.views for part in parts]),
            np.concatenate([part.crops for part in parts]),
            cls.kind.of(columns),  # type: ignore[arg-type]
        )


P = TypeVar("P")


def draw_chunks(n: int, draw: Callable[[range], P], *, processes: int) -> list[P]:
    """Draw n scenes by chunks, of which `draw` is given the numbers of the scenes; in order."""
    chunks = [range(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]
    workers = min(processes, len(chunks))
    if workers == 1:
        return list(map(draw, chunks))
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(draw, chunks))


def crop_about(
    rng: np.random.Generator,
    pixels: PILImage.Image,
    box: Box,
    *,
    side: int,
    min_box: int,
    sloppiness: float = 1.0,
) -> NDArray[np.uint8]:
    """An object as the tool shows it, for a box a little off and up to 1.4 times its size.

    Args:
        rng: Where the noise is drawn.
        pixels: The scene.
        box: The box of the object, in pixels of the scene.
        side: Side at which the crop is shown.
        min_box: Least side of what is cut out, in pixels of the scene.
        sloppiness: How far the crop is off: 0 cuts it exactly, 1 as a model would.
    """
    scale = float(np.exp(sloppiness * rng.uniform(-0.1, 0.35)))
    wide = max(box.width * scale, min_box)
    x, y = (float(v) for v in sloppiness * rng.normal(0, 0.08, 2) * box.width)
    wanted = box.shift(x, y).resize_about_centre(wide, wide, Size(NATIVE, NATIVE))
    x1, y1, x2, y2 = (round(v) for v in wanted)
    part = pixels.crop((x1, y1, x2, y2))
    return np.asarray(part.resize((side, side), PILImage.Resampling.BICUBIC))
