"""Looks at true boxes, and the patterns of looking more than once."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.types import Task, Trajectory


class Look(NamedTuple):
    """How well the region that a call showed fits a true box."""

    iou: float
    """IoU of the region and the box, in pixels of the source."""
    coverage: float
    """The share of the box that was shown."""


def looks(task: Task, trajectory: Trajectory) -> list[Look]:
    """A `Look` for each image that a call cut out of a question's image with a true box.

    Regions are compared in source pixels, so it does not matter at which size images were shown.
    Images without a place in the source (rotated, or drawn by code) are left out, and so are those
    that did not fit into the context, which the model never saw.
    """
    truth: dict[str, list[Box]] = {}
    for target in task.boxes:
        source = task.images[target.image - 1].source.digest
        truth.setdefault(source, []).append(target.box)
    found = []
    for result in trajectory.executed:
        for part in result.content:
            if isinstance(part, Image) and part.source.digest in truth:
                boxes = truth[part.source.digest]
                iou = max(part.region.iou(box) for box in boxes)
                found.append(Look(iou, max(part.region.coverage(box) for box in boxes)))
    return found


_BOX = re.compile(r"\[" + r",\s*".join([r"(\d{1,5}(?:\.\d{1,4})?)"] * 4) + r"\]")


def thought_iou(task: Task, trajectory: Trajectory) -> float | None:
    """IoU of the first box in the first thought and the true box, on the first image.

    None where no true box is known, or the thought names none. This measures what a model says
    before it decides; no reward uses it.
    """
    thought = trajectory.turns[0].action.thought if trajectory.turns else None
    named = _BOX.search(thought or "")
    boxes = [target.box for target in task.boxes if target.image == 1]
    if named is None or not boxes:
        return None
    shown = trajectory.images[0]
    box = Box(*(float(value) for value in named.groups()))
    region = shown.to_source(trajectory.environment.coords.to_pixels(box, shown.size))
    return max(region.iou(box) for box in boxes)


Pattern = Literal["search", "comparison", "confirmation", "correction"]


def patterns(task: Task, trajectory: Trajectory) -> tuple[Pattern, ...]:
    """The patterns of looking more than once that an episode shows, judged by its regions alone.

    - search: a look at a place that overlaps with no earlier look;
    - comparison: two true boxes, each seen by a look that does not see the other;
    - confirmation: a look inside an earlier one, or around it;
    - correction: the first look saw no true box, and a later one did.

    A look sees a box of which it covers half, and is inside another that covers nine tenths of it.

    Source: DeepEyes (arXiv 2505.14362) names the first three and defines none. The definitions are
    ours, and so is the fourth pattern.
    """
    shown = [part for r in trajectory.executed for part in r.content if isinstance(part, Image)]
    truth = [(task.images[t.image - 1].source.digest, t.box) for t in task.boxes]
    known = {source for source, _ in truth} | {image.source.digest for image in task.images}
    seen: list[tuple[str, Box]] = [
        (image.source.digest, image.region) for image in shown if image.source.digest in known
    ]
    hits = [
        {n for n, (at, box) in enumerate(truth) if at == source and region.coverage(box) >= 0.5}
        for source, region in seen
    ]
    earlier = [
        [region for source, region in seen[:number] if source == own]
        for number, (own, _) in enumerate(seen)
    ]
    found: dict[Pattern, bool] = {
        "search": any(
            before and all(region.iou(b) == 0 for b in before)
            for (_, region), before in zip(seen, earlier, strict=True)
        ),
        "comparison": any(a - b and b - a for a in hits for b in hits),
        "confirmation": any(
            max(b.coverage(region), region.coverage(b)) >= 0.9
            for (_, region), before in zip(seen, earlier, strict=True)
            for b in before
        ),
        "correction": bool(hits and not hits[0] and any(hits)),
    }
    return tuple(name for name, shows in found.items() if shows)
