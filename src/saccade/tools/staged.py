"""A zoom that shows something else than what was asked for: controls, and upper bounds.

A call that the zoom refuses is refused here too; one that it accepts is answered with another
image of the same place in the turn, or with none. Crops of crops, several images and several true
boxes are all met: what is shown comes from the image of the question that the call looks at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal, get_args

import numpy as np
from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.config import check_choice
from saccade.errors import ConfigError, ToolError
from saccade.images.geometry import Box, Size
from saccade.images.image import Image
from saccade.types import TargetBox, Tool, ToolContext, ToolFunction, ToolOutput, ToolSpec

Place = Literal["wrong", "true", "blank", "nothing"]
"""What is shown: a place without the asked object, the object, a grey image, or no image at all."""

TRIES = 50
"""Random places that are tried before a wrong one is put into the widest strip."""

GROWTH = 1.5
"""A true box that the zoom refuses, since it is too small or too thin, is shown within a square
that is so many times larger at each attempt."""

BLANK = (128, 128, 128)
NOTHING = "The call was accepted. No image is shown."


class StagedZoom:
    """Looks to the model like the zoom tool, and shows what the experiment wants."""

    def __init__(
        self,
        zoom: Tool,
        place: Place,
        targets: Mapping[str, Sequence[TargetBox]],
        *,
        after: Mapping[str, int] | None = None,
    ) -> None:
        """Make the tool.

        Args:
            zoom: What it looks like; called with a box.
            place: What it shows. `true` shows the box that the call is nearest to, and each once
                before one is shown again.
            targets: Task id -> where the asked objects are; read when a call is made. `blank` and
                `nothing` need none.
            after: Task id -> number of accepted calls that show what they asked for, before the
                staging begins; none where it is left out.
        """
        check_choice("place", place, get_args(Place))
        self._zoom, self._place, self._targets = zoom, place, targets
        self._after = {} if after is None else after

    @property
    def spec(self) -> ToolSpec:
        spec = self._zoom.spec
        return spec.model_copy(update={"options": {**spec.options, "shows": self._place}})

    async def start(self) -> None:
        await self._zoom.start()

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        """The real tool, called with another box."""
        honest = self._after.get(context.task_id, 0)
        accepted = 0
        shown: set[int] = set()
        async with self._zoom.open(context) as zoom:

            async def call(arguments: dict[str, JsonValue]) -> ToolOutput:
                nonlocal accepted
                asked = await zoom(arguments)
                accepted += 1
                if accepted <= honest:
                    return asked
                if self._place == "nothing":
                    return ToolOutput((NOTHING,), asked.data, "nothing")
                crop = next(part for part in asked.content if isinstance(part, Image))
                if self._place == "blank":
                    staged = blank(crop)
                elif self._place == "true":
                    staged = await self._object(zoom, crop, context, shown)
                else:
                    staged = await self._wrong(zoom, crop, context, accepted)
                content = tuple(staged if part is crop else part for part in asked.content)
                return ToolOutput(content, asked.data, asked.outcome)

            yield call

    async def close(self) -> None:
        await self._zoom.close()

    def _truths(self, context: ToolContext) -> Sequence[TargetBox]:
        truths = self._targets.get(context.task_id)
        if not truths:
            raise ConfigError(
                f"{context.task_id}: no true box is known, which a zoom that shows a {self._place} "
                "place needs; leave this question out of the arm"
            )
        return truths

    async def _object(
        self, zoom: ToolFunction, crop: Image, context: ToolContext, shown: set[int]
    ) -> Image:
        """The true box that a call is nearest to, of those that were not shown yet."""
        truths = self._truths(context)
        left = [n for n in range(len(truths)) if n not in shown] or [*range(len(truths))]

        def nearness(number: int) -> tuple[bool, float, float]:
            truth = truths[number]
            same = context.images[truth.image - 1].source.digest == crop.source.digest
            return same, crop.region.iou(truth.box), -_distance(crop.region, truth.box)

        number = max(left, key=nearness)
        shown.add(number)
        truth = truths[number]
        within = context.images[truth.image - 1].source.size
        region, side = truth.box, max(truth.box.width, truth.box.height)
        while True:
            try:
                return await _cut(zoom, context, truth.image, region)
            except ToolError:
                if region.width >= within.width and region.height >= within.height:
                    raise
                side *= GROWTH
                region = truth.box.resize_about_centre(side, side, within)

    async def _wrong(
        self, zoom: ToolFunction, crop: Image, context: ToolContext, number: int
    ) -> Image:
        """A place without an asked object, on the image that the call looks at."""
        truths = self._truths(context)
        sources = [context.images[truth.image - 1].source.digest for truth in truths]
        # A source that no true box lies on may be one that a tool made of another.
        asked = crop.source.digest if crop.source.digest in sources else sources[0]
        on_it = [truth for truth, s in zip(truths, sources, strict=True) if s == asked]
        source = context.images[on_it[0].image - 1].source
        again = () if number == 1 else (number,)
        rng = np.random.default_rng([context.seed, int(asked[:8], 16), *again])
        region = elsewhere(source.size, crop.region, [truth.box for truth in on_it], rng)
        return await _cut(zoom, context, on_it[0].image, region)


def blank(crop: Image) -> Image:
    """A grey image of the size at which another one is shown."""
    return Image.from_pixels(PILImage.new("RGB", crop.size, BLANK))


def elsewhere(size: Size, own: Box, truths: Sequence[Box], rng: np.random.Generator) -> Box:
    """A box that shows nothing of the asked objects: of the model's own size, where that fits.

    Drawn at random; if the objects leave little room, in the widest strip beside them.

    Args:
        size: Of the source.
        own: What the model asked for, in pixels of the source.
        truths: What must not be shown; at least one.
        rng: Decides the place.
    """
    whole = Box(0, 0, *size)
    widest = widest_strip(size, truths)
    scale = min(1.0, widest.width / own.width, widest.height / own.height)
    # A quotient times its divisor may be larger than what was divided, in the last place.
    width = min(own.width * scale, widest.width)
    height = min(own.height * scale, widest.height)
    box = widest
    for place in [whole] * TRIES + [widest]:
        x = rng.uniform(place.x1, place.x2 - width)
        y = rng.uniform(place.y1, place.y2 - height)
        box = Box(x, y, x + width, y + height)
        if not any(box.intersect(truth).area > 0 for truth in truths):
            break
    return box


def widest_strip(size: Size, truths: Sequence[Box]) -> Box:
    """The strip between or beside boxes whose shorter side is the longest; it may be empty.

    A strip goes from one side of the image to the other.
    """
    columns = _gaps(size.width, [(box.x1, box.x2) for box in truths])
    rows = _gaps(size.height, [(box.y1, box.y2) for box in truths])
    strips = [Box(start, 0, end, size.height) for start, end in columns]
    strips += [Box(0, start, size.width, end) for start, end in rows]
    return max(strips, key=lambda strip: min(strip.width, strip.height))


def _gaps(length: int, spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """What spans leave free of a length, from the first to the last; at least one, maybe empty."""
    found, at = [], 0.0
    for start, end in sorted(spans):
        found.append((at, max(at, start)))
        at = max(at, end)
    return [*found, (at, max(at, float(length)))]


def _distance(one: Box, other: Box) -> float:
    """Squared, between the centres."""
    x = one.x1 + one.x2 - other.x1 - other.x2
    y = one.y1 + one.y2 - other.y1 - other.y2
    return (x * x + y * y) / 4


async def _cut(zoom: ToolFunction, context: ToolContext, number: int, region: Box) -> Image:
    """What the zoom shows of a region of the source of an image, counted from 1."""
    image = context.images[number - 1]
    box = context.coords.from_pixels(image.from_source(region), image.size)
    given = await zoom({"bbox_2d": list(box), "image": f"image_{number}"})
    return next(part for part in given.content if isinstance(part, Image))
