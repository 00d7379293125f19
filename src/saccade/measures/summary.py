"""Statistics of trajectories with their confidence intervals, computed in this one place.

A demo, a benchmark, a page and a trainer that show the accuracy of the same episodes show the same
number, because it comes from here. Episodes that failed on our side, ran out of time or were not
decided by a judge never enter an average: they are counted in columns of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, median, pstdev
from typing import NamedTuple

from pydantic import Field

from saccade.measures.boxes import Look, Pattern, looks, patterns, thought_iou
from saccade.measures.intervals import wilson_of_clusters
from saccade.types import Record, StopReason, Task, Trajectory

Pair = tuple[Task, Trajectory]


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
    """Number of finished episodes without a score: no gold answer, an undecided judge, or a reward
    that failed."""
    undecided: int = 0
    """Number of finished episodes on whose answer no judge decided.

    They are among the unscored ones; where `reward.unread` says that such an answer is wrong, as in
    a training, among the scored ones, as incorrect.
    """
    abstained: int
    """Number of episodes that the model ended with neither an answer nor a call.

    They are among the scored ones, as incorrect.
    """
    scored: int
    """Number of finished episodes with a score: the n of the accuracy."""
    tasks: int | None = None
    """Number of tasks that the scored episodes attempt: fewer than these with several samples of a
    task; None in summaries that were kept before it was counted."""
    correct: int
    accuracy: float | None
    accuracy_at_least: float | None = None
    """What the accuracy would be if every undecided answer were wrong: where answers are undecided,
    the accuracy is of the others, which may be the easier ones."""
    low: float | None
    """Lower end of the 95 % interval of the accuracy: Wilson's, in which samples of one task are no
    independent trials; see `wilson_of_clusters`."""
    high: float | None
    """Upper end of the same interval."""
    score: float | None
    """Mean reward."""
    parts: dict[str, float] = Field(default_factory=dict)
    """Mean of each term of the reward, unweighted."""
    turns: float | None
    tool_calls: float | None
    """Mean number of attempted tool calls per episode."""
    tool_calls_std: float | None = None
    """Standard deviation of that number between episodes, not its uncertainty."""
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

    @property
    def repeated(self) -> bool:
        """Whether several samples of a task are scored, so that n counts more than tasks."""
        return self.tasks is not None and self.tasks < self.scored

    @property
    def left_open(self) -> bool:
        """Whether answers were left out of the accuracy because no judge decided."""
        return self.accuracy_at_least is not None and self.accuracy_at_least != (self.accuracy or 0)


class Facts(NamedTuple):
    """What a summary needs of one episode; small, so that processes can exchange it."""

    task: str
    """Id of its task."""
    stop: StopReason | None
    correct: bool | None
    undecided: bool
    """Whether no judge decided on its answer."""
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
        task=task.id,
        stop=trajectory.stop,
        correct=is_correct(trajectory),
        undecided=is_undecided(trajectory),
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
    samples: dict[str, list[bool]] = {}
    for e in finished:
        if e.correct is not None:
            samples.setdefault(e.task, []).append(e.correct)
    by_task = samples.values()
    interval = wilson_of_clusters([*map(sum, by_task)], [*map(len, by_task)]) if scored else None
    seen = [e.look for e in finished if e.look is not None]
    terms = sorted({term for e in finished for term in e.parts})
    problems: Counter[str] = Counter()
    for episode in episodes:
        problems.update(episode.problems)
    open_ = sum(e.undecided and e.correct is None for e in finished)
    judged = len(scored) + open_
    return Summary(
        episodes=len(episodes),
        aborted=stops[StopReason.ABORTED.value],
        timeout=stops[StopReason.TIMEOUT.value],
        unscored=len(finished) - len(scored),
        undecided=sum(e.undecided for e in finished),
        abstained=stops[StopReason.NO_ACTION.value],
        scored=len(scored),
        tasks=len(samples),
        correct=sum(scored),
        accuracy=_mean(map(float, scored)),
        accuracy_at_least=sum(scored) / judged if judged else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        score=_mean(e.score for e in finished if e.score is not None),
        parts={t: fmean(e.parts[t] for e in finished if t in e.parts) for t in terms},
        turns=_mean(e.turns for e in finished),
        tool_calls=_mean(e.tool_calls for e in finished),
        tool_calls_std=pstdev(e.tool_calls for e in finished) if finished else None,
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


def is_undecided(trajectory: Trajectory) -> bool:
    """Whether judges were asked and none decided, even if the answer counts as wrong for that."""
    verdict = trajectory.verdict
    return verdict is not None and (verdict.correct is None or verdict.unread)


def calls_attempted(trajectory: Trajectory) -> int:
    """Number of calls that were executed, malformed ones included."""
    return len(trajectory.results)


def calls_succeeded(trajectory: Trajectory) -> int:
    """Number of calls that gave the model something new: `Trajectory.successes`."""
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
