"""The task `saccade/bench`: any benchmark of Saccade in Inspect AI."""

from __future__ import annotations

from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.model import GenerateConfig
from pydantic import JsonValue

from saccade.bench.recipe import BenchRecipe
from saccade.config import Table, read_toml, validate
from saccade.engines.inspect import named
from saccade.engines.inspect.samples import dataset_of
from saccade.engines.inspect.scorer import numbers, verdict
from saccade.engines.inspect.solver import episode


@task(name=named("bench"))
def bench(bench: str = "", recipe: str | None = None, **changes: JsonValue) -> Task:
    """A benchmark, attempted with tools or without.

    Args:
        bench: Its name; `saccade bench list` shows them.
        recipe: A run file for all that has no argument here: tools, dialect, limits, judges.
        changes: Settings of the run file: data, n, seed, order, shard, arm, dialect, tools, ...
            `dialect` may be a name alone.

    Raises:
        ConfigError: a setting cannot work, or the data set is not here.
        FormatError: a row of the data set cannot be used; names file and row.
    """
    table: Table = {} if recipe is None else read_toml(Path(recipe))
    if bench:
        table["bench"] = bench
    dialect = changes.get("dialect")
    if isinstance(dialect, str):
        changes["dialect"] = {"kind": dialect}
    made = validate(BenchRecipe, {**table, **changes})
    config = made.model_dump(mode="json", exclude={"policy", "out"}, exclude_defaults=True)
    sampling = made.sampling
    most = min(sampling.max_tokens, made.environment.limits.max_turn_tokens)
    return Task(
        dataset=dataset_of(made),
        solver=episode(config),
        scorer=verdict(config),
        metrics=[numbers(config)],
        epochs=made.samples,
        config=GenerateConfig(
            temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=most
        ),
        fail_on_error=False,
        name=f"saccade-{made.source.made.name}",
        metadata={"arm": made.arm, "order": made.order, "seed": made.seed},
    )
