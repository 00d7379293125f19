"""A chat server that sees: it answers the canary's questions from the pixels that it was sent.

Each field of `Seeing` is a way in which real servers deceive. The oracle shares no drawing code
with what it reads, only the typeface.
"""

import json
import re
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont
from pydantic import JsonValue

from saccade.testing import ScriptedReply, ScriptedRequest

NAMES = {
    "red": (214, 30, 34), "green": (28, 150, 60), "blue": (36, 70, 214),
    "yellow": (246, 214, 40), "purple": (136, 44, 168), "black": (12, 12, 12),
}  # fmt: skip
FRAMES = ("absolute", "relative_1000", "relative_1", "yx_1000", "stubborn_1000", "nowhere")
LEGIBLE = 7
"""Height in pixels of the smallest digits that it reads."""


@dataclass(frozen=True)
class Seeing:
    """A server whose model sees, and what it keeps to itself."""

    blind: bool = False
    frame: str = "absolute"
    """The frame in which it writes boxes, whatever it is told; `yx_1000` obeys what it is told."""
    keeps: tuple[int | None, int | None] = (None, None)
    """Where the images of a request that reach the model begin and end."""
    at_most: int = 1000
    """Number of images in a request that are not refused."""
    longest: int = 100_000
    """Longer sides are shrunk to so many pixels."""
    least: int = 1
    """Shorter sides are enlarged to so many pixels."""
    stops: bool = True
    limits: bool = True
    refuses: tuple[str, ...] = ()
    parses: bool = False
    """Whether tool calls are parsed out of the text, unasked."""
    drops_thought: bool = False
    tool_parser: bool = True
    """Whether it has a parser for tools that were asked for."""
    sees_tools: bool = True
    """Whether images in tool messages reach the model."""

    def __call__(self, request: ScriptedRequest) -> str | ScriptedReply:
        for name in self.refuses:
            if name in request.body:
                return _refusal(f"Unsupported parameter: '{name}' is not supported.")
        if len(request.image_bytes) > self.at_most:
            return _refusal(f"At most {self.at_most} image(s) may be provided in one request.")
        images = [self.resized(image) for image in request.images[slice(*self.keeps)]]
        return self.sent(request, self.text(request, images))

    def resized(self, image: PILImage.Image) -> PILImage.Image:
        factor = min(1.0, self.longest / max(image.size))
        factor = max(factor, self.least / min(image.size))
        if factor == 1:
            return image
        width, height = (max(1, round(side * factor)) for side in image.size)
        return image.resize((width, height), PILImage.Resampling.BILINEAR)

    def text(self, request: ScriptedRequest, images: list[PILImage.Image]) -> str:
        """What the model would write, without limits and stop strings."""
        asked = _last_question(request)
        if asked.startswith("Repeat the following"):
            return asked.partition("\n\n")[2]
        if asked.startswith("Write the following"):
            return asked.rpartition(": ")[2]
        if asked.startswith("Count from"):
            return " ".join(map(str, range(1, 61)))
        if "zoom in" in request.text:
            return _agent(request, self.digits(images[:1]))
        if "rectangle" in asked:
            return self.box(images, asked)
        if "Which colour" in asked:
            return "red" if self.blind or not images else _colour(images[-1])
        if "number of 5 digits" in asked:
            return self.digits(images)
        if "digit" in asked:
            which = images[:1] if "first" in asked else images[-1:]
            return self.digits(which)
        return "yes"

    def digits(self, images: list[PILImage.Image]) -> str:
        return "7" if self.blind or not images else read(images[0])

    def box(self, images: list[PILImage.Image], asked: str) -> str:
        image = images[-1]
        x1, y1, x2, y2 = _extent(_inked(image))
        width, height = image.size
        told = "0 to 1000" in asked
        obeys = self.frame == "yx_1000" and told
        if self.frame == "relative_1":
            box = [x1 / width, y1 / height, x2 / width, y2 / height]
        elif self.frame in ("relative_1000", "yx_1000", "stubborn_1000"):
            box = [x1 / width, y1 / height, x2 / width, y2 / height]
            box = [round(1000 * value) for value in box]
        else:
            box = [x1, y1, x2, y2]
        if self.frame in ("yx_1000", "stubborn_1000") and not obeys:
            box = [box[1], box[0], box[3], box[2]]
        if self.frame == "nowhere":
            box = [1, 2, 3, 4]
        return f"```json\n{json.dumps({'bbox_2d': box})}\n```"

    def sent(self, request: ScriptedRequest, text: str) -> str | ScriptedReply:
        """What the server makes of it."""
        calls: list[JsonValue] = []
        finish = "stop"
        called = re.search(r"<tool_call>\s*(.*?)\s*</tool_call>", text, re.DOTALL)
        wanted = "tools" in request.body and self.tool_parser
        if called and (self.parses or wanted):
            call = json.loads(called[1])
            calls = [{"id": "c", "type": "function", "function": {
                "name": call["name"], "arguments": json.dumps(call["arguments"])}}]  # fmt: skip
            text = text[: called.start()]
        if self.drops_thought:
            text = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)
        stops = request.body.get("stop") if self.stops else None
        for stop in stops if isinstance(stops, list) else []:
            if not calls:
                text = text.split(str(stop))[0]
        limit = request.body.get("max_tokens", request.body.get("max_completion_tokens"))
        if self.limits and isinstance(limit, int) and len(text.split()) > limit:
            text, finish = " ".join(text.split()[:limit]), "length"
        return ScriptedReply(text, tool_calls=calls, finish="tool_calls" if calls else finish)


