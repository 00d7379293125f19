"""`saccade curate`: the questions that reinforcement learning can use."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from saccade.cli.common.options import Json, RecipeFile, Settings, read_runfile


def curate(
    recipe: RecipeFile,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Keep the questions that reinforcement learning can use.

    The same command resumes.
    """
    import asyncio

    from saccade.cli.common.progress import bars
    from saccade.config import validate
    from saccade.data.curate import CurateRecipe
    from saccade.data.curate import curate as run
    from saccade.runs.preflight import preflight

    chosen = validate(CurateRecipe, read_runfile(recipe, settings))
    preflight(chosen, scored=False)
    with bars(quiet=as_json) as progress:
        stages = {}

        def on_progress(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = progress.add_task(stage, total=total)
            progress.update(stages[stage], completed=done)

        curated = asyncio.run(run(chosen, on_progress=on_progress))
    counts = json.loads((Path(chosen.out) / "summary.json").read_text())
    if as_json:
        typer.echo(json.dumps({"tasks": str(curated.tasks), **counts}))
        return
    typer.echo(f"{counts['kept']} of {counts['questions']} questions kept")
    for reason, count in counts["dropped"].items():
        typer.echo(f"  {count:6d}  {reason}")
    typer.echo(
        f"tasks.kind=file tasks.path={curated.tasks}; why each: {Path(chosen.out) / 'report.jsonl'}"
    )
