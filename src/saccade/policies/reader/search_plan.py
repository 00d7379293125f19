"""The plan of a search for text: first what was found but not read, then coarse to fine tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import NamedTuple

from saccade.images.geometry import Box, Size, box_of
from saccade.images.image import Image
from saccade.policies.reader.evidence import CLEAR, Seen, similarity
from saccade.tools.ocr import Line
from saccade.types import ToolCall, Trajectory
from saccade.untrusted.inert import inert

ZOOM = "image_zoom_in_tool"
LEVELS = (2, 4, 6)
"""Number of tiles along a side of the image, for each level of the search."""
OVERLAP = 0.15
"""Share of its side by which a tile reaches into each of its neighbours."""
CANDIDATES = 4
"""Number of looks at what was found but not read, before the tiles of a level."""
COVERED = 0.9
"""Share of a region from which a look at as fine a scale counts as a look at the region."""
SMALL = 32.0
"""Height in shown pixels below which text may become legible in a closer look."""
WORD_LIKE = 1.5
"""Length over height from which a shape may be a word."""
HINT = 70.0
"""Similarity in [0, 100] from which an unsure line is near to an option."""
MAGNIFIED = 4.0
"""Magnification beyond which a closer look shows nothing finer."""
SURE = "I look closer to be sure."


class Look(NamedTuple):
    """A region to zoom into, and the reason."""

    number: int
    """Index of the image among those of the question."""
    region: Box
    """The region in pixels of its source."""
    why: str
    begins_level: bool = False
    """Whether all coarser levels are finished, which is the moment to decide."""


class _Tried(NamedTuple):
    number: int
    """Index of the image among those of the question."""
    region: Box
    level: int


class _Found(NamedTuple):
    """A line and the look that saw it."""

    number: int
    line: Line
    level: int
    small: bool
    """Whether a closer look may show more of it."""


def out_of_looks(trajectory: Trajectory) -> str | None:
    """Why the environment allows no further look before the answer; None if it allows one."""
    environment = trajectory.environment
    limits = environment.limits
    if ZOOM not in {tool.name for tool in environment.tools}:
        return "this run has no zoom tool"
    if len(trajectory.turns) + 1 >= limits.max_turns:
        return f"this is my last turn (environment.limits.max_turns={limits.max_turns})"
    if len(trajectory.images) >= limits.max_images:
        return f"no more images fit (environment.limits.max_images={limits.max_images})"
    return None


class Search:
    """The state of a search, a function of the trajectory: the looks so far and their lines."""

    def __init__(self, trajectory: Trajectory, seen: Sequence[Seen]) -> None:
        parts = (part for message in trajectory.prompt for part in message.content)
        self._images = [part for part in parts if isinstance(part, Image)]
        self._max_pixels = trajectory.environment.observation.max_pixels
        past = (_look_of(call, trajectory, self._images) for call in _calls(trajectory))
        self._tried = [look for look in past if look is not None]
        self._found = [found for one in seen for found in self._lines_of(one)]

    def next_look(self, choices: Sequence[str] = ()) -> Look | None:
        """The next look, never at a region that was looked at before; None if none is left."""
        if look := next(self._hints(choices), None):
            return look
        for level in LEVELS:
            if look := next(self._looks(level), None):
                begun = any(t.level == level and self._is_tile(t) for t in self._tried)
                return look._replace(begins_level=not begun)
        return None

    def closer_look(self, line: Line) -> Look | None:
        """A look at a line one level closer; None if it is large or was looked at so closely."""
        seen = (found for found in self._found if found.line == line and found.small)
        return next((look for found in seen if (look := self._closer(found, SURE))), None)

    def _hints(self, choices: Sequence[str]) -> Iterator[Look]:
        """Looks one level closer at the lines that nearly fit an option."""
        for found in self._faint():
            likely = max((similarity(c, found.line.text) for c in choices), default=0.0)
            why = f'"{inert(found.line.text[:60])}" is near to an option: I look closer.'
            if likely >= HINT and (look := self._closer(found, why)):
                yield look

    def _looks(self, level: int) -> Iterator[Look]:
        """The looks that a level has left: first at illegible lines, then at its tiles."""
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
        """A look at a line and around it, as large as a tile of the level or as the line needs."""
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
        """The lines that look like small words and are not clear, by image, surest first."""
        faint = []
        for found in self._found:
            short, long = sorted((found.line.box.width, found.line.box.height))
            if found.line.confidence < CLEAR and found.small and long >= WORD_LIKE * short:
                faint.append(found)
        return sorted(faint, key=lambda found: (found.number, -found.line.confidence))

    def _is_new(self, number: int, box: Box, level: int) -> bool:
        """Whether a look at this level would show more of the box than all looks so far."""
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
    """The level whose tiles show about this share of the image; 0 for the whole image."""
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
    """The share of an image that a tile of a level shows."""
    return ((1 + 1.5 * OVERLAP) / level) ** 2


def _calls(trajectory: Trajectory) -> Iterator[ToolCall]:
    return (call for turn in trajectory.turns for call in turn.action.calls if call.name == ZOOM)


def _look_of(call: ToolCall, trajectory: Trajectory, images: Sequence[Image]) -> _Tried | None:
    """The look that an earlier call requested; failed ones count, so that none is repeated."""
    name, box = call.arguments.get("image", "image_1"), box_of(call.arguments.get("bbox_2d"))
    number = next((n for n in range(len(images)) if name == f"image_{n + 1}"), None)
    if number is None or box is None:
        return None
    image = images[number]
    region = image.to_source(trajectory.environment.coords.to_pixels(box, image.size))
    return _Tried(number, region, _level_of(region.area / image.region.area))
