"""Numbers from trajectories, and how sure one can be of them. The only place that counts.

A demo, a benchmark, a page and a trainer that show the accuracy of the same episodes show the same
number, because it comes from here. Episodes that failed on our side, ran out of time or were not
decided by a judge are never in an average: they are counted in columns of their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import comb, sqrt
from statistics import fmean, median
from typing import Literal, NamedTuple

from pydantic import Field

from saccade.geometry import Box
from saccade.image import Image
from saccade.types import Record, StopReason, Task, Trajectory

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""

Pair = tuple[Task, Trajectory]


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """95 % interval of a proportion; (0, 1) if nothing was counted.

    Source: E. B. Wilson, JASA 22 (1927) 209-212, without continuity correction.
    """
    if n == 0:
        return Interval(0.0, 1.0)
    p, z2 = successes / n, Z_95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(low, high)


class Paired(Record):
    """The same questions asked twice: what the second way changes."""

    n: int
    gained: int
    """Right the second time only."""
    lost: int
    """Right the first time only."""
    difference: float
    """Of the shares that are right, second minus first."""
    interval: Interval
    """95 %: Bonett and Price, J. Educ. Behav. Stat. 37 (2012) 479-488, their adjusted Wald."""
    p: float
    """McNemar's test, exact and two-sided."""


def paired(before: Sequence[bool], after: Sequence[bool]) -> Paired:
    """Compare two ways to answer the same questions.

    Raises:
        ValueError: nothing to compare, or of different length.
    """
    pairs = list(zip(before, after, strict=True))
    if not pairs:
        raise ValueError("paired: nothing to compare")
    n = len(pairs)
    gained, lost = pairs.count((False, True)), pairs.count((True, False))
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = Z_95 * sqrt((up + down - (up - down) ** 2) / (n + 2))
    interval = Interval(max(-1.0, up - down - half), min(1.0, up - down + half))
    return Paired(
        n=n, gained=gained, lost=lost, difference=(gained - lost) / n, interval=interval,
        p=mcnemar(gained, lost),
    )  # fmt: skip


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p of so many changes for better and for worse, were both as likely."""
    n = gained + lost
    tail = sum(comb(n, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / (1 << n))


class Look(NamedTuple):
    """How well what a call showed fits the asked object."""

    iou: float
    """Of the shown region and the true box, in pixels of the photograph."""
    coverage: float
    """The part of the true box that was shown."""


def looks(task: Task, trajectory: Trajectory) -> list[Look]:
    """One for each image that a call cut out of a question's image with a true box.

    Regions are compared in source pixels, so it does not matter at which size images were shown.
    Images that have no place in the photograph (rotated, drawn by code) or did not fit into the
    context are left out: nobody looked at them there.
    """
    truth: dict[str, list[Box]] = {}
    for target in task.boxes:
        source = task.images[target.image - 1].source.digest
        truth.setdefault(source, []).append(target.box)
    found = []
    for result in trajectory.successes:
        for part in result.content:
            if isinstance(part, Image) and part.source.digest in truth:
                boxes = truth[part.source.digest]
                iou = max(part.region.iou(box) for box in boxes)
                found.append(Look(iou, max(part.region.coverage(box) for box in boxes)))
    return found


_BOX = re.compile(r"\[" + r",\s*".join([r"(\d{1,5}(?:\.\d{1,4})?)"] * 4) + r"\]")


def thought_iou(task: Task, trajectory: Trajectory) -> float | None:
    """IoU of the first box that the first thought names and the true one, on the first image.

    None where no box is known, or none is named. A measure of what a model says before it decides;
    no reward reads it.
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
    """Which ways of looking more than once an episode shows, judged by its regions alone.

    - search: a look at a place that overlaps with no earlier one;
    - comparison: two true boxes, each seen by a look that does not see the other;
    - confirmation: a look within what was seen before, or about it;
    - correction: no true box was seen at first, and later one was.

    A look sees a box that it covers by half, and lies within another by nine tenths of its area.
    DeepEyes (arXiv 2505.14362) names the first three and defines none; the definitions are ours,
    and so is the fourth.
    """
    shown = [part for r in trajectory.successes for part in r.content if isinstance(part, Image)]
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


