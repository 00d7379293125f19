"""The smallest digits that a model reads, in images of several sizes.

Where a server shrinks large images, digits of a height that is read in a small image are lost in a
large one. That is how a resized image shows when the model does not write boxes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from pydantic import JsonValue

from saccade.canary.drawing import fits, number_image, size_of
from saccade.canary.findings import Finding, finding
from saccade.canary.probe import Probe, Reply
from saccade.canary.reading import number_in
from saccade.images.geometry import Size

AREAS = (200_000, 800_000, 3_200_000)
"""Number of pixels of the images, where the view allows as many."""
HEIGHTS = (64, 48, 32, 24, 16, 12, 10, 8, 6)
"""Heights of the digits in pixels of the image as it is sent."""
FIGURES = 5
"""Number of digits in an image."""
IMAGES = 2
"""Number of images with digits of a height, and again as many if they are not read."""
SHARE = 0.6
"""Least share of the digits that is read for a height to be legible: what is lost is at chance,
0.1, and a model that misreads one in five is above it."""
LOST = 1.55
"""Digits that must be so many times as tall in a larger image were shrunk with it: two steps of
`HEIGHTS` or more, since one may be chance."""


class Legible(NamedTuple):
    """What is read in images of a size."""

    size: Size
    height: int | None
    """Height in pixels of the smallest digits that are read; None if the largest are not."""
    tokens: int | None
    """Number of prompt tokens, where the server tells it."""
    replies: tuple[str, ...]
    """About the digits that are not read."""
    failed: int = 0
    """Number of the last images to which no reply came."""

    def __str__(self) -> str:
        if self.failed:
            return f"refused in {self.size}"
        return f"{self.height} px in {self.size}" if self.height else f"none in {self.size}"


async def find_legible(probe: Probe, *, seed: int) -> Finding:
    """The smallest legible digits, size by size."""
    sizes = list(dict.fromkeys(size_of(probe.view, area, 4 / 3) for area in AREAS))
    found = await asyncio.gather(*(_smallest(probe, size, seed) for size in sizes))
    text = ", ".join(map(str, found))
    replies = tuple(reply for one in found for reply in one.replies)
    if any(one.failed and (one.height or one.failed < IMAGES) for one in found):
        return finding("legibility", "undecided", "requests failed", replies=replies)
    if all(one.height is None for one in found):
        return finding("legibility", "warning", f"digits that are read: {text}", replies=replies)
    tokens = ", ".join(f"{one.tokens} at {one.size}" for one in found if one.tokens)
    text = f"smallest digits that are read: {text}" + (
        f"; prompt tokens {tokens}" if tokens else ""
    )
    kept = _last_unharmed(found)
    if kept is None:
        return finding("legibility", "ok", text, replies=replies)
    lines: dict[str, JsonValue] = {"environment.view.max_pixels": kept.size.area}
    text += (
        f"; digits must be taller in larger images than {kept.size}, as where they are shrunk "
        "behind the API"
    )
    return finding("legibility", "warning", text, lines=lines, replies=replies)


async def _smallest(probe: Probe, size: Size, seed: int) -> Legible:
    """Go down the heights as long as digits are read."""
    rng, smallest, tokens = random.Random(seed), None, None
    for height in HEIGHTS:
        if not fits("0" * FIGURES, size, height=height):
            continue
        printed = await _print(probe, rng, size, height)
        for _, reply in printed:
            tokens = tokens or (reply.completion.prompt_tokens if reply.completion else None)
        failed = sum(reply.error is not None for _, reply in printed)
        if not failed and _share(printed) < SHARE:
            printed += await _print(probe, rng, size, height)
        if failed or _share(printed) < SHARE:
            lost = tuple(f"{height} px, {size}, {number}: {r.shown}" for number, r in printed)
            return Legible(size, smallest, tokens, lost, failed)
        smallest = height
    return Legible(size, smallest, tokens, ())


async def _print(
    probe: Probe, rng: random.Random, size: Size, height: int
) -> list[tuple[str, Reply]]:
    """Numbers that were printed, each with the reply."""
    numbers = ["".join(rng.choices("0123456789", k=FIGURES)) for _ in range(IMAGES)]
    replies = await probe.ask_all(
        (
            number_image(rng, number, size, height=height),
            f"A number of {FIGURES} digits is printed in this image. Reply with the number alone.",
        )
        for number in numbers
    )
    return list(zip(numbers, replies, strict=True))


def _share(printed: Sequence[tuple[str, Reply]]) -> float:
    """The share of digits that are right, in answers of the right length."""
    answers = ((number, number_in(reply.answer)) for number, reply in printed)
    right = sum(
        a == b
        for number, answer in answers
        if answer is not None and len(answer) == FIGURES
        for a, b in zip(number, answer, strict=True)
    )
    return right / (len(printed) * FIGURES)


def _last_unharmed(found: Sequence[Legible]) -> Legible | None:
    """The largest image before the first in which digits must be taller; None if there is none."""
    for smaller, larger in pairwise(found):
        if smaller.height is None:
            continue
        if larger.height is None or larger.height >= LOST * smaller.height:
            return smaller
    return None
