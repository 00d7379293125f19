"""What the arguments of a call must be: an image of the conversation, a box on it.

Arguments are the model's own. Each mistake is a `ToolError` that says how to do it right.
"""

from __future__ import annotations

from pydantic import JsonValue

from saccade.errors import ToolError
from saccade.images.geometry import Box, box_of
from saccade.images.image import Image
from saccade.types import ToolContext

SMALLEST = 1e-6
"""Number of pixels, as shown and of the source, that a side of a box must have: below it arithmetic
with the box is no longer exact, and it shows nothing."""

IMAGE_PARAMETER: JsonValue = {
    "type": "string",
    "description": "Which image, counted in order of appearance: image_1 (default), image_2, ...",
}


def box_parameter(what: str) -> JsonValue:
    """The schema of `bbox_2d`."""
    return {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 4,
        "maxItems": 4,
        "description": f"{what}, as [x1, y1, x2, y2]: left, top, right and bottom.",
    }


def addressed(arguments: dict[str, JsonValue], context: ToolContext) -> tuple[str, Image]:
    """The image that a call names; the first one if it names none."""
    known = {f"image_{n}": image for n, image in enumerate(context.images, start=1)}
    name = arguments.get("image", "image_1")
    if not known:
        raise ToolError("there is no image in this conversation; answer without this tool")
    if not isinstance(name, str) or name not in known:
        raise ToolError(f"there is no image {short(name)}; the images are {', '.join(known)}")
    return name, known[name]


def shown_box(
    arguments: dict[str, JsonValue], context: ToolContext, name: str, image: Image, tool: str
) -> Box:
    """`bbox_2d` in pixels of the image as shown, cut to the image; no side is below `SMALLEST`."""
    value = arguments.get("bbox_2d")
    box = box_of(value)
    if box is None:
        raise ToolError(
            f"{tool}: bbox_2d must be four finite numbers [x1, y1, x2, y2], got {short(value)}"
        )
    shown = context.coords.to_pixels(box, image.size).clamp(image.size)
    source = image.to_source(shown)
    if min(shown.width, shown.height, source.width, source.height) < SMALLEST:
        raise ToolError(
            f"{tool}: bbox_2d must satisfy x1 < x2 and y1 < y2 and lie inside "
            f"{name} ({_frame(image, context)}), got {short(value, 200)}"
        )
    return shown


def refuse_unknown(arguments: dict[str, JsonValue], known: tuple[str, ...], tool: str) -> None:
    """Say which arguments there are if the call has another one."""
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise ToolError(
            f"{tool}: unknown argument {short(unknown[0])}; it takes {', '.join(known)}"
        )


def short(value: object, most: int = 80) -> str:
    """A value as an error quotes it: at most this many characters, whatever the value."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of more digits, or a list of more levels
        return f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= most else text[: most - 3] + "..."


def _frame(image: Image, context: ToolContext) -> str:
    limit = context.coords.from_pixels(Box(0, 0, *image.size), image.size)
    return f"0 to {limit.x2:g} by 0 to {limit.y2:g}"
