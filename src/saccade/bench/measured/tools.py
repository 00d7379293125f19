"""How the episodes of a group used their tools, and how well they looked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from saccade.bench.benchmark import ALL
from saccade.bench.measured.attempts import Attempt
from saccade.bench.measured.searches import Searches, is_search, searches
from saccade.measures.boxes import looks
from saccade.measures.means import Metric, mean_of
from saccade.types import Record


class Calls(Record):
    """The calls of one tool, or of all."""

    tool: str
    attempted: int
    succeeded: int
    """Number of calls that showed something new; see `Trajectory.successes`."""
    refused: int
    """Number of calls that were no valid call: a malformed one, an unknown tool, wrong
    arguments."""
    failed: int
    """Number of calls that were carried out in vain, such as code that raised."""
    episodes: int
    """Number of episodes with a call of it."""


class ToolUse(Record):
    """How the finished episodes of a group used their tools. Rates have their intervals."""

    group: str
    episodes: int
    calls: Calls
    by_tool: tuple[Calls, ...]
    """In alphabetical order."""
    call_rate: Metric
    """Share of the episodes with at least one call."""
    invalid_rate: Metric
    """Share of the calls that were refused."""
    recovery: Metric
    """Of the scored episodes with a refused or failed call, the share that ends right."""
    search_ratio: Metric
    """Share of the episodes with a call of a tool that searches."""
    after_search: Metric
    """Of the scored episodes with such a call, the share that ends right."""
    searches: Searches | None = None
    """What was found; None where no episode searched with a tool that keeps it."""


class Grounding(Record):
    """How well the finished episodes of a group looked, where true boxes are known."""

    group: str
    boxed: int
    """Number of episodes whose question has a true box."""
    looked: Metric
    """Share of these that were shown a region of that image."""
    best_iou: Metric
    """IoU of the best region with a true box, of the episodes that looked."""
    coverage: Metric
    """Share of the true box that the best region shows, likewise."""


def tool_use(group: str, attempts: Sequence[Attempt]) -> ToolUse:
    """How the finished episodes of a group used their tools."""
    done = [a for a in attempts if a.finished]
    held = [(a, a.trajectory.results) for a in done]
    stumbled = [a for a, results in held if any(r.failed for r in results) and _is_scored(a)]
    searched = [(a, any(map(is_search, results))) for a, results in held]
    refusals = [(a.unit, float(not r.ok)) for a, results in held for r in results]
    after = [a for a, did in searched if did and _is_scored(a)]
    names = sorted({r.call.name for _, results in held for r in results})
    return ToolUse(
        group=group,
        episodes=len(done),
        calls=_calls(ALL, done, set(names)),
        by_tool=tuple(_calls(name, done, {name}) for name in names),
        call_rate=_share("call rate", group, ((a, bool(results)) for a, results in held)),
        invalid_rate=mean_of("invalid-call rate", group, refusals),
        recovery=_share("error recovery", group, ((a, bool(a.correct)) for a in stumbled)),
        search_ratio=_share("search ratio", group, searched),
        after_search=_share("right after a search", group, ((a, bool(a.correct)) for a in after)),
        searches=searches(group, done),
    )


def grounding(group: str, attempts: Sequence[Attempt]) -> Grounding | None:
    """How well the finished episodes of a group looked; None where no true box is known."""
    boxed = [a for a in attempts if a.finished and a.task.boxes]
    if not boxed:
        return None
    found = [(a, looks(a.task, a.trajectory)) for a in boxed]
    seen = [(a.unit, of) for a, of in found if of]
    best = [(unit, max(look.iou for look in of)) for unit, of in seen]
    covered = [(unit, max(look.coverage for look in of)) for unit, of in seen]
    return Grounding(
        group=group,
        boxed=len(boxed),
        looked=_share("looked", group, ((a, bool(of)) for a, of in found)),
        best_iou=mean_of("best-crop IoU", group, best),
        coverage=mean_of("target coverage", group, covered),
    )


def _calls(tool: str, done: Sequence[Attempt], names: Collection[str]) -> Calls:
    attempted = succeeded = refused = failed = episodes = 0
    for attempt in done:
        results = [result for result in attempt.trajectory.results if result.call.name in names]
        attempted += len(results)
        if results:
            succeeded += sum(result.call.name in names for result in attempt.trajectory.successes)
        refused += sum(not result.ok for result in results)
        failed += sum(result.ok and result.failed for result in results)
        episodes += bool(results)
    return Calls(
        tool=tool, attempted=attempted, succeeded=succeeded, refused=refused, failed=failed,
        episodes=episodes,
    )  # fmt: skip


def _share(name: str, group: str, of: Iterable[tuple[Attempt, bool]]) -> Metric:
    return mean_of(name, group, [(attempt.unit, float(holds)) for attempt, holds in of])


def _is_scored(attempt: Attempt) -> bool:
    return attempt.correct is not None
