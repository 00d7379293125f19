"""How many images a request may hold: the first, and the last, are still seen among so many.

Some servers take one image and refuse more; others drop all but one, or all beyond some number,
and say nothing.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from saccade.canary.drawing import digit_image, size_of
from saccade.canary.findings import Finding, finding
from saccade.canary.probe import Probe, Reply
from saccade.canary.reading import digit_in
from saccade.types import Part

COUNTS = (2, 4, 8, 16, 32)
"""Numbers of images that are tried, up to `environment.limits.max_images`."""
AREA = 112 * 112
TRIES = 2
"""Number of requests about each of the two places."""
PLACES = ("first", "last")


class Held(NamedTuple):
    """What came of requests with some number of images."""

    number: int
    seen: dict[str, bool]
    """Place -> whether the digit there was read every time."""
    refused: str | None
    """Why the server refused them, if it refused all."""
    replies: tuple[str, ...]

    @property
    def works(self) -> bool:
        return all(self.seen.values())


async def count_images(probe: Probe, *, seed: int) -> Finding:
    """The greatest number of images, of those tried, all of which are seen."""
    limit, works = probe.recipe.environment.limits.max_images, 1
    for count in (count for count in COUNTS if count <= limit):
        held = await _hold(probe, count, seed)
        if not held.works:
            return _limited(held, works, limit)
        works = count
    return finding("images", "ok", f"{works} in one request: the first and the last are seen")


async def _hold(probe: Probe, count: int, seed: int) -> Held:
    rng = random.Random(seed * 100 + count)
    size = size_of(probe.view, AREA, 1.0)
    digits = [[rng.choice("0123456789") for _ in range(count)] for _ in range(TRIES)]
    for drawn in digits:  # a server that keeps one image only must not be right by chance
        drawn[0] = rng.choice([d for d in "0123456789" if d != drawn[-1]])
    asked = [(place, drawn) for drawn in digits for place in PLACES]
    prompts: list[list[Part]] = [
        [
            *(digit_image(rng, digit, size) for digit in drawn),
            f"There are {count} images, with a digit in each. Which digit is in the {place} "
            "image? Reply with the digit alone.",
        ]
        for place, drawn in asked
    ]
    replies = await probe.ask_all(prompts)
    right = {
        place: all(
            digit_in(reply.answer) == drawn[0 if place == "first" else -1]
            for (where, drawn), reply in zip(asked, replies, strict=True)
            if where == place
        )
        for place in PLACES
    }
    return Held(count, right, _refusal(replies), tuple(reply.shown for reply in replies))


def _refusal(replies: list[Reply]) -> str | None:
    errors = [reply.error for reply in replies if reply.error is not None]
    return errors[0] if len(errors) == len(replies) else None


def _limited(held: Held, works: int, limit: int) -> Finding:
    lines = {"environment.limits.max_images": works}
    if held.refused is not None:
        text = f"{works} in one request works, {held.number} are refused"
    elif any(held.seen.values()):
        place = "last" if held.seen["last"] else "first"
        text = (
            f"of {held.number} in one request only the {place} is seen, and nothing is said of it"
        )
    else:
        text = f"of {held.number} in one request neither the first nor the last is seen"
    text += f"; environment.limits.max_images is {limit}: tools that return images need room"
    return finding("images", "warning", text, lines=dict(lines), replies=held.replies)
