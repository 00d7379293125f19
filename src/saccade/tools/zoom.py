"""Looking again: `zoom_in` cuts a part out at full resolution, `rotate` turns an image.

Source: DeepEyes (arXiv 2505.14362), section 3, and its `visual_toolbox_v2` environment. Where we
deviate: any image of the conversation can be addressed and crops can be cropped; a box is read in
the declared frame and mapped to the source, where the published code applied it to the original
whatever the model had been shown; the schema requires `bbox_2d` (published: `bbox`, a typo);
`small="enlarge"` does what the published code meant to do behind a check that made it dead.
"""

from __future__ import annotations

import asyncio
from math import cos, radians, sin
from typing import Literal

from pydantic import Field, JsonValue

from saccade.errors import ToolError
from saccade.images.geometry import Box, Size, is_number
from saccade.images.image import Image
from saccade.tools.arguments import (
    IMAGE_PARAMETER,
    addressed,
    box_parameter,
    refuse_unknown,
    short,
    shown_box,
)
from saccade.tools.base import StatelessTool
from saccade.types import ToolContext, ToolOutput, ToolSpec

ZOOM = "image_zoom_in_tool"
"""The name by which a model calls the zoom tool. Source: DeepEyes."""


class ZoomIn(StatelessTool):
    """Cut a box out of an image, at the resolution of its source."""

    min_side: int = Field(default=30, ge=0)
    """Number of *source* pixels that each side of a box must exceed."""
    max_ratio: float = Field(default=100.0, ge=1)
    """The largest ratio of the longer side to the shorter one that is allowed."""
    small: Literal["refuse", "enlarge"] = "refuse"
    """What becomes of a box that is too small: an error, or a larger box about its centre."""
    square: bool = False
    """Whether each box is grown to a square about its centre."""
    announce: bool = False
    """Whether the name of the new image is said beside it; the published format shows it alone."""

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name=ZOOM,
            description=(
                "Show a part of an image enlarged, cut from the image at its full resolution."
            ),
            parameters={
                "type": "object",
                "properties": {
                    "bbox_2d": box_parameter("The part to show"),
                    "label": {
                        "type": "string",
                        "description": "What is in the box (optional).",
                    },
                    "image": IMAGE_PARAMETER,
                },
                "required": ["bbox_2d"],
            },
            options=self.model_dump(mode="json"),
        )

    async def call(self, arguments: dict[str, JsonValue], context: ToolContext) -> ToolOutput:
        """The part that `bbox_2d` names."""
        refuse_unknown(arguments, ("bbox_2d", "label", "image"), self.spec.name)
        name, image = addressed(arguments, context)
        shown = shown_box(arguments, context, name, image, self.spec.name)
        region = self._grown(image.to_source(shown), image, name)
        crop = image.cut(region).fit(context.observation)
        if not self.announce:
            return ToolOutput((crop,))
        x1, y1, x2, y2 = (round(v) for v in context.coords.from_pixels(shown, image.size))
        text = f"image_{len(context.images) + 1}: [{x1}, {y1}, {x2}, {y2}] of {name}."
        return ToolOutput((crop, text))

    def _grown(self, region: Box, image: Image, name: str) -> Box:
        """Check shape and size in pixels of the source; grow the box where the options say so."""
        long, short = max(region.width, region.height), min(region.width, region.height)
        if long > self.max_ratio * short:
            raise ToolError(
                f"{ZOOM}: the box is {long / short:.0f} times longer than wide, at "
                f"most {self.max_ratio:g} times is allowed; choose a box closer to a square"
            )
        width, height = region.width, region.height
        if self.square:
            width = height = long
        if min(width, height) <= self.min_side:
            if self.small == "refuse":
                raise ToolError(
                    f"{ZOOM}: the box covers {region.width:.0f}x{region.height:.0f} "
                    f"pixels of {name} at full resolution, each side must be more than "
                    f"{self.min_side}; choose a larger box"
                )
            floor = self.min_side + 1.0
            width, height = max(width, floor), max(height, floor)
        if (width, height) == (region.width, region.height):
            return region
        x, y, within = image.region.x1, image.region.y1, image.native().size
        return region.shift(-x, -y).resize_about_centre(width, height, within).shift(x, y)


class Rotate(StatelessTool):
    """Turn an image clockwise. Not in the published training prompt: for zero-shot use."""

    max_source_pixels: int = Field(default=32_000_000, ge=1)
    """Number of source pixels that an image may have; larger ones must be zoomed into first, since
    turning makes new pixels."""

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="image_rotate_tool",
            description="Show an image turned clockwise.",
            parameters={
                "type": "object",
                "properties": {
                    "angle": {
                        "type": "integer",
                        "description": "Degrees, clockwise; negative turns the other way.",
                    },
                    "image": IMAGE_PARAMETER,
                },
                "required": ["angle"],
            },
            options=self.model_dump(mode="json"),
        )

    async def call(self, arguments: dict[str, JsonValue], context: ToolContext) -> ToolOutput:
        """The image turned; its pixels are made outside the event loop."""
        refuse_unknown(arguments, ("angle", "image"), self.spec.name)
        angle = arguments.get("angle")
        if not is_number(angle) or angle != int(angle) or abs(angle) > 360:
            raise ToolError(
                "image_rotate_tool: angle must be a whole number of degrees from -360 to "
                f"360, got {short(angle)}"
            )
        name, image = addressed(arguments, context)
        size = image.native().size
        if max(size.area, _turned_area(size, angle) / 2) > self.max_source_pixels:
            raise ToolError(f"image_rotate_tool: {name} is too large to turn; zoom in first")
        turned = await asyncio.to_thread(image.rotate, int(angle))
        return ToolOutput((turned.fit(context.observation),))


def _turned_area(size: Size, angle: float) -> float:
    """Pixels of a turned image: up to twice as many for a square, more for a thin one."""
    sine, cosine = abs(sin(radians(angle))), abs(cos(radians(angle)))
    width, height = size
    return (width * cosine + height * sine) * (width * sine + height * cosine)
