"""A trajectory as HTML for notebooks: what was asked, where the model looked, what it said.

The HTML is whole (styles inside each element, pictures as data URIs, no script) and bounded in
size. All text in it was written by a model, a user or a tool, and is escaped. Colours are those of
the notebook, so that it can be read in a light and in a dark one.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import islice
from typing import NamedTuple

from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from saccade.errors import ImageError
from saccade.images.geometry import Box, Size, box_of
from saccade.images.image import Image
from saccade.types.task import Part
from saccade.types.trajectory import StopReason, ToolCall, ToolResult, Trajectory, Turn

MAX_TURNS = 12
"""Number of turns that are shown: the first ones and, where there are more, the last ones."""
LAST_TURNS = 4
"""Number of turns at the end that are shown of a long trajectory."""
MAX_PICTURES = 24
"""Number of pictures that are shown."""
MAX_ROWS = 40
"""Number of texts and pictures of a question or a turn that are shown."""
MAX_TEXT = 2000
"""Number of characters of a text that are shown: its beginning and its end."""
QUESTION_SIDE, RESULT_SIDE = 480, 240
"""Longest side of a picture of the question and of one that a tool returned, in pixels."""
LOSSLESS_SIDE = 128
"""Pictures whose longest side is no longer than this are not compressed with loss."""

_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080")
_FAINT = "rgba(128,128,128,.35)"


class _Mark(NamedTuple):
    """Where a call looked."""

    turn: int
    source: str
    """Digest of the source that the box lies on."""
    box: Box
    """In pixels of the source."""


def html_of(trajectory: Trajectory) -> str:
    """The trajectory as one `<div>`; see the module for what is guaranteed."""
    pictures = _Pictures(_marks(trajectory))
    body = _first(_question(trajectory, pictures))
    for number, turn in _shown(trajectory.turns):
        if turn is None:
            body.append(_line("", f"({number} turns are not shown)"))
        else:
            body.append(_turn(number, turn, pictures))
    body.append(_end(trajectory))
    return (
        '<div style="font-family:sans-serif;font-size:13px;line-height:1.45;max-width:60em;'
        f'overflow-wrap:anywhere;border:1px solid {_FAINT};padding:8px 12px">{"".join(body)}</div>'
    )


def _question(trajectory: Trajectory, pictures: _Pictures) -> Iterator[str]:
    for part in trajectory.prompt[-1].content if trajectory.prompt else ():
        if isinstance(part, Image):
            yield pictures.add(part, QUESTION_SIDE, "image of the question")
        elif part.strip():
            yield _line("", part.strip())


def _shown(turns: Sequence[Turn]) -> Iterator[tuple[int, Turn | None]]:
    """Numbers and turns; None stands once for a number of turns that are left out."""
    numbered: list[tuple[int, Turn | None]] = list(enumerate(turns, start=1))
    if len(numbered) > MAX_TURNS:
        left = len(numbered) - MAX_TURNS
        numbered = [*numbered[: MAX_TURNS - LAST_TURNS], (left, None), *numbered[-LAST_TURNS:]]
    yield from numbered


def _turn(number: int, turn: Turn, pictures: _Pictures) -> str:
    action, colour = turn.action, _colour(number)
    rows = [f'<div style="opacity:.6">turn {number}</div>']
    if action.thought and action.thought.strip():
        rows.append(_text(action.thought.strip(), "font-style:italic;opacity:.8"))
    if not action.calls and action.answer is None:
        rows.append(_line("wrote", turn.completion.text or "(nothing)"))
    if action.problems:
        rows.append(_line("problems", ", ".join(problem.kind.value for problem in action.problems)))
    for call in action.calls:
        rows.append(_line("calls", f"{call.name} {json.dumps(call.arguments, ensure_ascii=False)}"))
    rows += [row for result in turn.results for row in _result(result, pictures)]
    if turn.dropped:
        rows.append(_line("", f"the observation was left out ({turn.dropped})"))
    if action.answer is not None:
        rows.append(_line("answers", action.answer, "font-weight:bold"))
    style = f"border-left:4px solid {colour};padding-left:8px;margin:8px 0"
    return f'<div style="{style}">{"".join(_first(rows))}</div>'


def _first(rows: Iterable[str]) -> list[str]:
    """The first rows; a last one says that there are more."""
    first = list(islice(rows, MAX_ROWS + 1))
    return (
        first if len(first) <= MAX_ROWS else [*first[:MAX_ROWS], _line("", "(more is not shown)")]
    )


def _result(result: ToolResult, pictures: _Pictures) -> Iterator[str]:
    if result.error is not None:
        yield _line("error", result.error)
    for part in result.content:
        if isinstance(part, Image):
            yield pictures.add(part, RESULT_SIDE, f"what {result.call.name} showed")
        elif part.strip():
            yield _line("reads", part.strip())


def _end(trajectory: Trajectory) -> str:
    words = ["under way" if trajectory.stop is None else f"stop: {trajectory.stop.value}"]
    if trajectory.answer is not None:
        words.append(f"answer: {trajectory.answer}")
    if trajectory.stop is StopReason.ABORTED and trajectory.error:
        words.append(trajectory.error)
    if trajectory.score is not None:
        parts = ", ".join(f"{name} {value:+g}" for name, value in trajectory.score.parts.items())
        words.append(f"reward {trajectory.score.value:g}" + (f" ({parts})" if parts else ""))
    if trajectory.turns and trajectory.turns[-1].completion.model:
        words.append(trajectory.turns[-1].completion.model)
    words.append(f"{trajectory.seconds:.1f} s")
    return _text(" \u00b7 ".join(words), f"border-top:1px solid {_FAINT};padding-top:4px")


def _line(label: str, text: str, style: str = "") -> str:
    head = f'<span style="opacity:.6">{escape(label)}</span> ' if label else ""
    return f'<div style="white-space:pre-wrap;{style}">{head}{_escaped(text)}</div>'


def _text(text: str, style: str) -> str:
    return _line("", text, style)


def _escaped(text: str) -> str:
    """Text that is no markup, of bounded length, with hidden characters shown as such."""
    if len(text) > MAX_TEXT:
        half, left = MAX_TEXT // 2, len(text) - MAX_TEXT
        text = f"{text[:half]} ... ({left} characters) ... {text[-half:]}"
    return escape("".join(map(_visible, text)))


def _visible(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return " " if character.isspace() else "\ufffd"


def _colour(turn: int) -> str:
    return _COLOURS[(turn - 1) % len(_COLOURS)]


class _Pictures:
    """The pictures of the page: small, bounded in number, with the looks drawn on them."""

    def __init__(self, marks: Sequence[_Mark]) -> None:
        self._marks = marks
        self._left = MAX_PICTURES

    def add(self, image: Image, side: int, what: str) -> str:
        """An image as an element, or a line that says why it is not there."""
        note = f"{what}, {image.size} pixels"
        if self._left <= 0:
            return _line("", f"({note}: not shown)")
        self._left -= 1
        try:
            pixels = _small(image, side).copy()
        except ImageError:
            return _line("", f"({note}: its pixels are not at hand)")
        if side == QUESTION_SIDE:
            self._draw(pixels, image)
        scale = max(1, LOSSLESS_SIDE // max(pixels.size))  # each pixel of a small one is seen
        width, rendering = pixels.width * scale, "pixelated" if scale > 1 else "auto"
        return (
            f'<div style="margin:4px 0"><img alt="{_escaped(note)}" title="{_escaped(note)}" '
            f'width="{width}" src="{_data_uri(pixels)}" '
            f'style="max-width:100%;height:auto;image-rendering:{rendering}"></div>'
        )

    def _draw(self, pixels: PILImage.Image, image: Image) -> None:
        """A box with the number of its turn for each look at the image."""
        draw, font = ImageDraw.Draw(pixels), ImageFont.load_default(11)
        across = pixels.width / image.size.width
        for mark in self._marks:
            if mark.source != image.source.digest:
                continue
            box = image.from_source(mark.box).scale(across, pixels.height / image.size.height)
            box = box.clamp(Size(*pixels.size))
            if box.area <= 0:
                continue
            x1, y1, x2, y2 = (round(v) for v in box)
            corners = (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1))
            large = min(pixels.size) > LOSSLESS_SIDE
            draw.rectangle(corners, outline=_colour(mark.turn), width=2 if large else 1)
            if large:
                name = str(mark.turn)
                x, y = min(x1, pixels.width - 7 * len(name) - 4), min(y1, pixels.height - 14)
                draw.rectangle((x, y, x + 7 * len(name) + 3, y + 13), fill=_colour(mark.turn))
                draw.text((x + 2, y + 1), name, font=font, fill="white")


def _small(image: Image, side: int) -> PILImage.Image:
    """The pixels of an image, its longest side no longer than `side`."""
    scale = min(1.0, side / max(image.size))
    width, height = (max(1, round(v * scale)) for v in image.size)
    return Image(image.source, image.region, Size(width, height)).pixels()


def _data_uri(pixels: PILImage.Image) -> str:
    kind = "PNG" if max(pixels.size) <= LOSSLESS_SIDE else "JPEG"
    buffer = io.BytesIO()
    pixels.save(buffer, kind, quality=80)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _marks(trajectory: Trajectory) -> list[_Mark]:
    """The boxes of calls; where a call names none, the regions of the question that it showed."""
    images = [part for m in trajectory.prompt for part in m.content if isinstance(part, Image)]
    known = {image.source.digest for image in images}
    marks: list[_Mark] = []
    for number, turn in enumerate(trajectory.turns, start=1):
        asked = [
            mark for call in turn.action.calls for mark in _mark(call, trajectory, images, number)
        ]
        shown = [part for result in turn.results for part in result.content]
        marks += asked or [
            _Mark(number, part.source.digest, part.region)
            for part in shown
            if isinstance(part, Image) and part.source.digest in known
        ]
        images += _pictures_of(turn)
    return marks


def _mark(
    call: ToolCall, trajectory: Trajectory, images: Sequence[Image], turn: int
) -> Iterator[_Mark]:
    box, name = box_of(call.arguments.get("bbox_2d")), call.arguments.get("image", "image_1")
    for number, image in enumerate(images, start=1):
        if box is not None and name == f"image_{number}":
            pixels = trajectory.environment.coords.to_pixels(box, image.size)
            yield _Mark(turn, image.source.digest, image.to_source(pixels))


def _pictures_of(turn: Turn) -> list[Image]:
    parts: Iterator[Part] = (part for message in turn.observation for part in message.content)
    return [part for part in parts if isinstance(part, Image)]
