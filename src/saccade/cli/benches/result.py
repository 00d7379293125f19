"""What a benchmark has come to: what `--json` prints, and what is kept in `finished.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.bench.benchmark import Benchmark
    from saccade.bench.recipe import BenchRecipe
    from saccade.runs.folder import Entry, Key

RATES = ("answer", "no_action", "max_turns", "max_tokens", "max_images", "timeout", "aborted")
"""How episodes end; what fails on our side is in no average."""


class Failures(NamedTuple):
    """The episodes of a run that failed on our side."""

    aborted: int
    """Number of those that the same command attempts again."""
    unscored: int
    """Number of those that are finished, but whose reward failed."""
    reasons: Counter[str]
    """Why, and how often."""


def result_of(
    recipe: BenchRecipe, out: Path, asked: frozenset[Key]
) -> tuple[dict[str, JsonValue], Failures]:
    """What the folder holds of the attempts that were asked for, and what failed of them."""
    from saccade.cli.benches.tally import Tally, price_of
    from saccade.runs.diagnosis import common_causes
    from saccade.runs.folder import RunReader
    from saccade.types import StopReason

    reader = RunReader(out)
    held = [e for e in reader.entries() if (e.task.id, e.trajectory.sample) in asked]
    trajectories = [entry.trajectory for entry in held]
    tally, made = Tally(price_of(recipe.policy)), recipe.source.made
    for trajectory in trajectories:
        tally.add(trajectory)
    stops = Counter(str(t.stop) for t in trajectories)
    ways = _ways(recipe, made)
    result: dict[str, JsonValue] = {
        "out": str(out),
        "benchmark": recipe.bench.kind,
        "arm": recipe.arm,
        "seed": recipe.seed,
        "n": recipe.n,
        "samples": recipe.samples,
        "order": recipe.order,
        "shard": recipe.shard,
        "compat": recipe.compat,
        "coords": recipe.environment.coords.value,
        "fingerprint": reader.manifest.fingerprint,
        "prompts": reader.manifest.prompts,
        "episodes": len(held),
        "headline": made.headline,
        **{name: _metrics(made, held, value) for name, value in ways.items()},
        "undecided": sum(t.verdict is not None and t.score is None for t in trajectories),
        "rates": {name: stops[name] / max(1, len(held)) for name in RATES},
        "tokens": {"in": tally.tokens_in, "out": tally.tokens_out, "unknown": tally.uncounted},
        "cost": tally.cost,
        "causes": [*common_causes(trajectories)],
    }
    reasons = Counter(t.error for t in trajectories if t.error)
    unscored = sum(t.reward_failed for t in trajectories)
    return result, Failures(stops[StopReason.ABORTED], unscored, reasons)


def _ways(recipe: BenchRecipe, made: Benchmark) -> dict[str, Callable[[Entry], float | None]]:
    """The ways of scoring, and what each makes of an episode."""
    from saccade.bench.scoring import rule_verdict
    from saccade.types import StopReason

    ours = (StopReason.ABORTED, StopReason.TIMEOUT, None)

    def judged(entry: Entry) -> float | None:
        trajectory = entry.trajectory
        decided = trajectory.verdict if trajectory.score is not None else None
        return None if decided is None else decided.value

    def by_rule(entry: Entry) -> float | None:
        verdict = rule_verdict(entry.trajectory)
        if verdict is not None or entry.trajectory.answer is not None:
            return None if verdict is None else verdict.value
        return None if entry.trajectory.stop in ours else 0.0

    def compat(entry: Entry) -> float | None:
        if entry.trajectory.stop in ours:
            return None
        return made.compat(entry.task, entry.trajectory.answer or "")

    ways: dict[str, Callable[[Entry], float | None]] = {"metrics": judged, "rule": by_rule}
    if recipe.compat is not None:
        ways[f"{recipe.compat}_metrics"] = compat
    return ways


def _metrics(
    made: Benchmark, held: Sequence[Entry], value: Callable[[Entry], float | None]
) -> list[JsonValue]:
    from saccade.bench.benchmark import Scored

    scored = [Scored(entry.task, entry.trajectory, value(entry)) for entry in held]
    return [metric.model_dump(mode="json") for metric in made.metrics(scored)]
