"""The parts of the Inspect AI side of eval_overhead.py: its tools, and a solver that resizes."""

from __future__ import annotations

import base64
import io

from inspect_ai.model import ChatMessageUser, Content, ContentImage
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import Tool, tool
from inspect_ai.util import store
from PIL import Image as PILImage

from saccade.images.encode import encode
from saccade.images.geometry import PixelBudget, Size

VIEW = PixelBudget(max_pixels=10**6)
_PHOTOS: dict[str, PILImage.Image] = {}
"""Decoded once for what is shown and for the crop; by the name of the sample."""


def uri_of(pixels: PILImage.Image) -> str:
    """An image as both sides send it."""
    data, media_type = encode(pixels, "auto")
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@solver
def show() -> Solver:
    """Show the photograph of the question with one megapixel."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        (message,) = state.messages
        content: list[Content] = []
        for part in message.content:
            if isinstance(part, ContentImage):
                data = base64.b64decode(part.image.partition(",")[2])
                with PILImage.open(io.BytesIO(data)) as file:
                    pixels = file.convert("RGB")
                _PHOTOS[str(state.sample_id)] = pixels
                store().set("photo", str(state.sample_id))
                small = pixels.resize(VIEW.fit(Size(*pixels.size)), PILImage.Resampling.BICUBIC)
                part = ContentImage(image=uri_of(small))
            content.append(part)
        state.messages = [ChatMessageUser(content=content)]
        return state

    return solve


@tool(name="image_zoom_in_tool")
def zoom() -> Tool:
    """The zoom tool."""

    async def execute(bbox_2d: list[int]) -> list[Content]:
        """Show a part of the image at full resolution.

        Args:
            bbox_2d: x1, y1, x2, y2 in pixels of the image as shown.
        """
        pixels = _PHOTOS.pop(store().get("photo"))
        shown = VIEW.fit(Size(*pixels.size))
        x, y = pixels.width / shown.width, pixels.height / shown.height
        x1, y1, x2, y2 = bbox_2d
        crop = pixels.crop((round(x1 * x), round(y1 * y), round(x2 * x), round(y2 * y)))
        fitted = VIEW.fit(Size(*crop.size))
        return [ContentImage(image=uri_of(crop.resize(fitted, PILImage.Resampling.BICUBIC)))]

    return execute


@tool
def look_up() -> Tool:
    """A tool that returns a word."""

    async def execute(word: str) -> str:
        """Looks a word up.

        Args:
            word: The word.
        """
        return f"{word}: a vessel"

    return execute
