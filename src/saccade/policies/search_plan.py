"""Where to look next for text: at what was found but not read, then coarse to fine everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import NamedTuple

from saccade.dialects.inert import inert
from saccade.geometry import Box, Size
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
"""Pixels as shown: larger signs are not illegible for want of a closer look."""
WORD_LIKE = 1.5
"""Length over height from which a shape may be a word."""
HINT = 70.0
"""Similarity in [0, 100] from which an unsure line is near to an option."""
MAGNIFIED = 4.0
"""A part that would be shown enlarged more than this has nothing finer to show."""


class Look(NamedTuple):
    """A region to zoom into, and why."""

    image: int
    """Which image of the conversation, counted from 0."""
    region: Box
    """In pixels of its source."""
    why: str
    begins_level: bool = False
    """Everything coarser was looked at: a moment to decide."""


class _Tried(NamedTuple):
    image: int
    region: Box
    level: int


class _Faint(NamedTuple):
    line: Line
    level: int
    """At which it was seen."""


def zooms_left(trajectory: Trajectory) -> int:
    """Looks that the limits still allow, the last turn kept for the answer; 0 without the tool."""
    environment = trajectory.environment
    if ZOOM not in {tool.name for tool in environment.tools}:
        return 0
    limits = environment.limits
    turns = limits.max_turns - len(trajectory.turns) - 1
    return max(0, min(turns, limits.max_images - len(trajectory.images)))


def next_look(
    trajectory: Trajectory, seen: Sequence[Seen], choices: Sequence[str] = ()
) -> Look | None:
    """The next region, never one that was looked at before; None if there is none."""
    images = [p for m in trajectory.prompt for p in m.content if isinstance(p, Image)]
    tried = [past for call in _calls(trajectory) if (past := _look_of(call, trajectory, images))]
    pixels = trajectory.environment.observation.max_pixels
    if look := next(_hints(images, seen, tried, pixels, choices), None):
        return look
    for level in LEVELS:
        if look := next(_looks(level, images, seen, tried, pixels), None):
            begun = any(t.level == level and _is_tile(t, images[t.image]) for t in tried)
            return look._replace(begins_level=not begun)
    return None


def closer_look(trajectory: Trajectory, seen: Sequence[Seen], line: Line) -> Look | None:
    """A look at a line one level closer; None if it is large or was looked at so."""
    images = [p for m in trajectory.prompt for p in m.content if isinstance(p, Image)]
    tried = [past for call in _calls(trajectory) if (past := _look_of(call, trajectory, images))]
    pixels = trajectory.environment.observation.max_pixels
    for one in seen:
        number = next(n for n, i in enumerate(images) if i.source.digest == one.image.source.digest)
        image, scale = images[number], one.image.region.width / one.image.size.width
        level = _level_of(one.image.region.area / image.region.area)
        finer = next((other for other in LEVELS if other > level), None)
        small = min(line.box.width, line.box.height) < SMALL * scale
        if line not in one.lines or not small or finer is None:
            continue
        if _has_more(image, finer, pixels) and not _was_seen(number, line.box, finer, tried):
            return Look(number, _window(line.box, image, finer), "I look closer to be sure.")
    return None


def _hints(
    images: Sequence[Image],
    seen: Sequence[Seen],
    tried: Sequence[_Tried],
    max_pixels: int,
    choices: Sequence[str],
) -> Iterator[Look]:
    """What nearly fits an option, one level closer."""
    for number, image in enumerate(images):
        for faint in _faint(image, seen):
            finer = [level for level in LEVELS if level > faint.level]
            likely = max((similarity(c, faint.line.text) for c in choices), default=0.0)
            if not finer or likely < HINT or _was_seen(number, faint.line.box, finer[0], tried):
                continue
            if _has_more(image, finer[0], max_pixels):
                why = f'"{inert(faint.line.text[:60])}" is near to an option: I look closer.'
                yield Look(number, _window(faint.line.box, image, finer[0]), why)


def _looks(
    level: int,
    images: Sequence[Image],
    seen: Sequence[Seen],
    tried: Sequence[_Tried],
    max_pixels: int,
) -> Iterator[Look]:
    """What is left to look at on a level: first what was not legible, then all of it."""
    places = [(n, i) for n, i in enumerate(images) if _has_more(i, level, max_pixels)]
    spent = [t for t in tried if t.level == level and not _is_tile(t, images[t.image])]
    if level != LEVELS[0] and len(spent) < CANDIDATES:
        for number, image in places:
            for faint in _faint(image, seen):
                box = faint.line.box
                if not _was_seen(number, box, level, tried):
                    place = ", ".join(f"{v:.0f}" for v in box)
                    why = f"Something like text near [{place}] is not legible: I look closer."
                    yield Look(number, _window(box, image, level), why)
    for number, image in places:
        boxes = [faint.line.box for faint in _faint(image, seen)]
        tiles = [t for t in _tiles(image, level) if not _was_seen(number, t, level, tried)]
        tiles.sort(key=lambda tile: -sum(tile.coverage(box) > COVERED for box in boxes))
        for tile in tiles:
            yield Look(number, tile, f"I go over the image in {level}x{level} parts.")


def _faint(image: Image, seen: Sequence[Seen]) -> list[_Faint]:
    """What looks like a small word and is not clear, the surest first."""
    found = []
    for one in seen:
        if one.image.source.digest != image.source.digest:
            continue
        scale = one.image.region.width / one.image.size.width
        share = one.image.region.area / image.region.area
        for line in one.lines:
            long = max(line.box.width, line.box.height)
            short = min(line.box.width, line.box.height)
            if line.confidence < CLEAR and short < SMALL * scale and long >= WORD_LIKE * short:
                found.append(_Faint(line, _level_of(share)))
    return sorted(found, key=lambda faint: -faint.line.confidence)


def _has_more(image: Image, level: int, max_pixels: int) -> bool:
    """Whether a tile of the level has pixels enough to show more than a coarser one."""
    return image.region.area * _share(level) > max_pixels / MAGNIFIED**2


def _level_of(share: float) -> int:
    """The level of which a tile shows about this part of the image; 0 is the whole."""
    return min((0, *LEVELS), key=lambda level: abs(log(share / (_share(level) if level else 1.0))))


def _was_seen(number: int, box: Box, level: int, tried: Sequence[_Tried]) -> bool:
    return any(
        t.image == number and t.level >= level and t.region.coverage(box) >= COVERED for t in tried
    )


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


def _window(box: Box, image: Image, level: int) -> Box:
    """The part of the image about a box, as large as a tile of the level, or as the box needs."""
    x, y = image.region.x1, image.region.y1
    side = 1 + 2 * OVERLAP
    width = max(image.region.width * side / level, 2 * box.width)
    height = max(image.region.height * side / level, 2 * box.height)
    whole = Size(round(image.region.width), round(image.region.height))
    return box.shift(-x, -y).resize_about_centre(width, height, whole).shift(x, y)


def _share(level: int) -> float:
    """The part of an image that a tile shows."""
    return ((1 + 1.5 * OVERLAP) / level) ** 2


def _is_tile(look: _Tried, image: Image) -> bool:
    return any(look.region.iou(tile) > COVERED for tile in _tiles(image, look.level))


def _calls(trajectory: Trajectory) -> Iterator[ToolCall]:
    return (call for turn in trajectory.turns for call in turn.action.calls if call.name == ZOOM)


def _look_of(call: ToolCall, trajectory: Trajectory, images: Sequence[Image]) -> _Tried | None:
    """What a call of ours asked for; also of one that failed, so that none is repeated."""
    name, value = call.arguments.get("image", "image_1"), call.arguments.get("bbox_2d")
    number = next((n for n in range(len(images)) if name == f"image_{n + 1}"), None)
    if number is None or not isinstance(value, list) or len(value) != 4:
        return None
    image = images[number]
    box = Box(*(float(v) for v in value if isinstance(v, int | float)))
    region = image.to_source(trajectory.environment.coords.to_pixels(box, image.size))
    return _Tried(number, region, _level_of(region.area / image.region.area))
