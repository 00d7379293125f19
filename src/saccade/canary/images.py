"""How many images a request may hold, and where a model sees those that tools return.

Some servers take one image and refuse more; others drop all but one, or all beyond some number,
and say nothing. Images of tools go into the tool message or into a user message after it.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from saccade.canary.drawing import digit_image, size_of
from saccade.canary.findings import Finding, State, counted, finding
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
"""Number of requests about each of the two places."""
PLACES = ("first", "last")
RETURNED = 2
"""Number of pictures that a tool returns."""
SPEC = ToolSpec(
    name="take_picture",
    description="Take a picture of what is in front of the camera.",
    parameters={"type": "object", "properties": {}},
)


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


async def find_returned(probe: Probe, place: str, *, seed: int) -> Finding:
    """Whether an image that a tool returned is seen.

    Args:
        probe: Its policy puts the images of tools where it is told to.
        place: Where that is: the value of `policy.tool_images`.
        seed: Seed of the images.
    """
    rng = random.Random(seed)
    right, replies = 0, []
    for _ in range(RETURNED):
        digit = rng.choice("0123456789")
        image = digit_image(rng, digit, size_of(probe.view, USUAL, 4 / 3))
        reply = await probe.go_on(_after_a_picture(probe, image))
        right += digit_in(reply.answer) == digit
        replies.append(f"{digit}: {reply.shown}")
    state: State = "ok" if right == RETURNED else "warning"
    where = "in the tool message" if place == "tool" else "in a user message after the tool's"
    text = f"{where}: {'seen' if right == RETURNED else _lost(reply)}"
    return counted(
        f"tool images {place}", state, text, right=right, asked=RETURNED, replies=tuple(replies)
    )


def _lost(reply: Reply) -> str:
    return "not seen" if reply.error is None else "refused"


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