def response_tokens(trajectory: Trajectory) -> int | None:
    """Tokens that the model wrote, observations left out; None if they were not counted."""
    return _total(
        len(turn.completion.token_ids)
        if turn.completion.token_ids is not None
        else turn.completion.completion_tokens
        for turn in trajectory.turns
    )


def prompt_tokens(trajectory: Trajectory) -> int | None:
    """Tokens that the model read, each turn's whole prompt counted; None if they were not."""
    return _total(turn.completion.prompt_tokens for turn in trajectory.turns)


class Summary(Record):
    """What is reported of a set of episodes. Shares are of `scored`, means of `finished`."""

    episodes: int
    aborted: int
    """Failed on our side."""
    timeout: int
    """Ran out of wall time."""
    unscored: int
    """Finished, but without a score: no answer known, or the judge was undecided."""
    abstained: int
    """Ended by their own choice with neither an answer nor a call; in `scored` too, as wrong."""
    scored: int
    correct: int
    accuracy: float | None
    low: float | None
    """Lower end of the 95 % interval of the accuracy (Wilson)."""
    high: float | None
    score: float | None
    """Mean value of the reward."""
    parts: dict[str, float] = Field(default_factory=dict)
    """Mean of each term of the reward, unweighted."""
    turns: float | None
    tool_calls: float | None
    """Attempted tool calls an episode."""
    tool_calls_ok: float | None
    """Tool calls that succeeded, an episode."""
    tool_call_rate: float | None
    """Share of episodes with at least one call that succeeded."""
    response_tokens: float | None
    """Tokens that the model wrote, an episode."""
    prompt_tokens: float | None
    """Tokens that it read, an episode; a later turn reads the earlier ones again."""
    mean_iou: float | None
    """Mean over episodes of the best box, where the true one is known and a look was taken."""
    coverage: float | None
    thought_iou: float | None = None
    """Mean IoU of the box that the first thought names, where it names one."""
    seconds: float | None
    """Median wall time."""
    dropped: int
    """Observations that did not fit."""
    stops: dict[str, int]
    problems: dict[str, int]
    """Format problems by kind, all turns counted."""
    patterns: dict[str, int] = Field(default_factory=dict)
    """Finished episodes that show a way of looking more than once; see `patterns`."""


class Facts(NamedTuple):
    """What is counted of one episode; small, so that processes can send it to each other."""

    stop: StopReason | None
    correct: bool | None
    score: float | None
    parts: dict[str, float]
    turns: int
    tool_calls: int
    tool_calls_ok: int
    response_tokens: int | None
    prompt_tokens: int | None
    look: Look | None
    """The best one."""
    thought_iou: float | None
    patterns: tuple[Pattern, ...]
    seconds: float
    dropped: int
    problems: dict[str, int]


def facts(task: Task, trajectory: Trajectory) -> Facts:
    """What is counted of an episode."""
    score = trajectory.score
    return Facts(
        stop=trajectory.stop,
        correct=is_correct(trajectory),
        score=score.value if score else None,
        parts=score.parts if score else {},
        turns=len(trajectory.turns),
        tool_calls=calls_attempted(trajectory),
        tool_calls_ok=calls_succeeded(trajectory),
        response_tokens=response_tokens(trajectory),
        prompt_tokens=prompt_tokens(trajectory),
        look=_best(looks(task, trajectory)),
        thought_iou=thought_iou(task, trajectory),
        patterns=patterns(task, trajectory),
        seconds=trajectory.seconds,
        dropped=sum(turn.dropped is not None for turn in trajectory.turns),
        problems=_problems(trajectory),
    )


