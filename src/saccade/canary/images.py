"""How many images a request may hold, and where a model sees those that tools return.

Some servers take one image and refuse more; others drop all but one, or all beyond some number,
and say nothing. Images of tools go into the tool message or into a user message after it.
"""

from __future__ import annotations

import asyncio
import random
from typing import NamedTuple

from pydantic import JsonValue

from saccade.canary.drawing import digit_image, size_of
from saccade.canary.findings import Finding, counted, finding
from saccade.canary.probe import Probe, Reply
from saccade.canary.reading import digit_in
from saccade.canary.vision import AREA as USUAL
from saccade.dialects.native import Native
from saccade.images.image import Image
from saccade.types import (
    Action,
    Completion,
    EnvironmentRecord,
    Message,
    Part,
    ToolCall,
    ToolResult,
    ToolSpec,
    Trajectory,
    Turn,
    WireCall,
)

COUNTS = (2, 4, 8, 16, 32)
"""Numbers of images that are tried, up to `environment.limits.max_images`."""
AREA = 112 * 112
TRIES = 2
"""Number of requests about each place."""
MORE = 4
"""Number of further requests if one of them came to nothing; half of all must be right."""
PLACES = ("first", "last")
SPEC = ToolSpec(
    name="take_picture",
    description="Take a picture of what is in front of the camera.",
    parameters={"type": "object", "properties": {}},
)


class Held(NamedTuple):
    """What came of requests with some number of images."""

    number: int
    right: dict[str, int]
    """Place -> how often the digit there was read."""
    tries: int
    """Number of requests about each place."""
    replies: tuple[Reply, ...]

    def sees(self, place: str) -> bool:
        """Whether the digit there was read half the time: an image that is dropped never is."""
        return 2 * self.right[place] >= self.tries

    @property
    def works(self) -> bool:
        return all(map(self.sees, PLACES))

    @property
    def errors(self) -> tuple[str, ...]:
        return tuple(reply.error for reply in self.replies if reply.error is not None)


async def count_images(probe: Probe, *, seed: int) -> Finding:
    """The greatest number of images, of those tried, all of which are seen."""
    limit, works = probe.recipe.environment.limits.max_images, 1
    for count in (count for count in COUNTS if count <= limit):
        rng = random.Random(seed * 100 + count)
        held = await _hold(probe, count, rng, TRIES)
        if not held.errors and sum(held.right.values()) < TRIES * len(PLACES):
            more = await _hold(probe, count, rng, MORE)
            right = {place: held.right[place] + more.right[place] for place in PLACES}
            held = Held(count, right, TRIES + MORE, held.replies + more.replies)
        if held.errors or not held.works:
            return _limited(held, works, limit)
        works = count
    text = f"{works} in one request: the first and the last are seen; more were not tried"
    return finding("images", "ok", f"{text} (environment.limits.max_images={limit})")


async def _hold(probe: Probe, count: int, rng: random.Random, tries: int) -> Held:
    size = size_of(probe.view, AREA, 1.0)
    drawn = [_digits(rng, count) for _ in range(tries)]
    asked = [(place, digits) for digits in drawn for place in PLACES]
    prompts: list[list[Part]] = [
        [
            *(digit_image(rng, digit, size) for digit in digits),
            f"There are {count} images, with a digit in each. Which digit is in the {place} "
            "image? Reply with the digit alone.",
        ]
        for place, digits in asked
    ]
    replies = await probe.ask_all(prompts)
    right = dict.fromkeys(PLACES, 0)
    for (place, digits), reply in zip(asked, replies, strict=True):
        right[place] += digit_in(reply.answer) == digits[PLACES.index(place) * -1]
    return Held(count, right, tries, tuple(replies))


def _digits(rng: random.Random, count: int) -> list[str]:
    """Digits of which the first and the last are nowhere else: no other image is right by luck."""
    first, last, *others = rng.sample("0123456789", 10)
    return [first, *rng.choices(others, k=count - 2), last]


def _limited(held: Held, works: int, limit: int) -> Finding:
    shown = tuple(reply.shown for reply in held.replies)
    failed = f"{len(held.errors)} of {len(held.replies)} requests with {held.number} images failed"
    if held.errors and len(held.errors) < len(held.replies):
        return finding("images", "undecided", failed, replies=held.errors)
    seen = [place for place in PLACES if held.sees(place)]
    if held.errors:
        text = f"{works} in one request works, {held.number} are refused"
    else:
        counts = ", ".join(f"{place} {held.right[place]} of {held.tries}" for place in PLACES)
        which = f"only the {seen[0]} is" if seen else "neither the first nor the last is"
        text = f"of {held.number} in one request {which} seen ({counts} right), without an error"
    text += f"; environment.limits.max_images is {limit}: tools that return images need room"
    lines: dict[str, JsonValue] = {"environment.limits.max_images": works}
    return finding("images", "warning", text, lines=lines, replies=shown)


async def find_returned(probe: Probe, place: str, *, seed: int) -> Finding:
    """Whether an image that a tool returned is seen.

    Args:
        probe: Its policy puts the images of tools where it is told to.
        place: Where that is: the value of `policy.tool_images`.
        seed: Seed of the images.
    """
    rng = random.Random(seed)
    right, replies = await _returned(probe, rng, TRIES)
    errors = [reply.error for _, reply in replies if reply.error]
    if right < TRIES and not errors:
        more, others = await _returned(probe, rng, MORE)
        right, replies = right + more, replies + others
    part, where = f"tool images {place}", "in the tool message"
    if place == "user":
        where = "in a user message after the tool's"
    shown = tuple(f"{digit}: {reply.shown}" for digit, reply in replies)
    if errors and len(errors) < len(replies):
        return finding(part, "undecided", f"{where}: a request failed", replies=shown)
    sees = 2 * right >= len(replies)
    said = "seen" if sees else "refused" if errors else "not seen"
    return counted(
        part, "ok" if sees else "warning", f"{where}: {said}", right=right, asked=len(replies),
        replies=shown,
    )  # fmt: skip


async def _returned(
    probe: Probe, rng: random.Random, tries: int
) -> tuple[int, list[tuple[str, Reply]]]:
    """How many digits were read, and each with its reply."""
    digits = [rng.choice("0123456789") for _ in range(tries)]
    size = size_of(probe.view, USUAL, 4 / 3)
    replies = await asyncio.gather(
        *(probe.go_on(_after_a_picture(probe, digit_image(rng, d, size))) for d in digits)
    )
    right = sum(digit_in(r.answer) == d for d, r in zip(digits, replies, strict=True))
    return right, list(zip(digits, replies, strict=True))


def _after_a_picture(probe: Probe, image: Image) -> Trajectory:
    """A conversation in which a tool has returned an image."""
    call = ToolCall(name=SPEC.name, id="call_1")
    result = ToolResult(call=call, content=(image,))
    wire = WireCall(id="call_1", name=SPEC.name, arguments="{}")
    turn = Turn(
        completion=Completion(text="", tool_calls=(wire,)),
        action=Action(calls=(call,)),
        results=(result,),
        observation=Native().observe([result]),
    )
    question = "Take a picture. Which digit is in it? Reply with the digit alone."
    record = EnvironmentRecord(
        fingerprint="", dialect="native", prompts="", tools=(SPEC,), native_tools=True,
        view=probe.view, observation=probe.view, limits=probe.recipe.environment.limits,
    )  # fmt: skip
    return Trajectory(
        id="canary:0",
        task_id="canary",
        environment=record,
        prompt=(Message(role="user", content=(question,)),),
        turns=(turn,),
    )
