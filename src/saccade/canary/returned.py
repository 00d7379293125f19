"""Where a server lets its model see the images of tools: in the tool message, or after it."""

from __future__ import annotations

import random

from saccade.canary.drawing import digit_image, size_of
from saccade.canary.findings import Finding, State, counted
from saccade.canary.probe import Probe, Reply
from saccade.canary.reading import digit_in
from saccade.canary.vision import AREA
from saccade.dialects.native import Native
from saccade.images.image import Image
from saccade.types import (
    Action,
    Completion,
    EnvironmentRecord,
    Message,
    ToolCall,
    ToolResult,
    ToolSpec,
    Trajectory,
    Turn,
    WireCall,
)

ASKED = 2
SPEC = ToolSpec(
    name="take_picture",
    description="Take a picture of what is in front of the camera.",
    parameters={"type": "object", "properties": {}},
)


async def find_returned(probe: Probe, place: str, *, seed: int) -> Finding:
    """Whether an image that a tool returned is seen.

    Args:
        probe: Its policy puts the images of tools where it is told to.
        place: Where that is: the value of `policy.tool_images`.
        seed: Seed of the images.
    """
    rng = random.Random(seed)
    right, replies = 0, []
    for _ in range(ASKED):
        digit = rng.choice("0123456789")
        image = digit_image(rng, digit, size_of(probe.view, AREA, 4 / 3))
        reply = await probe.go_on(_after_a_picture(probe, image))
        right += digit_in(reply.answer) == digit
        replies.append(f"{digit}: {reply.shown}")
    state: State = "ok" if right == ASKED else "warning"
    where = "in the tool message" if place == "tool" else "in a user message after the tool's"
    text = f"{where}: {'seen' if right == ASKED else _lost(reply)}"
    return counted(
        f"tool images {place}", state, text, right=right, asked=ASKED, replies=tuple(replies)
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
