"""Where to look next for text: at what was found but not read, then coarse to fine everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import NamedTuple

from saccade.dialects.inert import inert
from saccade.geometry import Box, Size, box_of
from saccade.image import Image
from saccade.policies.evidence import CLEAR, Seen, similarity
from saccade.tools.ocr import Line
from saccade.types import ToolCall, Trajectory

ZOOM = "image_zoom_in_tool"
LEVELS = (2, 4, 6)
"""Tiles along a side; a tile overlaps its neighbours by `OVERLAP` of its side on each side."""
OVERLAP = 0.15
CANDIDATES = 4
"""Looks at what was found but not read, before the tiles of a level; more would be clutter."""
COVERED = 0.9
"""The share of a region from which a look at as fine a scale counts as a look at it."""
SMALL = 32.0
"""Height in pixels as shown: larger text is not illegible for want of a closer look."""
WORD_LIKE = 1.5
"""Length over height from which a shape may be a word."""
HINT = 70.0
"""Similarity in [0, 100] from which an unsure line is near to an option."""
MAGNIFIED = 4.0
"""A part that would be shown enlarged more than this has nothing finer to show."""
SURE = "I look closer to be sure."


class Look(NamedTuple):
    """A region to zoom into, and why."""

    number: int
    """Which image of the question, counted from 0."""
    region: Box
    """In pixels of its source."""
    why: str
    begins_level: bool = False
    """Everything coarser was looked at: a moment to decide."""


class _Tried(NamedTuple):
    number: int
    """Which image of the question, counted from 0."""
    region: Box
    level: int


class _Found(NamedTuple):
    """A line and where it was seen."""

    number: int
    line: Line
    level: int
    small: bool
    """A closer look may show more of it."""


def zooms_left(trajectory: Trajectory) -> int:
    """Looks that the limits still allow, the last turn kept for the answer; 0 without the tool."""
    environment = trajectory.environment
    if ZOOM not in {tool.name for tool in environment.tools}:
        return 0
    limits = environment.limits
    turns = limits.max_turns - len(trajectory.turns) - 1
    return max(0, min(turns, limits.max_images - len(trajectory.images)))


class Search:
    """What was looked at and found so far; a function of the trajectory."""

    def __init__(self, trajectory: Trajectory, seen: Sequence[Seen]) -> None:
        parts = (part for message in trajectory.prompt for part in message.content)
        self._images = [part for part in parts if isinstance(part, Image)]
        self._max_pixels = trajectory.environment.observation.max_pixels
        past = (_look_of(call, trajectory, self._images) for call in _calls(trajectory))
        self._tried = [look for look in past if look is not None]
        self._found = [found for one in seen for found in self._lines_of(one)]

    def next_look(self, choices: Sequence[str] = ()) -> Look | None:
        """The next region, never one that was looked at before; None if there is none."""
        if look := next(self._hints(choices), None):
            return look
        for level in LEVELS:
            if look := next(self._looks(level), None):
                begun = any(t.level == level and self._is_tile(t) for t in self._tried)
                return look._replace(begins_level=not begun)
        return None

    def closer_look(self, line: Line) -> Look | None:
        """A look at a line one level closer; None if it is large or was looked at so."""
        seen = (found for found in self._found if found.line == line and found.small)
        return next((look for found in seen if (look := self._closer(found, SURE))), None)

    def _hints(self, choices: Sequence[str]) -> Iterator[Look]:
        """What nearly fits an option, one level closer."""
        for found in self._faint():
            likely = max((similarity(c, found.line.text) for c in choices), default=0.0)
            why = f'"{inert(found.line.text[:60])}" is near to an option: I look closer.'
            if likely >= HINT and (look := self._closer(found, why)):
                yield look

    def _looks(self, level: int) -> Iterator[Look]:
        """What is left to look at on a level: first what was not legible, then all of it."""
        spent = [t for t in self._tried if t.level == level and not self._is_tile(t)]
        if level != LEVELS[0] and len(spent) < CANDIDATES:
            for found in self._faint():
                place = ", ".join(f"{v:.0f}" for v in found.line.box)
                why = f"Something like text near [{place}] is not legible: I look closer."
                if look := self._window(found, level, why):
                    yield look
        for number, image in enumerate(self._images):
            boxes = [found.line.box for found in self._faint() if found.number == number]
            tiles = [tile for tile in _tiles(image, level) if self._is_new(number, tile, level)]
            tiles.sort(key=lambda tile: -sum(tile.coverage(box) > COVERED for box in boxes))
            for tile in tiles:
                yield Look(number, tile, f"I go over the image in {level}x{level} parts.")

    def _closer(self, found: _Found, why: str) -> Look | None:
        finer = next((level for level in LEVELS if level > found.level), None)
        return None if finer is None else self._window(found, finer, why)

    def _window(self, found: _Found, level: int, why: str) -> Look | None:
        """The part about a line, as large as a tile of the level, or as the line needs."""
        box, image = found.line.box, self._images[found.number]
        if not self._is_new(found.number, box, level):
            return None
        x, y = image.region.x1, image.region.y1
        side = 1 + 2 * OVERLAP
        width = max(image.region.width * side / level, 2 * box.width)
        height = max(image.region.height * side / level, 2 * box.height)
        whole = Size(round(image.region.width), round(image.region.height))
        region = box.shift(-x, -y).resize_about_centre(width, height, whole).shift(x, y)
        return Look(found.number, region, why)

    def _faint(self) -> list[_Found]:
        """What looks like a small word and is not clear, by image, the surest first."""
        faint = []
        for found in self._found:
            short, long = sorted((found.line.box.width, found.line.box.height))
            if found.line.confidence < CLEAR and found.small and long >= WORD_LIKE * short:
                faint.append(found)
        return sorted(faint, key=lambda found: (found.number, -found.line.confidence))

    def _is_new(self, number: int, box: Box, level: int) -> bool:
        """Whether no look so close showed the box, and one would show more than a coarser one."""
        area = self._images[number].region.area * _share(level)
        return area > self._max_pixels / MAGNIFIED**2 and not any(
            t.number == number and t.level >= level and t.region.coverage(box) >= COVERED
            for t in self._tried
        )

    def _is_tile(self, look: _Tried) -> bool:
        tiles = _tiles(self._images[look.number], look.level)
        return any(look.region.iou(tile) > COVERED for tile in tiles)

    def _lines_of(self, one: Seen) -> Iterator[_Found]:
        for number, image in enumerate(self._images):
            if image.source.digest == one.image.source.digest:
                level = _level_of(one.image.region.area / image.region.area)
                for line in one.lines:
                    short = min(line.box.width, line.box.height)
                    yield _Found(number, line, level, short < SMALL * one.scale)


def _level_of(share: float) -> int:
    """The level of which a tile shows about this part of the image; 0 is the whole."""
    return min((0, *LEVELS), key=lambda level: abs(log(share / (_share(level) if level else 1.0))))


def _tiles(image: Image, level: int) -> list[Box]:
    x1, y1, x2, y2 = image.region
    w, h = (x2 - x1) / level, (y2 - y1) / level
    return [
        Box(
            x1 + w * (column - OVERLAP),
            y1 + h * (row - OVERLAP),
            x1 + w * (column + 1 + OVERLAP),
            y1 + h * (row + 1 + OVERLAP),
        ).intersect(image.region)
        for row in range(level)
        for column in range(level)
    ]


def _share(level: int) -> float:
    """The part of an image that a tile shows."""
    return ((1 + 1.5 * OVERLAP) / level) ** 2


def _calls(trajectory: Trajectory) -> Iterator[ToolCall]:
    return (call for turn in trajectory.turns for call in turn.action.calls if call.name == ZOOM)


def _look_of(call: ToolCall, trajectory: Trajectory, images: Sequence[Image]) -> _Tried | None:
    """What a call of ours asked for; also of one that failed, so that none is repeated."""
    name, box = call.arguments.get("image", "image_1"), box_of(call.arguments.get("bbox_2d"))
    number = next((n for n in range(len(images)) if name == f"image_{n + 1}"), None)
    if number is None or box is None:
        return None
    image = images[number]
    region = image.to_source(trajectory.environment.coords.to_pixels(box, image.size))
    return _Tried(number, region, _level_of(region.area / image.region.area))
