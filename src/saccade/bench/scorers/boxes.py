"""A box in an answer, and how well it fits the true one.

What is read: four numbers in brackets, two corners in brackets of their own, the keys x1, y1, x2
and y2, or an answer that holds four numbers and no other. Two opposite corners name a box in either
order. The numbers are in the frame of the run (`CoordSpace`), on the first image of the question as
it was shown; nothing is guessed from their size. What overhangs the image is cut off. Wrong, with
the reason and an IoU of 0: no box, several that differ, and a box that is empty or lies outside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from saccade.bench.benchmark import ALL, Benchmark, Scored, unit_of
from saccade.images.geometry import Box, CoordSpace
from saccade.images.image import Image
from saccade.measures.means import RESAMPLES, SEED, Metric, means_by
from saccade.types import TargetBox, Task, Trajectory, Verdict

HIT = 0.5
"""The least IoU of a hit. Source: Yu et al. 2016 (arXiv 1608.00272), section 5.2."""
ACCURACY = f"Acc@{HIT}"
MAX_CHARS = 20_000
"""Only the first of a longer answer are read."""

_N = r"([-+]?(?:\d{1,7}(?:\.\d{0,12})?|\.\d{1,12}))"
_APART = r"(?:\s*,\s*|\s+)"
_OPEN, _CLOSE = r"[\[(<]\s*", r"\s*[\])>]"
_FOUR = _OPEN + _APART.join([_N] * 4) + _CLOSE
_CORNER = _OPEN + _N + _APART + _N + _CLOSE
_CORNERS = rf"{_CORNER}\s*,?\s*{_CORNER}"
_KEYS = r"\W{1,4}".join(rf"\b{key}\b\W{{1,4}}?{_N}" for key in ("x1", "y1", "x2", "y2"))
_WRITTEN = re.compile(f"{_FOUR}|{_CORNERS}|{_KEYS}", re.IGNORECASE)
_ANY = re.compile(r"(?<![\w.])" + _N)


class Reading(NamedTuple):
    """The box of an answer."""

    box: Box | None
    """As it is written: x1 < x2 and y1 < y2, in the frame of the run."""
    reason: str = ""
    """Why there is none."""


def read_box(answer: str) -> Reading:
    """The one box that an answer names. Never raises."""
    text = answer[:MAX_CHARS]
    found = [[float(n) for n in match.groups() if n] for match in _WRITTEN.finditer(text)]
    if not found and len(numbers := _ANY.findall(text)) == 4:
        found = [[*map(float, numbers)]]
    boxes = {Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)) for x1, y1, x2, y2 in found}
    if len(boxes) != 1:
        return Reading(None, f"it names {len(boxes)} boxes" if boxes else "it names no box")
    box = boxes.pop()
    return Reading(box) if box.area else Reading(None, "its box is empty")


def in_source(box: Box, shown: Image, coords: CoordSpace) -> Box:
    """A box of an answer in pixels of the image file, cut at the border of what was shown."""
    return shown.to_source(coords.to_pixels(box, shown.size)).intersect(shown.region)


def answer_of(target: TargetBox) -> str:
    """A true box as the gold answer: in pixels of the image file."""
    return f"[{', '.join(f'{round(side, 2):g}' for side in target.box)}]"


class BoxBenchmark(Benchmark):
    """A benchmark whose answers are boxes: the grade is the IoU, and a hit is one of 0.5 or more.

    A task has one true box, on its first image.
    """

    headline: ClassVar[str] = ACCURACY

    coords: CoordSpace = CoordSpace.ABSOLUTE
    """The frame of answers without an episode, such as the predictions of other harnesses; pixels
    are then those of the image file. In an episode the frame of the run counts."""

    async def judge(self, task: Task, answer: str) -> Verdict:
        """The verdict on an answer that belongs to no episode."""
        return fit(task, answer, task.images[0], self.coords)

    async def judge_episode(self, task: Task, trajectory: Trajectory) -> Verdict:
        """The verdict in the frame of the run, on the image as it was shown."""
        shown = shown_first(task, trajectory)
        return fit(task, trajectory.answer or "", shown, trajectory.environment.coords)

    def metrics(self, scored: Sequence[Scored]) -> list[Metric]:
        """Share of hits and mean IoU, of all and by group."""
        groups = self.grouped(scored)
        hits = {g: [(unit, float(v >= HIT)) for unit, v in pairs] for g, pairs in groups.items()}
        return [*means_by(ACCURACY, hits), *means_by("mean IoU", groups)]


def shown_first(task: Task, trajectory: Trajectory) -> Image:
    """The first image of a question as it was shown in an episode."""
    source = task.images[0].source.digest
    return next((i for i in trajectory.images if i.source.digest == source), task.images[0])


def fit(task: Task, answer: str, shown: Image, coords: CoordSpace) -> Verdict:
    """The verdict on a box."""
    judge = f"iou>={HIT}:{coords.value}"
    read = read_box(answer)
    if read.box is None:
        return Verdict(correct=False, grade=0.0, reason=read.reason, judge=judge)
    box = in_source(read.box, shown, coords)
    if not box.area:
        reason = f"its box is outside of the image of {shown.size}"
        return Verdict(correct=False, grade=0.0, reason=reason, judge=judge)
    iou = min(1.0, box.iou(task.boxes[0].box))
    return Verdict(correct=iou >= HIT, grade=iou, reason=f"IoU {iou:.3f}", judge=judge)


def cumulative_iou(scored: Sequence[Scored], group: str = ALL) -> Metric:
    """The areas that predicted and true boxes share, over those that they cover together.

    Its interval is the percentile bootstrap over units.

    Source: LISA (arXiv 2308.00692), section 4.1, where it is of masks; here it is of boxes.
    """
    units: dict[str, list[float]] = {}
    judged = [one for one in scored if one.value is not None]
    for one in judged:
        shared, covered = _areas(one)
        sums = units.setdefault(unit_of(one.task), [0.0, 0.0])
        sums[0] += shared
        sums[1] += covered
    name, n = "cIoU", len(judged)
    if not n:
        return Metric(name=name, group=group, value=None, n=0, units=0)
    sums_U2 = np.array([*units.values()])
    shared, covered = sums_U2.sum(axis=0)
    low, high = 0.0, 1.0
    if len(units) > 1:
        rng = np.random.default_rng(SEED)
        drawn = (sums_U2[rng.integers(len(units), size=len(units))] for _ in range(RESAMPLES))
        ratios = [s / c for s, c in (sums.sum(axis=0) for sums in drawn)]
        low, high = np.quantile(ratios, [0.025, 0.975])
    return Metric(
        name=name, group=group, value=float(shared / covered), low=float(low), high=float(high),
        n=n, units=len(units), method="bootstrap",
    )  # fmt: skip


def _areas(one: Scored) -> tuple[float, float]:
    """The area that the box of an attempt shares with the true one, and what both cover."""
    truth, trajectory = one.task.boxes[0].box, one.trajectory
    read = read_box(trajectory.answer or "")
    if read.box is None:
        return 0.0, truth.area
    shown = shown_first(one.task, trajectory)
    box = in_source(read.box, shown, trajectory.environment.coords)
    shared = box.intersect(truth).area
    return shared, box.area + truth.area - shared
