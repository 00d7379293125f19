"""A zoom that shows another place than the one asked for: controls, and upper bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal, get_args

import numpy as np
from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.config import check_choice
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.types import TargetBox, Tool, ToolContext, ToolFunction, ToolOutput, ToolSpec

Place = Literal["wrong", "true", "blank"]
"""What is shown: a place without the asked object, the object, or nothing at all."""

TRIES = 50
"""Random places that are tried before a wrong one is put into the widest strip."""

BLANK = (128, 128, 128)


class StagedZoom:
    """Looks to the model like the zoom tool, and shows what the experiment wants."""

    def __init__(self, zoom: Tool, place: Place, targets: Mapping[str, TargetBox]) -> None:
        """Make the tool.

        Args:
            zoom: What it looks like; called with a box.
            place: What it shows.
            targets: Task id -> where the asked object is; read when a call is made. `blank` needs
                none.
        """
        check_choice("place", place, get_args(Place))
        self._zoom, self._place, self._targets = zoom, place, targets

    @property
    def spec(self) -> ToolSpec:
        spec = self._zoom.spec
        return spec.model_copy(update={"options": {**spec.options, "shows": self._place}})

    async def start(self) -> None:
        await self._zoom.start()

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        """The real tool, called with another box."""
        async with self._zoom.open(context) as zoom:

            async def call(arguments: dict[str, JsonValue]) -> ToolOutput:
                asked = await zoom(arguments)
                crop = asked.content[0]
                assert isinstance(crop, Image)
                if self._place == "blank":
                    blank = Image.from_pixels(PILImage.new("RGB", crop.size, BLANK))
                    return ToolOutput((blank, *asked.content[1:]))
                target = self._targets[context.task_id]
                shown = context.images[target.image - 1]
                region = target.box
                if self._place == "wrong":
                    region = _elsewhere(shown, crop.region, target.box, context.seed)
                box = context.coords.from_pixels(shown.from_source(region), shown.size)
                return await zoom({"bbox_2d": list(box), "image": f"image_{target.image}"})

            yield call

    async def close(self) -> None:
        await self._zoom.close()


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
