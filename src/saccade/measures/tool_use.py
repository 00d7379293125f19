"""How often the episodes of a group call tools, of which kinds, and which kinds they combine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, pstdev

from saccade.measures.code_calls import OURS, CodeCalls, code_calls
from saccade.measures.means import Metric, bootstrap, mean_of
from saccade.measures.summary import Pair, response_tokens
from saccade.measures.tool_kinds import KINDS, Kind, Kinds, combination, kinds_of
from saccade.types import Record, Task

NO_CALL = "no call"
"""Among the combinations: an episode without a call."""


class ToolUse(Record):
    """What the finished episodes of a group called.

    Calls that were refused or failed count: what is told is what the model chose to do. Source of
    the two figures: DeepEyesV2 (arXiv 2511.05271), figures 6 (kinds) and 7 (invocation rate).
    """

    group: str
    episodes: int
    """Number of finished episodes."""
    calls: int
    called: Metric
    """Share of the episodes with at least one call: the invocation rate."""
    per_episode: Metric
    """Mean number of calls of an episode, those without one included."""
    spread: float | None
    """Standard deviation of that number between episodes, not its uncertainty: 0 where every
    episode makes as many calls as the others."""
    tokens: Metric
    """Mean number of tokens that the model wrote in an episode, of those where it is known."""
    kinds: tuple[Metric, ...]
    """Of the calls, the share whose primary kind is this, for each of `KINDS`; they sum to 1."""
    touching: tuple[Metric, ...]
    """Of the calls, the share that does this at all, beside what else it does."""
    combinations: dict[str, Metric]
    """Of the episodes, the share whose calls are of just these primary kinds, as in
    "crop + text_search"; the most frequent first. They sum to 1."""
    code: CodeCalls | None = None
    """What became of the calls that hand over code; None where there is none."""

    def share(self, kind: Kind) -> Metric:
        """Of the calls, the share whose primary kind is this."""
        return self.kinds[KINDS.index(kind)]


def tool_use(group: str, pairs: Iterable[Pair]) -> ToolUse:
    """What episodes called.

    Args:
        group: What they are of.
        pairs: Tasks with their episodes; those that did not finish are left out.
    """
    done = [(task, made) for task, made in pairs if made.stop not in OURS]
    held = [(task.id, kinds_of(made)) for task, made in done]
    counts = [(task, float(len(calls))) for task, calls in held]
    named = [(task, _named(calls)) for task, calls in held]
    frequent = sorted(Counter(name for _, name in named).items(), key=lambda one: (-one[1], one[0]))
    known = [(task.id, response_tokens(made)) for task, made in done]
    return ToolUse(
        group=group,
        episodes=len(done),
        calls=sum(len(calls) for _, calls in held),
        called=mean_of("invocation rate", group, [(task, float(bool(c))) for task, c in held]),
        per_episode=_mean("calls", group, counts),
        spread=pstdev(count for _, count in counts) if counts else None,
        tokens=_mean("response tokens", group, [(t, float(n)) for t, n in known if n is not None]),
        kinds=tuple(_share(group, held, kind, lambda c, k: c.primary == k) for kind in KINDS),
        touching=tuple(_share(group, held, kind, lambda c, k: k in c.every) for kind in KINDS),
        combinations={
            name: mean_of(name, group, [(task, float(other == name)) for task, other in named])
            for name, _ in frequent
        },
        code=code_calls(group, done),
    )


def tool_use_by(key: Callable[[Task], str], pairs: Iterable[Pair]) -> dict[str, ToolUse]:
    """The same for each value of `key`, in alphabetical order."""
    groups: dict[str, list[Pair]] = {}
    for task, trajectory in pairs:
        groups.setdefault(key(task), []).append((task, trajectory))
    return {name: tool_use(name, groups[name]) for name in sorted(groups)}


def _named(calls: Sequence[Kinds]) -> str:
    held = combination(calls)
    return " + ".join(kind for kind in KINDS if kind in held) or NO_CALL


def _mean(name: str, group: str, pairs: Sequence[tuple[str, float]]) -> Metric:
    """A mean that may be larger than 1, with its interval if two questions or more have it."""
    units: dict[str, list[float]] = {}
    for unit, value in pairs:
        units.setdefault(unit, []).append(value)
    if not pairs:
        return Metric(name=name, group=group, value=None, n=0, units=0)
    value = fmean(value for _, value in pairs)
    if len(units) < 2:
        return Metric(name=name, group=group, value=value, n=len(pairs), units=1)
    ends = bootstrap([*units.values()])
    return Metric(
        name=name, group=group, value=value, low=ends.low, high=ends.high, n=len(pairs),
        units=len(units), method="bootstrap",
    )  # fmt: skip


def _share(
    group: str,
    held: Sequence[tuple[str, Sequence[Kinds]]],
    kind: Kind,
    is_one: Callable[[Kinds, Kind], bool],
) -> Metric:
    values = [(task, float(is_one(call, kind))) for task, calls in held for call in calls]
    return mean_of(kind, group, values)