def summary(pairs: Iterable[Pair]) -> Summary:
    """The numbers of a set of episodes."""
    return summary_of([facts(task, trajectory) for task, trajectory in pairs])


def summary_of(episodes: Sequence[Facts]) -> Summary:
    """The numbers of a set of episodes, from what was counted of each."""
    stops = Counter(e.stop.value for e in episodes if e.stop is not None)
    ours = (StopReason.ABORTED, StopReason.TIMEOUT, None)
    finished = [e for e in episodes if e.stop not in ours]
    scored = [e.correct for e in finished if e.correct is not None]
    interval = wilson(sum(scored), len(scored)) if scored else None
    seen = [e.look for e in finished if e.look is not None]
    terms = sorted({term for e in finished for term in e.parts})
    problems: Counter[str] = Counter()
    for episode in episodes:
        problems.update(episode.problems)
    return Summary(
        episodes=len(episodes),
        aborted=stops[StopReason.ABORTED.value],
        timeout=stops[StopReason.TIMEOUT.value],
        unscored=len(finished) - len(scored),
        abstained=stops[StopReason.NO_ACTION.value],
        scored=len(scored),
        correct=sum(scored),
        accuracy=_mean(map(float, scored)),
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        score=_mean(e.score for e in finished if e.score is not None),
        parts={t: fmean(e.parts[t] for e in finished if t in e.parts) for t in terms},
        turns=_mean(e.turns for e in finished),
        tool_calls=_mean(e.tool_calls for e in finished),
        tool_calls_ok=_mean(e.tool_calls_ok for e in finished),
        tool_call_rate=_mean(float(e.tool_calls_ok > 0) for e in finished),
        response_tokens=_mean(e.response_tokens for e in finished if e.response_tokens is not None),
        prompt_tokens=_mean(e.prompt_tokens for e in finished if e.prompt_tokens is not None),
        mean_iou=_mean(look.iou for look in seen),
        coverage=_mean(look.coverage for look in seen),
        thought_iou=_mean(e.thought_iou for e in finished if e.thought_iou is not None),
        seconds=median(e.seconds for e in finished) if finished else None,
        dropped=sum(e.dropped for e in episodes),
        stops=dict(sorted(stops.items())),
        problems=dict(sorted(problems.items())),
        patterns=dict(sorted(Counter(p for e in finished for p in e.patterns).items())),
    )


def summary_by(key: Callable[[Task], str], pairs: Iterable[Pair]) -> dict[str, Summary]:
    """A summary for each value of `key`, in alphabetical order."""
    groups: dict[str, list[Pair]] = {}
    for task, trajectory in pairs:
        groups.setdefault(key(task), []).append((task, trajectory))
    return {name: summary(groups[name]) for name in sorted(groups)}


def is_correct(trajectory: Trajectory) -> bool | None:
    """The judge's decision; None if there is none."""
    if trajectory.score is None or trajectory.verdict is None:
        return None
    return trajectory.verdict.correct


def calls_attempted(trajectory: Trajectory) -> int:
    """Calls that were executed, malformed ones included."""
    return len(trajectory.results)


def calls_succeeded(trajectory: Trajectory) -> int:
    """Calls whose result was no error and was shown to the model."""
    return len(trajectory.successes)


def _best(found: list[Look]) -> Look | None:
    if not found:
        return None
    return Look(max(look.iou for look in found), max(look.coverage for look in found))


def _problems(trajectory: Trajectory) -> dict[str, int]:
    kinds = (p.kind.value for turn in trajectory.turns for p in turn.action.problems)
    return dict(Counter(kinds))


def _total(counts: Iterable[int | None]) -> int | None:
    """The sum; None if there is nothing to sum or a part of it is unknown."""
    listed = list(counts)
    known = [count for count in listed if count is not None]
    return sum(known) if known and len(known) == len(listed) else None


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return fmean(listed) if listed else None
