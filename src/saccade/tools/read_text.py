"""The tool `read_text`, which returns the lines of text in a part of an image.

It reads the pixels that the policy sees, never the source behind them: a policy must zoom into
small text first.
"""

from __future__ import annotations

from math import ceil, floor

from pydantic import Field, JsonValue

from saccade.errors import ToolError, require
from saccade.images.geometry import Box
from saccade.tools import ocr
from saccade.tools.arguments import (
    IMAGE_PARAMETER,
    addressed,
    box_parameter,
    refuse_unknown,
    shown_box,
)
from saccade.tools.base import StatelessTool
from saccade.types import ToolContext, ToolOutput, ToolSpec

NAME = "read_text"


class ReadText(StatelessTool):
    """Reads the lines of text in a region, with boxes and confidences; needs the extra `ocr`."""

    max_pixels: int = Field(default=2_000_000, ge=1)
    """Number of shown pixels that a region may have; larger regions are refused."""
    max_seconds: float = Field(default=20.0, gt=0)
    """Seconds to read a region; lines that are not begun by then are counted, not read."""
    max_lines: int = Field(default=100, ge=1)
    """Number of lines that are shown; further lines are counted."""
    max_chars: int = Field(default=200, ge=1)
    """Number of characters of a line that are shown; the rest is cut."""
    threads: int = Field(default=2, ge=1)
    """Number of cores that one read may use."""

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name=NAME,
            description=(
                "Read the text in a part of an image as it is shown: lines with boxes and "
                "confidences from 0 to 1. Text that is too small to read must be enlarged first."
            ),
            parameters={
                "type": "object",
                "properties": {
                    "bbox_2d": box_parameter("The part to read (default: all of the image)"),
                    "image": IMAGE_PARAMETER,
                },
                "required": [],
            },
            options=self.model_dump(mode="json", exclude={"threads"}),
        )

    async def start(self) -> None:
        """Find out whether the library is there; it is loaded when it first reads.

        Raises:
            MissingExtra: the extra `ocr` is not installed.
        """
        require("rapidocr", "onnxruntime")

    async def call(self, arguments: dict[str, JsonValue], context: ToolContext) -> ToolOutput:
        """The lines of a region; they are read outside the event loop."""
        refuse_unknown(arguments, ("bbox_2d", "image"), NAME)
        name, image = addressed(arguments, context)
        region = Box(0, 0, *image.size)
        if arguments.get("bbox_2d") is not None:
            x1, y1, x2, y2 = shown_box(arguments, context, name, image, NAME)
            region = Box(floor(x1), floor(y1), ceil(x2), ceil(y2))
        if region.area > self.max_pixels:
            raise ToolError(
                f"{NAME}: the region has {region.area:.0f} pixels of {name}, at most "
                f"{self.max_pixels} can be read at a time; choose a smaller bbox_2d"
            )
        x1, y1, x2, y2 = (int(v) for v in region)
        pixels = image.pixels().crop((x1, y1, x2, y2))
        reading = await ocr.read(pixels, max_seconds=self.max_seconds, threads=self.threads)
        rows = []
        for line in reading.lines[: self.max_lines]:
            box = context.coords.from_pixels(line.box.shift(region.x1, region.y1), image.size)
            rows.append(_row(line, box, self.max_chars))
        if left := len(reading.lines) - len(rows):
            rows.append(f"({left} further lines are not shown; read a smaller region)")
        if reading.left:
            rows.append(f"({reading.left} lines were not read for want of time)")
        lines: list[JsonValue] = [
            {"text": line.text, "confidence": line.confidence, "box": list(line.box.shift(x1, y1))}
            for line in reading.lines
        ]
        return ToolOutput(("\n".join(rows) or "no text found",), {"lines": lines})


def _row(line: ocr.Line, box: Box, max_chars: int) -> str:
    place = ", ".join(f"{v:.4g}" for v in box)
    text = line.text[:max_chars] + ("..." if len(line.text) > max_chars else "")
    return f"[{place}] {line.confidence:.2f} {text or '(not read)'}"
