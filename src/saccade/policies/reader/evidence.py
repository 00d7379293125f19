"""The evidence in lines of text: which option they fit, and which lines are the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from saccade.errors import MissingExtra
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.tools.ocr import Line

LEGIBLE = 0.5
"""Confidence from which a line is evidence; the threshold of the OCR library."""
CLEAR = 0.9
"""Confidence from which a line of at least `MIN_WORD` characters is clear by itself."""
MIN_WORD = 3
SHORTEST, SHORTEST_FUZZY = 4, 6
"""Number of characters from which an option can be found at all, and with misread characters."""
SIMILAR = 85.0
"""Similarity in [0, 100] from which a line fits an option."""
MARGIN = 10.0
"""Similarity by which the second best option must be further away."""


class Seen(NamedTuple):
    """An image of the conversation and the lines of text in it."""

    image: Image
    lines: tuple[Line, ...]
    """The lines, with boxes in pixels of the source."""

    @property
    def scale(self) -> float:
        """Number of source pixels along a side of a pixel that was shown."""
        return self.image.region.width / self.image.size.width


class Fit(NamedTuple):
    """An option that a line fits."""

    option: int
    """Its index among the options."""
    line: Line


def is_clear(line: Line) -> bool:
    """Whether a line is clear by itself, whatever the options are."""
    return line.confidence >= CLEAR and len(plain(line.text)) >= MIN_WORD


def clear_option(seen: Sequence[Seen], choices: Sequence[str]) -> Fit | None:
    """The option that a legible line fits, if no other option comes near; else None."""
    return _clear([line for one in seen for line in one.lines], choices)


def can_be_told(choices: Sequence[str]) -> bool:
    """Whether text can decide for any of the options: a line that is the option, word for word."""
    for index, choice in enumerate(choices):
        fit = _clear([Line(choice, Box(0, 0, 1, 1), 1.0)], choices)
        if fit is not None and fit.option == index:
            return True
    return False


def _clear(lines: Sequence[Line], choices: Sequence[str]) -> Fit | None:
    lines = [line for line in lines if line.confidence >= LEGIBLE]
    fits = []
    for index, choice in enumerate(choices):
        scores = [(similarity(choice, line.text), line.confidence, line) for line in lines]
        if scores:
            score, _, line = max(scores, key=lambda s: s[:2])
            fits.append((score, index, line))
    fits.sort(key=lambda fit: -fit[0])
    if not fits or fits[0][0] < SIMILAR:
        return None
    if len(fits) > 1 and fits[0][0] - fits[1][0] <= MARGIN:
        return None
    return Fit(fits[0][1], fits[0][2])


def similarity(option: str, text: str) -> float:
    """How well a line fits an option, in [0, 100], regardless of case and punctuation.

    The option may be a part of the line, but not the line a part of the option. Options of fewer
    than four characters fit nothing, since a "23" may be on any wall. Those of four or five
    characters must occur exactly.
    """
    try:
        from rapidfuzz import fuzz
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "rapidfuzz", "ocr") from error
    a, b = plain(option), plain(text)
    if len(a) < SHORTEST or not b:
        return 0.0
    if len(a) < SHORTEST_FUZZY:
        return 100.0 if a in b else 0.0
    return fuzz.ratio(a, b) if len(b) <= len(a) else fuzz.partial_ratio(a, b)


def best_lines(seen: Sequence[Seen]) -> list[Line]:
    """Legible lines, best first: sure before unsure, words before single letters, each once.

    Among readings of about the same confidence, the closest look comes first.
    """
    ranked = []
    for one in seen:
        for line in one.lines:
            if line.confidence >= LEGIBLE and plain(line.text):
                whole = 0.5 if _cut(line, one) else 1.0
                score = line.confidence * min(1.0, len(plain(line.text)) / 6) * whole
                ranked.append((-round(score, 1), one.scale, line))
    best: list[Line] = []
    for _, _, line in sorted(ranked, key=lambda r: r[:2]):
        if not any(_same(line, other) for other in best):
            best.append(line)
    return best


def _cut(line: Line, seen: Seen) -> bool:
    """Whether the line reaches the edge of what was shown, so that part of it may be missing."""
    region, margin = seen.image.region, 0.005 * seen.image.region.width
    return (
        min(line.box.x1 - region.x1, region.x2 - line.box.x2) < margin
        or min(line.box.y1 - region.y1, region.y2 - line.box.y2) < margin
    )


def _same(line: Line, other: Line) -> bool:
    return line.box.iou(other.box) > 0.3 or (
        plain(line.text) == plain(other.text) and line.box.intersect(other.box).area > 0
    )


def plain(text: str) -> str:
    """The letters and digits of a text, in one case."""
    return "".join(c for c in text.casefold() if c.isalnum())
