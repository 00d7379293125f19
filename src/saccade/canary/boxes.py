"""Boxes asked of a model: about rectangles that are drawn, or by its own zooms into scenes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from pydantic import JsonValue

from saccade.canary.drawing import COLOURS, rectangle_image, size_of
from saccade.canary.findings import Finding, counted
from saccade.canary.frames import Form, Frame, Located, Told, targets, tell_frame
from saccade.canary.probe import Probe
from saccade.canary.reading import box_in
from saccade.dialects.base import COORDS
from saccade.env import Environment
from saccade.images.geometry import CoordSpace, box_of
from saccade.rollout import rollout
from saccade.types import Policy, Sampling, Task, Trajectory
from saccade.world import tasks

SHAPES = ((150_000, 3 / 2), (600_000, 1 / 2), (2_400_000, 3 / 4))
"""Number of pixels, and width over height, of the images: small, usual, large."""
OF_EACH = 2
"""Number of targets on images of each shape."""
ASKED = len(SHAPES) * OF_EACH
ZOOMED = 6
"""Number of scenes that a model of the world is shown."""


async def find_frame(probe: Probe, *, seed: int) -> Finding:
    """The frame of a model that reads drawings.

    It is asked as the run asks, with the sentence about the frame that the environment says. If
    its boxes fit none, it is asked without any such sentence.
    """
    wanted = probe.recipe.environment.coords
    located = await _locate(probe, COORDS[wanted], seed)
    told = tell_frame(located)
    if told.frame is None:
        more = await _locate(probe, "", seed)
        if (freely := tell_frame(more)).frame is not None:
            located, told = more, freely
    if told.frame is not None and told.frame.form is not Form.CORNERS:  # to say it may help
        space = told.frame.space
        more = await _locate(probe, COORDS[space], seed)
        again = tell_frame(more)
        if again.frame == Frame(space):
            located, told = more, again
    return frame_finding(told, wanted, [one.shown for one in located])


async def find_frame_of_zooms(
    policy: Policy,
    environment: Environment,
    *,
    sampling: Sampling,
    seed: int,
    on_reply: Callable[[], None] = lambda: None,
) -> Finding:
    """The frame of an embedded model: that of the boxes that it looks into, in scenes."""

    async def look(task: Task) -> Located:
        played = await rollout(policy, environment, task, sampling=sampling)
        on_reply()
        image = played.images[0]
        target = image.from_source(task.boxes[0].box)
        written = _first_call(played)
        return Located(target, image.size, written, str(list(written or ())))

    scenes = tasks("read0", n=ZOOMED, seed=seed, split="test")
    located = await asyncio.gather(*map(look, scenes))
    shown = [one.shown for one in located]
    return frame_finding(tell_frame(located), environment.record.coords, shown)


def frame_finding(told: Told, wanted: CoordSpace, shown: Sequence[str]) -> Finding:
    """What is to be said of a frame, beside the one that the environment reads."""
    evidence = {"right": told.fits, "asked": told.asked, "replies": tuple(shown)}
    if told.frame is None:
        text = "no frame explains the boxes: the model does not point, or points badly"
        if told.asked and not told.boxes:
            text = "no reply holds a box that can be read"
        return counted("frame", "undecided", text, **evidence)  # type: ignore[arg-type]
    space = told.frame.space
    text = f"boxes are {told.frame} (mean IoU {told.iou:.2f})"
    if told.frame.form is not Form.CORNERS:
        text += f"; no setting reads them, and asking for {Form.CORNERS} did not help"
        return counted("frame", "warning", text, **evidence)  # type: ignore[arg-type]
    if told.everywhere:
        factor = told.resized[0].factor
        text += f", times about {factor:.2g} whatever the size of the image; no setting reads them"
        return counted("frame", "warning", text, **evidence)  # type: ignore[arg-type]
    lines: dict[str, JsonValue] = {"environment.coords": space.value, **_budgets(told)}
    if told.resized:
        text += f", of images that seem to be resized behind the API: {_sizes(told)}"
    if space is not wanted:
        text += f"; environment.coords={wanted.value} misreads them"
    state = "warning" if space is not wanted or told.resized else "ok"
    return counted("frame", state, text, lines=lines, **evidence)  # type: ignore[arg-type]


def _budgets(told: Told) -> dict[str, JsonValue]:
    """The least and the greatest number of pixels that a server leaves alone, as it shows them."""
    kept = [(s.factor, round(s.size.area * s.factor**2)) for s in told.resized]
    shrunk = [area for factor, area in kept if factor < 1]
    grown = [area for factor, area in kept if factor > 1]
    most: dict[str, JsonValue] = {"environment.view.max_pixels": min(shrunk)} if shrunk else {}
    return most | ({"environment.view.min_pixels": max(grown)} if grown else {})


def _sizes(told: Told) -> str:
    return ", ".join(
        f"{s.size} as about {s.size.width * s.factor:.0f}x{s.size.height * s.factor:.0f}"
        for s in told.resized
    )


async def _locate(probe: Probe, sentence: str, seed: int) -> list[Located]:
    """The boxes that a model writes about drawn rectangles."""
    rng = random.Random(seed)
    drawn = []
    for area, ratio in SHAPES:
        size = size_of(probe.view, area, ratio)
        for box, _ in zip(targets(rng, size), range(OF_EACH), strict=False):
            drawn.append((box, size, rng.choice(list(COLOURS))))
    replies = await probe.ask_all(
        (
            rectangle_image(box, colour, size),
            f"Where is the {colour} rectangle? Reply with its bounding box alone, as JSON: "
            f'{{"bbox_2d": [x1, y1, x2, y2]}}. {sentence}'.rstrip(),
        )
        for box, size, colour in drawn
    )
    return [
        Located(box, size, box_in(reply.answer), f"{size} {[*map(int, box)]}: {reply.shown}")
        for (box, size, _), reply in zip(drawn, replies, strict=True)
    ]


def _first_call(trajectory: Trajectory) -> tuple[float, float, float, float] | None:
    calls = (call for turn in trajectory.turns for call in turn.action.calls)
    box = next((box_of(call.arguments.get("bbox_2d")) for call in calls), None)
    return None if box is None else tuple(box)  # type: ignore[return-value]
