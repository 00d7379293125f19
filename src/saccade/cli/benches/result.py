"""What a benchmark has come to: what `--json` prints, and what is kept in `finished.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import JsonValue

    from saccade.bench.benchmark import Benchmark
    from saccade.bench.recipe import BenchRecipe
    from saccade.runs.folder import Key


KEPT = (
    "out", "benchmark", "arm", "seed", "n", "samples", "order", "shard", "compat", "coords",
    "fingerprint", "prompts", "headline", "metrics", "rule", "ends", "tokens", "cost", "causes",
    "measured",
)  # fmt: skip
"""What every result holds."""


class Failures(NamedTuple):
    """The episodes of a run that failed on our side."""

    aborted: int
    """Number of those that the same command attempts again."""
    unscored: int
    """Number of those that are finished, but whose reward failed."""
    reasons: Counter[str]
    """Why, and how often."""


def is_result(result: Mapping[str, JsonValue]) -> bool:
    """Whether a result that was kept is one of this version: another one is measured anew."""
    from pydantic import ValidationError

    from saccade.bench.results import Measured

    try:
        Measured.model_validate(result.get("measured"))
    except ValidationError:
        return False
    return set(KEPT) <= set(result)


def result_of(
    recipe: BenchRecipe,
    out: Path,
    asked: frozenset[Key],
    *,
    known: tuple[Benchmark, Sequence[str]] | None = None,
) -> tuple[dict[str, JsonValue], Failures]:
    """What the folder holds of the attempts that were asked for, and what failed of them.

    It may hold more: of a larger run that was killed, only what was quick.

    Args:
        recipe: What was asked.
        out: The run folder.
        asked: Task id and sample of every attempt that counts.
        known: The benchmark, and what is to be said of it; None: that of the recipe is made.
    """
    from saccade.bench.results import UNFINISHED, measured_of
    from saccade.runs.diagnosis import common_causes
    from saccade.runs.folder import RunReader
    from saccade.types import StopReason

    reader, (made, said) = RunReader(out), known or (recipe.source.made, ())
    held = [e for e in reader.entries() if (e.task.id, e.trajectory.sample) in asked]
    trajectories = [entry.trajectory for entry in held]
    reasons = Counter(t.error for t in trajectories if t.error)
    measured = measured_of(
        out.name, out, reader.manifest, made, held, compat=recipe.compat is not None, notes=said
    )
    if not reasons:  # it is noted as finished after this
        notes = tuple(note for note in measured.notes if note != UNFINISHED)
        measured = measured.model_copy(update={"complete": True, "notes": notes})
    ends, cost = measured.ended(), measured.cost
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
        "fingerprint": measured.fingerprint,
        "prompts": reader.manifest.prompts,
        "headline": measured.headline,
        "metrics": [metric.model_dump(mode="json") for metric in measured.metrics],
        "rule": [metric.model_dump(mode="json") for metric in measured.rule],
        "ends": None if ends is None else ends.model_dump(mode="json"),
        "tokens": {"in": cost.prompt_tokens, "out": cost.response_tokens},
        "cost": cost.price,
        "causes": [*common_causes(trajectories)],
        "measured": measured.model_dump(mode="json"),
    }
    if measured.compat is not None:
        result[f"{recipe.compat}_metrics"] = [m.model_dump(mode="json") for m in measured.compat]
    aborted = sum(t.stop is StopReason.ABORTED for t in trajectories)
    return result, Failures(aborted, sum(t.reward_failed for t in trajectories), reasons)
