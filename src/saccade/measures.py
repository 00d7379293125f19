"""Statistics of trajectories with their confidence intervals, computed in this one place.

A demo, a benchmark, a page and a trainer that show the accuracy of the same episodes show the same
number, because it comes from here. Episodes that failed on our side, ran out of time or were not
decided by a judge never enter an average: they are counted in columns of their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import comb, sqrt
from statistics import fmean, median
from typing import Literal, NamedTuple

from pydantic import Field

from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.types import Record, StopReason, Task, Trajectory

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""

Pair = tuple[Task, Trajectory]


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """The 95 % interval of a proportion; (0, 1) if n is 0.

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
    """A paired comparison of two ways to answer the same questions."""

    n: int
    gained: int
    """Number of questions that only the second way answers correctly."""
    lost: int
    """Number of questions that only the first way answers correctly."""
    difference: float
    """Accuracy of the second way minus that of the first."""
    interval: Interval
    """95 % interval of the difference.

    Source: Bonett and Price, J. Educ. Behav. Stat. 37 (2012) 479-488, the adjusted Wald interval.
    """
    p: float
    """Probability under the null hypothesis: McNemar's test, exact and two-sided."""


def paired(before: Sequence[bool], after: Sequence[bool]) -> Paired:
    """Compare two ways to answer the same questions.

    Args:
        before: For each question, whether the first way answers it correctly.
        after: The same for the second way, in the same order.

    Raises:
        ValueError: there is no question, or the lengths differ.
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
    """The exact two-sided p of McNemar's test, in which both kinds of change are as likely."""
    n = gained + lost
    tail = sum(comb(n, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / (1 << n))


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
    for result in trajectory.successes:
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
    """Number of tokens that the model wrote, without observations; None if it is not known."""
    return _total(
        len(turn.completion.token_ids)
        if turn.completion.token_ids is not None
        else turn.completion.completion_tokens
        for turn in trajectory.turns
    )


def prompt_tokens(trajectory: Trajectory) -> int | None:
    """Number of tokens in the prompts of all turns together; None if it is not known."""
    return _total(turn.completion.prompt_tokens for turn in trajectory.turns)


class Summary(Record):
    """The statistics of a set of episodes.

    Accuracy and its interval are of the scored episodes. The other means are of the finished ones:
    those that neither were aborted nor ran out of wall time.
    """

    episodes: int
    aborted: int
    """Number of episodes that failed on our side."""
    timeout: int
    """Number of episodes that ran out of wall time."""
    unscored: int
    """Number of finished episodes without a score: no gold answer, or an undecided judge."""
    abstained: int
    """Number of episodes that the model ended with neither an answer nor a call.

    They are among the scored ones, as incorrect.
    """
    scored: int
    """Number of finished episodes with a score: the n of the accuracy."""
    correct: int
    accuracy: float | None
    low: float | None
    """Lower end of the 95 % interval of the accuracy (Wilson)."""
    high: float | None
    """Upper end of the same interval."""
    score: float | None
    """Mean reward."""
    parts: dict[str, float] = Field(default_factory=dict)
    """Mean of each term of the reward, unweighted."""
    turns: float | None
    tool_calls: float | None
    """Mean number of attempted tool calls per episode."""
    tool_calls_ok: float | None
    """Mean number of successful tool calls per episode."""
    tool_call_rate: float | None
    """Share of episodes with at least one successful tool call."""
    response_tokens: float | None
    """Mean number of tokens that the model wrote per episode."""
    prompt_tokens: float | None
    """Mean number of prompt tokens per episode; each turn reads the earlier ones again."""
    mean_iou: float | None
    """Mean IoU of the best look of an episode, where a true box is known and a look was taken."""
    coverage: float | None
    """Mean share of the true box that the best look of an episode showed, likewise."""
    thought_iou: float | None = None
    """Mean IoU of the box in the first thought, where it names one."""
    seconds: float | None
    """Median wall time of an episode."""
    dropped: int
    """Number of observations that did not fit into the context."""
    stops: dict[str, int]
    """Number of episodes for each stop reason."""
    problems: dict[str, int]
    """Number of format problems of each kind, over all turns."""
    patterns: dict[str, int] = Field(default_factory=dict)
    """Number of finished episodes that show each pattern; see `patterns`."""


class Facts(NamedTuple):
    """What a summary needs of one episode; small, so that processes can exchange it."""

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
    """The best IoU and the best coverage of its looks."""
    thought_iou: float | None
    patterns: tuple[Pattern, ...]
    seconds: float
    dropped: int
    problems: dict[str, int]


def facts(task: Task, trajectory: Trajectory) -> Facts:
    """What a summary needs of an episode."""
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
    """The statistics of a set of episodes."""
    return summary_of([facts(task, trajectory) for task, trajectory in pairs])


def summary_of(episodes: Sequence[Facts]) -> Summary:
    """The statistics of a set of episodes, from the facts of each."""
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
    """Whether the judge decided that the answer is correct; None if it did not decide."""
    if trajectory.score is None or trajectory.verdict is None:
        return None
    return trajectory.verdict.correct


def calls_attempted(trajectory: Trajectory) -> int:
    """Number of calls that were executed, malformed ones included."""
    return len(trajectory.results)


def calls_succeeded(trajectory: Trajectory) -> int:
    """Number of calls whose result was no error and was shown to the model."""
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
