"""A zoom that shows another place than the one asked for: controls, and upper bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal

import numpy as np
from pydantic import JsonValue

from saccade.geometry import Box
from saccade.image import Image
from saccade.types import Part, Tool, ToolContext, ToolFunction, ToolSpec

Place = Literal["own", "wrong", "true"]

TRIES = 50
"""Random places that are tried before a wrong one is put into the widest strip."""


class StagedZoom:
    """Looks like the zoom tool, and shows the true place, or a wrong one, whatever is asked for."""

    def __init__(self, zoom: Tool, place: Place, truth: Mapping[str, Box]) -> None:
        """Make the tool.

        Args:
            zoom: What it looks like; called with a box.
            place: What it shows.
            truth: Digest of an image -> the box of the asked object, in pixels of that image.
        """
        self._zoom, self._place, self._truth = zoom, place, truth

    @property
    def spec(self) -> ToolSpec:
        spec = self._zoom.spec
        return spec.model_copy(update={"options": {**spec.options, "shows": self._place}})

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        """The real tool, called with another box."""
        async with self._zoom.open(context) as zoom:

            async def call(arguments: dict[str, JsonValue]) -> tuple[Part, ...]:
                shown = context.images[0]
                own = (await zoom(arguments))[0]
                assert isinstance(own, Image)
                box = shown.from_source(self._box(shown, own.region, context.seed))
                return await zoom({"bbox_2d": list(context.coords.from_pixels(box, shown.size))})

            yield call

    def _box(self, shown: Image, own: Box, seed: int) -> Box:
        truth = self._truth[shown.source.digest]
        return truth if self._place == "true" else _elsewhere(shown, own, truth, seed)


def _elsewhere(shown: Image, own: Box, truth: Box, seed: int) -> Box:
    """A box that shows nothing of the asked object: of the model's own size, where that fits.

    Drawn at random; if the object leaves little room, in the widest strip beside it.
    """
    rng = np.random.default_rng([seed, int(shown.source.digest[:8], 16)])
    width, height = shown.source.size
    strips = (
        Box(0, 0, truth.x1, height),
        Box(truth.x2, 0, width, height),
        Box(0, 0, width, truth.y1),
        Box(0, truth.y2, width, height),
    )
    widest = max(strips, key=lambda strip: min(strip.width, strip.height))
    side = min(own.width, widest.width, widest.height)
    for place in [Box(0, 0, width, height)] * TRIES + [widest]:
        x = rng.uniform(place.x1, place.x2 - side)
        y = rng.uniform(place.y1, place.y2 - side)
        box = Box(x, y, x + side, y + side)
        if box.intersect(truth).area <= 0:
            break
    return box
