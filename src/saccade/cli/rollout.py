"""`saccade rollout`: run the tasks of a run file into a run folder."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import Json, RecipeFile, Settings, read_runfile

if TYPE_CHECKING:
    from saccade.recipe import Recipe
    from saccade.runs.folder import RunReader


def rollout(
    recipe: RecipeFile,
    settings: Settings = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run; the same as seed=N.")] = None,
    n: Annotated[int | None, typer.Option(help="Number of tasks; the same as tasks.n=N.")] = None,
    as_json: Json = False,
) -> None:
    """Attempt every task of a run file.

    The same command resumes. Exit code 1 if episodes were aborted.
    """
    import asyncio

    from saccade.config import validate
    from saccade.errors import ConfigError
    from saccade.recipe import Recipe
    from saccade.runs.folder import RunReader
    from saccade.runs.preflight import preflight

    overrides = list(settings or [])
    overrides += [] if seed is None else [f"seed={seed}"]
    overrides += [] if n is None else [f"tasks.n={n}"]
    chosen = validate(Recipe, read_runfile(recipe, overrides))
    if chosen.out is None:
        raise ConfigError("out: missing; name the run folder with out=runs/NAME")
    out = Path(chosen.out)
    preflight(chosen)
    try:
        asyncio.run(_attempt_all(chosen, out, quiet=as_json))
    except KeyboardInterrupt:
        typer.echo(
            f"interrupted: {out} keeps what was finished, the same command resumes", err=True
        )
        raise typer.Exit(130) from None
    _report(RunReader(out), out, as_json=as_json)


async def _attempt_all(recipe: Recipe, out: Path, *, quiet: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from saccade.recipe import count_tasks, make_tasks
    from saccade.runs.execute import jobs_of, run
    from saccade.types import Task, Trajectory

    columns = ("episodes", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True, quiet=quiet)
    with Progress(*columns, console=console, transient=True) as progress:
        count = count_tasks(recipe)
        total = None if count is None else count * recipe.samples
        bar = progress.add_task("", total=total)

        def on_finish(task: Task, trajectory: Trajectory) -> None:
            progress.advance(bar)

        def on_resume(number: int) -> None:
            progress.advance(bar, number)

        jobs = jobs_of(recipe, make_tasks(recipe))
        await run("rollout", recipe, jobs, out, on_finish=on_finish, on_resume=on_resume)


def _report(reader: RunReader, out: Path, *, as_json: bool) -> None:
    from rich.console import Console

    from saccade.cli.common.show import summary_table
    from saccade.measures.summary import summary, summary_by
    from saccade.types import StopReason

    pairs = [(entry.task, entry.trajectory) for entry in reader.entries()]
    groups = summary_by(lambda task: task.family, pairs)
    total = summary(pairs)
    if as_json:
        content = {
            "out": str(out),
            "fingerprint": reader.manifest.fingerprint,
            "all": total.model_dump(mode="json"),
            "groups": {name: s.model_dump(mode="json") for name, s in groups.items()},
        }
        typer.echo(json.dumps(content))
    else:
        console = Console(highlight=False)
        console.print(summary_table(groups, total))
        console.print(f"environment {reader.manifest.fingerprint}, run folder {out}", style="dim")
    reasons = Counter(t.error for _, t in pairs if t.stop is StopReason.ABORTED)
    if reasons:
        typer.echo(
            f"{total.aborted} episodes were aborted: they failed on our side, not the model's; "
            f"the same command attempts them again. Most often: {reasons.most_common(1)[0][0]}",
            err=True,
        )
        raise typer.Exit(1)
