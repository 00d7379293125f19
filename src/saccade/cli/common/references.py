"""Benchmarks that a curation is kept clear of, by the names that `saccade bench` has for them.

    against = ["vstar", { kind = "hrbench_4k", data = "FOLDER" }, { kind = "file", path = "..." }]

A curation knows sources of tasks. What a benchmark is, is known here too, and the items of one are
a source of tasks: its name in a run file becomes that source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from saccade.config import Part, suggestion
from saccade.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.config import Table
    from saccade.data.curate.recipe import CurateRecipe

TERM = "decontaminate"


def with_benchmarks(recipe: CurateRecipe) -> CurateRecipe:
    """The run file with the items of a benchmark wherever it names one.

    Raises:
        ConfigError: a name is neither that of a source nor of a benchmark.
    """
    terms = tuple(_resolved(part) for part in recipe.curate.terms)
    curation = recipe.curate.model_copy(update={"terms": terms})
    return recipe.model_copy(update={"curate": curation})


def _resolved(part: Part) -> Part:
    against = part.options.get("against")
    if part.kind != TERM or against is None:
        return part
    listed = against if isinstance(against, list) else [against]
    sources: list[JsonValue] = [_source(one) for one in listed]
    return Part.model_validate({**part.options, "kind": TERM, "against": sources})


def _source(named: JsonValue) -> JsonValue:
    from saccade import tasks
    from saccade.bench import BENCHMARKS
    from saccade.bench.recipe import SOURCE
    from saccade.bench.source import BenchTasks

    table: Mapping[str, JsonValue] = named if isinstance(named, dict) else {"kind": named}
    kind = table.get("kind")
    if not isinstance(kind, str) or ":" in kind or kind in tasks.BUILT_IN:
        return named
    if kind not in BENCHMARKS:
        hint = suggestion(kind, (*BENCHMARKS, *tasks.BUILT_IN))
        raise ConfigError(
            f"curate.terms.against: there is no benchmark {kind!r}{hint}; `saccade bench list` "
            f"names them, and sources of tasks are {', '.join(tasks.BUILT_IN)}"
        )
    rest = {key: value for key, value in table.items() if key not in ("kind", "name")}
    of_source = {key: rest.pop(key) for key in BenchTasks.model_fields if key in rest}
    benchmark: Table = {**rest, "kind": kind}
    return {"kind": SOURCE, "name": table.get("name", kind), "benchmark": benchmark, **of_source}
