"""`saccade curate`: the questions that a training can use, and which of its stages."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from saccade.cli.common.options import Json, RecipeFile, Settings, read_runfile, spare_threads
from saccade.cli.common.say import say, say_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from saccade.data.curate import CurateRecipe

SHOWN = 8
"""Number of kinds of a trait that are printed, the largest ones; `summary.json` has more."""


def curate(
    recipe: RecipeFile,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Keep the questions that a training can use.

    The same command resumes.
    """
    from saccade.cli.common.outcome import finished_before
    from saccade.cli.common.references import with_benchmarks
    from saccade.config import validate
    from saccade.data.curate import CurateRecipe
    from saccade.recipe import count_tasks
    from saccade.runs.preflight import preflight

    chosen = with_benchmarks(validate(CurateRecipe, read_runfile(recipe, settings)))
    out, config, total = Path(chosen.out), chosen.model_dump(mode="json"), count_tasks(chosen)
    result = finished_before("curate", config, out, total=total)
    if result is None:
        preflight(chosen, scored=False)
        spare_threads(chosen.policy)
        result = _curate(chosen, out, total, quiet=as_json)
    if as_json:
        say_json(result)
        return
    _show(result, out)


def _show(result: Mapping[str, JsonValue], out: Path) -> None:
    """What became of the questions, and which kinds of them are left."""
    dropped, sets, stages = (result.get(key) for key in ("dropped", "sets", "diversity"))
    say(f"{result['kept']} of {result['questions']} questions kept")
    if isinstance(sets, dict) and len(sets) > 1:
        for name, count in sets.items():
            say(f"  {count:6d}  into {out / name}")
    if isinstance(dropped, dict):
        for reason, count in dropped.items():
            say(f"  {count:6d}  {reason}")
    if isinstance(stages, list):
        _show_diversity(stages)
    say(f"tasks.kind=file tasks.path={result['tasks']}; why each: {out / 'report.jsonl'}")


def _show_diversity(stages: Sequence[JsonValue]) -> None:
    """A row for each kind of question, a column for each stage.

    What is of one kind is left out, and so is a term that dropped nothing.
    """
    from saccade.cli.common.console import terminal
    from saccade.cli.common.tables import show_parts
    from saccade.view.tables import Table

    every = [stage for stage in stages if isinstance(stage, dict)]
    changed = (b for a, b in pairwise(every) if a.get("questions") != b.get("questions"))
    known = [*every[:1], *changed]
    rows: list[tuple[str, ...]] = []
    for trait in _dict(known[0], "by") if known else ():
        counts = [_dict(stage, "by", trait, "counts") for stage in known]
        if len(counts[0]) < 2:
            continue
        totals = [sum(map(_number, count.values())) for count in counts]
        for kind in list(counts[0])[:SHOWN]:
            cells = [
                _share(count.get(kind, 0), of) for count, of in zip(counts, totals, strict=True)
            ]
            rows.append((trait, kind, *cells))
        if (more := len(counts[0]) - SHOWN) > 0:
            rows.append((trait, f"({more} more)", *("" for _ in counts)))
        effective = [_dict(stage, "by", trait).get("effective") for stage in known]
        rows.append((trait, "effective number", *(f"{_number(one):.1f}" for one in effective)))
    if rows:
        head = ("of", "kind", *(str(stage.get("stage")).rpartition(":")[2] for stage in known))
        title = "questions at the source and after each term (share)"
        show_parts(terminal(), [Table(title, head, tuple(rows), keys=2)])


def _dict(value: JsonValue, *keys: str) -> dict[str, JsonValue]:
    """What stands in tables in tables; an empty one where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _number(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _share(count: JsonValue, of: float) -> str:
    number = _number(count)
    return f"{number:.0f} ({number / of:.2f})" if of else "0"


def _curate(
    recipe: CurateRecipe, out: Path, total: int | None, *, quiet: bool
) -> dict[str, JsonValue]:
    import asyncio

    from saccade.cli.common.progress import bars
    from saccade.data.curate import curate as run
    from saccade.files import MAX_KEPT_BYTES, read_whole
    from saccade.runs.finished import finish

    with bars(quiet=quiet) as progress:
        stages = {}

        def on_progress(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = progress.add_task(stage, total=total, completed=done)
            progress.update(stages[stage], completed=done)

        curated = asyncio.run(run(recipe, on_progress=on_progress))
    counts = json.loads(read_whole(out / "summary.json", most=MAX_KEPT_BYTES))
    result: dict[str, JsonValue] = {"tasks": str(curated.tasks), **counts}
    if not curated.aborted:
        needs = [*(str(file.relative_to(out)) for file in curated.sets.values()), "report.jsonl"]
        config = recipe.model_dump(mode="json")
        finish(out, "curate", config, result, needs=needs, total=total)
    return result