def read(image: PILImage.Image) -> str:
    """The digits in a row, from left to right; zeros where they are too small."""
    ink = _inked(image)
    if not ink.any():
        return "?"
    _, y1, _, y2 = _extent(ink)
    if y2 - y1 < LEGIBLE:
        return "00000"
    grey = np.asarray(image.convert("L"), np.float32)[y1:y2]
    filled = ink[y1:y2].any(0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], filled.astype(int), [0]])))
    glyphs = [_square(grey[:, a:b]) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return "".join(min("0123456789", key=lambda d: _distance(g, d)) for g in glyphs)


def _distance(glyph: NDArray[np.float32], digit: str) -> float:
    return float(((glyph - _template(digit)) ** 2).mean())


@cache
def _template(digit: str) -> NDArray[np.float32]:
    canvas = PILImage.new("L", (120, 120), 255)
    ImageDraw.Draw(canvas).text((20, 10), digit, fill=0, font=ImageFont.load_default(80))
    grey = np.asarray(canvas, np.float32)
    x1, y1, x2, y2 = _extent(grey < 128)
    return _square(grey[y1:y2, x1:x2])


def _square(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ink of 24x24 pixels from 0 to 1, the aspect kept: a 1 stays thin."""
    height, width = grey.shape
    ink = 255 - (grey - grey.min()) * 255 / max(1.0, float(np.ptp(grey)))
    fitted = PILImage.fromarray(ink.astype(np.uint8)).resize(
        (max(1, min(24, round(width * 24 / height))), 24), PILImage.Resampling.BILINEAR
    )
    canvas = PILImage.new("L", (24, 24), 0)
    canvas.paste(fitted, ((24 - fitted.width) // 2, 0))
    return np.asarray(canvas, np.float32) / 255


def _inked(image: PILImage.Image) -> NDArray[np.bool_]:
    grey = np.asarray(image.convert("L"))
    return grey < int(grey.max()) - 20  # yellow is 30 darker than the ground


def _extent(ink: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    columns, rows = np.flatnonzero(ink.any(0)), np.flatnonzero(ink.any(1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _colour(image: PILImage.Image) -> str:
    ink = np.asarray(image, np.float32)[_inked(image)].mean(0)
    return min(NAMES, key=lambda name: float(np.abs(ink - NAMES[name]).sum()))


def _agent(request: ScriptedRequest, digit: str) -> str:
    """An episode in the dialect that the system message asks for: a call, then the answer."""
    tags, plain = "<answer>" in request.text, "Thought: how you know" in request.text
    call = {"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [20, 20, 300, 300]}}
    if request.turn == 0:
        if plain:
            return f"Thought: I look.\nCall: {call['name']} {json.dumps(call['arguments'])}"
        thought = "<think>I look.</think>" if tags else ""
        return f"{thought}<tool_call>{json.dumps(call)}</tool_call>"
    if plain:
        return f"Thought: I see it.\nAnswer: {digit}"
    return f"<think>I see it.</think><answer>{digit}</answer>" if tags else digit


def _last_question(request: ScriptedRequest) -> str:
    """The text of the last message of a user that has one."""
    for message in reversed(request.messages):
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        texts = [part["text"] for part in parts if isinstance(part, dict) and part.get("text")]
        if message.get("role") == "user" and texts:
            return str(texts[-1])
    return ""


def _refusal(message: str) -> ScriptedReply:
    body = {"error": {"message": message, "type": "invalid_request_error"}}
    return ScriptedReply(status=400, raw=json.dumps(body).encode())
