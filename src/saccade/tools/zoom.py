"""Looking again: `zoom_in` cuts a part out at full resolution, `rotate` turns an image.

Source: DeepEyes (arXiv 2505.14362), section 3, and its `visual_toolbox_v2` environment. Where we
deviate: any image of the conversation can be addressed and crops can be cropped; a box is read in
the declared frame and mapped to the source, where the published code applied it to the original
whatever the model had been shown; the schema requires `bbox_2d` (published: `bbox`, a typo);
`small="enlarge"` does what the published code meant to do behind a check that made it dead.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, TypeGuard

from pydantic import Field, JsonValue

from saccade.errors import ToolError
from saccade.geometry import Box
from saccade.image import Image
from saccade.types import Part, Record, ToolContext, ToolFunction, ToolSpec

_IMAGE_PARAMETER: JsonValue = {
    "type": "string",
    "description": "Which image, counted in order of appearance: image_1 (default), image_2, ...",
}


class ZoomIn(Record):
    """Cut a box out of an image, at the resolution of its source."""

    min_side: int = Field(default=30, ge=0)
    """Boxes of which a side has this many *source* pixels or fewer are too small."""
    max_ratio: float = Field(default=100.0, ge=1)
    """Longest side over shortest."""
    small: Literal["refuse", "enlarge"] = "refuse"
    """What becomes of a box that is too small: an error, or a larger box about its centre."""
    square: bool = False
    """Grow each box to a square about its centre."""
    announce: bool = False
    """Say the name of the new image beside it; the published format shows the image alone."""

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="image_zoom_in_tool",
            description=(
                "Show a part of an image enlarged, cut from the image at its full resolution."
            ),
            parameters={
                "type": "object",
                "properties": {
                    "bbox_2d": {
                        "type": "array",
                        "items": {"type": "number"},
                        "minItems": 4,
                        "maxItems": 4,
                        "description": "The part to show, as [x1, y1, x2, y2]: left, top, right "
                        "and bottom.",
                    },
                    "label": {
                        "type": "string",
                        "description": "What is in the box (optional).",
                    },
                    "image": _IMAGE_PARAMETER,
                },
                "required": ["bbox_2d"],
            },
            options=self.model_dump(mode="json"),
        )

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        """No state of its own: the images of the episode are all that it needs."""

        async def call(arguments: dict[str, JsonValue]) -> tuple[Part, ...]:
            return self._show(arguments, context)

        yield call

    def _show(self, arguments: dict[str, JsonValue], context: ToolContext) -> tuple[Part, ...]:
        _refuse_unknown(arguments, ("bbox_2d", "label", "image"), self.spec.name)
        name, image = _addressed(arguments, context)
        shown = context.coords.to_pixels(_read_box(arguments), image.size).clamp(image.size)
        if shown.width <= 0 or shown.height <= 0:
            raise ToolError(
                "image_zoom_in_tool: bbox_2d must satisfy x1 < x2 and y1 < y2 and lie inside "
                f"{name} ({_frame(image, context)}), got {arguments['bbox_2d']}"
            )
        region = self._grown(image.to_source(shown), image, name)
        crop = image.cut(region).fit(context.observation)
        if not self.announce:
            return (crop,)
        x1, y1, x2, y2 = (round(v) for v in context.coords.from_pixels(shown, image.size))
        text = f"image_{len(context.images) + 1}: [{x1}, {y1}, {x2}, {y2}] of {name}."
        return (crop, text)

    def _grown(self, region: Box, image: Image, name: str) -> Box:
        """Check shape and size in pixels of the source; grow the box where the options say so."""
        long, short = max(region.width, region.height), min(region.width, region.height)
        if long > self.max_ratio * short:
            raise ToolError(
                f"image_zoom_in_tool: the box is {long / short:.0f} times longer than wide, at "
                f"most {self.max_ratio:g} times is allowed; choose a box closer to a square"
            )
        width, height = region.width, region.height
        if self.square:
            width = height = long
        if min(width, height) <= self.min_side:
            if self.small == "refuse":
                raise ToolError(
                    f"image_zoom_in_tool: the box covers {region.width:.0f}x{region.height:.0f} "
                    f"pixels of {name} at full resolution, each side must be more than "
                    f"{self.min_side}; choose a larger box"
                )
            floor = self.min_side + 1.0
            width, height = max(width, floor), max(height, floor)
        if (width, height) == (region.width, region.height):
            return region
        x, y, within = image.region.x1, image.region.y1, image.native().size
        return region.shift(-x, -y).resize_about_centre(width, height, within).shift(x, y)


class Rotate(Record):
    """Turn an image clockwise. Not in the published training prompt: for zero-shot use."""

    max_source_pixels: int = Field(default=32_000_000, ge=1)
    """Larger images must be zoomed into first: turning makes new pixels."""

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
                    "image": _IMAGE_PARAMETER,
                },
                "required": ["angle"],
            },
            options=self.model_dump(mode="json"),
        )

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        """No state of its own; pixels are turned outside the event loop."""

        async def call(arguments: dict[str, JsonValue]) -> tuple[Part, ...]:
            _refuse_unknown(arguments, ("angle", "image"), self.spec.name)
            angle = arguments.get("angle")
            if not _is_number(angle) or angle != int(angle) or abs(angle) > 360:
                raise ToolError(
                    "image_rotate_tool: angle must be a whole number of degrees from -360 to "
                    f"360, got {_short(angle)}"
                )
            name, image = _addressed(arguments, context)
            if image.native().size.area > self.max_source_pixels:
                raise ToolError(f"image_rotate_tool: {name} is too large to turn; zoom in first")
            turned = await asyncio.to_thread(image.rotate, int(angle))
            return (turned.fit(context.observation),)

        yield call


def _read_box(arguments: dict[str, JsonValue]) -> Box:
    value = arguments.get("bbox_2d")
    if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
        raise ToolError(
            "image_zoom_in_tool: bbox_2d must be four finite numbers [x1, y1, x2, y2], got "
            f"{_short(value)}"
        )
    return Box(*(float(v) for v in value if _is_number(v)))


def _addressed(arguments: dict[str, JsonValue], context: ToolContext) -> tuple[str, Image]:
    """The image that a call names; the first one if it names none."""
    known = {f"image_{n}": image for n, image in enumerate(context.images, start=1)}
    name = arguments.get("image", "image_1")
    if not known:
        raise ToolError("there is no image in this conversation; answer without this tool")
    if not isinstance(name, str) or name not in known:
        raise ToolError(f"there is no image {_short(name)}; the images are {', '.join(known)}")
    return name, known[name]


def _refuse_unknown(arguments: dict[str, JsonValue], known: tuple[str, ...], tool: str) -> None:
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise ToolError(
            f"{tool}: unknown argument {_short(unknown[0])}; it takes {', '.join(known)}"
        )


def _is_number(value: object) -> TypeGuard[float]:
    """A finite number; `True` is none, and neither is an integer beyond every float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 and math.isfinite(value)


def _frame(image: Image, context: ToolContext) -> str:
    limit = context.coords.from_pixels(Box(0, 0, *image.size), image.size)
    return f"0 to {limit.x2:g} by 0 to {limit.y2:g}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
