"""`saccade curate`: the questions that reinforcement learning can use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from saccade.cli.common.options import Json, RecipeFile, Settings, read_runfile, spare_threads
from saccade.cli.common.say import say, say_json

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.data.curate import CurateRecipe


def curate(
    recipe: RecipeFile,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Keep the questions that reinforcement learning can use.

    The same command resumes.
    """
    from saccade.cli.common.outcome import finished_before
    from saccade.config import validate
    from saccade.data.curate import CurateRecipe
    from saccade.recipe import count_tasks
    from saccade.runs.preflight import preflight

    chosen = validate(CurateRecipe, read_runfile(recipe, settings))
    out, config, total = Path(chosen.out), chosen.model_dump(mode="json"), count_tasks(chosen)
    result = finished_before("curate", config, out, total=total)
    if result is None:
        preflight(chosen, scored=False)
        spare_threads(chosen.policy)
        result = _curate(chosen, out, total, quiet=as_json)
    if as_json:
        say_json(result)
        return
    dropped = result["dropped"]
    assert isinstance(dropped, dict)
    say(f"{result['kept']} of {result['questions']} questions kept")
    for reason, count in dropped.items():
        say(f"  {count:6d}  {reason}")
    say(f"tasks.kind=file tasks.path={result['tasks']}; why each: {out / 'report.jsonl'}")


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
        needs = [str(curated.tasks.relative_to(out)), "report.jsonl"]
        config = recipe.model_dump(mode="json")
        finish(out, "curate", config, result, needs=needs, total=total)
    return result
