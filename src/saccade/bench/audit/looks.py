"""Where an episode looks, and what it would have been with another thing to see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from saccade.images.geometry import Box, Size
from saccade.images.image import Image
from saccade.runs.folder import Entry, RunReader
from saccade.tools.staged import elsewhere, widest_strip
from saccade.tools.zoom import ZOOM
from saccade.types import Message, StopReason, Task, Trajectory

ROOM = 56
"""Number of source pixels that a place beside the objects must have on its shorter side."""


class Look(NamedTuple):
    """A crop that the model was shown."""

    turn: int
    """Number of the turn that called for it."""
    calls: int
    """Number of accepted calls for the zoom before it."""
    crop: Image


def finished(run: Path) -> Iterator[Entry]:
    """The episodes of a run that neither failed on our side nor ran out of wall time."""
    entries = RunReader(run).entries()
    return (entry for entry in entries if not has_failed(entry.trajectory))


def has_failed(trajectory: Trajectory) -> bool:
    """Whether it says nothing about the model."""
    return trajectory.stop in (StopReason.ABORTED, StopReason.TIMEOUT)


def accepted_calls(trajectory: Trajectory) -> int:
    """Number of calls for the zoom that were executed."""
    return sum(result.ok and result.call.name == ZOOM for result in trajectory.results)


def looks(trajectory: Trajectory) -> list[Look]:
    """The crops that an episode was shown, in order."""
    found, calls = [], 0
    for number, turn in enumerate(trajectory.turns):
        for result in turn.results:
            if not result.ok or result.call.name != ZOOM:
                continue
            crop = next((part for part in result.content if isinstance(part, Image)), None)
            if crop is not None and _shows(turn.observation, crop):
                found.append(Look(number, calls, crop))
            calls += 1
    return found


def up_to(trajectory: Trajectory, look: Look) -> Trajectory:
    """The episode up to the observation of a look, under way: the next turn may answer."""
    turns = trajectory.turns[: look.turn + 1]
    return trajectory.model_copy(
        update={
            "turns": turns, "prefix": turns[-1].prefix, "stop": None, "score": None,
            "verdict": None,
        }
    )  # fmt: skip


def replaced(begun: Trajectory, look: Look, shown: Image) -> Trajectory:
    """An episode up to a look, in which another image is shown in its place.

    Args:
        begun: What `up_to` makes.
        look: The look.
        shown: An image of the size of the crop, so that nothing else changes.
    """
    *before, last = begun.turns
    observation = [*last.observation]
    for place in reversed(range(len(observation))):
        content = observation[place].content
        at = [number for number, part in enumerate(content) if part == look.crop]
        if at:
            parts = (*content[: at[-1]], shown, *content[at[-1] + 1 :])
            message: Message = observation[place].model_copy(update={"content": parts})
            observation[place] = message
            break
    turn = last.model_copy(update={"observation": tuple(observation)})
    return begun.model_copy(update={"turns": (*before, turn)})


def another_place(task: Task, trajectory: Trajectory, look: Look) -> Image | None:
    """A place without the asked objects and without what was looked at, at the size of the crop.

    None where the image has too little room beside these.
    """
    source, own = look.crop.source, look.crop.region
    truths = [target.box for target in task.boxes
              if task.images[target.image - 1].source.digest == source.digest]  # fmt: skip
    avoided = [own, *truths]
    if not _has_room(source.size, avoided):
        return None
    rng = np.random.default_rng([trajectory.seed, int(source.digest[:8], 16)])
    region = elsewhere(source.size, own, avoided, rng)
    whole = Image(source, Box(0, 0, *source.size), source.size)
    return Image(source, whole.cut(region).region, look.crop.size)


def has_place_beside(task: Task) -> bool:
    """Whether each image with true boxes has a place that shows nothing of them."""
    boxes: dict[str, list[Box]] = {}
    sizes: dict[str, Size] = {}
    for target in task.boxes:
        source = task.images[target.image - 1].source
        boxes.setdefault(source.digest, []).append(target.box)
        sizes[source.digest] = source.size
    return bool(boxes) and all(_has_room(sizes[name], found) for name, found in boxes.items())


def _shows(observation: Sequence[Message], crop: Image) -> bool:
    return any(part == crop for message in observation for part in message.content)


def _has_room(size: Size, avoided: Sequence[Box]) -> bool:
    strip = widest_strip(size, avoided)
    return min(strip.width, strip.height) >= ROOM
