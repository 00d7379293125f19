"""`saccade rollout`: run the tasks of a run file into a run folder."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import Json, RecipeFile, Settings, read_runfile

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.recipe import Recipe


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

    from saccade.cli.common.outcome import finished_before
    from saccade.config import validate
    from saccade.errors import ConfigError
    from saccade.recipe import Recipe, count_tasks
    from saccade.runs.finished import finish

    overrides = list(settings or [])
    overrides += [] if seed is None else [f"seed={seed}"]
    overrides += [] if n is None else [f"tasks.n={n}"]
    chosen = validate(Recipe, read_runfile(recipe, overrides))
    if chosen.out is None:
        raise ConfigError("out: missing; name the run folder with out=runs/NAME")
    out, config, total = Path(chosen.out), chosen.model_dump(mode="json"), count_tasks(chosen)
    result = finished_before("rollout", config, out, total=total)
    if result is None:
        asyncio.run(_attempt_all(chosen, out, total, quiet=as_json))
        result, aborted = _result(out)
        if not aborted:
            finish(out, "rollout", config, result, needs=["trajectories.jsonl"], total=total)
    else:
        aborted = Counter()
    _show(result, as_json=as_json)
    if aborted:
        typer.echo(
            f"{aborted.total()} episodes were aborted: they failed on our side, not the model's; "
            f"the same command attempts them again. Most often: {aborted.most_common(1)[0][0]}",
            err=True,
        )
        raise typer.Exit(1)


async def _attempt_all(recipe: Recipe, out: Path, count: int | None, *, quiet: bool) -> None:
    from saccade.cli.common.progress import bars
    from saccade.measures.summary import is_correct
    from saccade.recipe import make_tasks
    from saccade.runs.execute import jobs_of, run
    from saccade.types import Task, Trajectory

    total = None if count is None else count * recipe.samples
    verdicts: list[bool] = []
    with bars(quiet=quiet) as progress:
        bar = progress.add_task("episodes", total=total)

        def on_finish(task: Task, trajectory: Trajectory) -> None:
            correct = is_correct(trajectory)
            verdicts.extend([] if correct is None else [correct])
            share = f"accuracy {sum(verdicts) / len(verdicts):.2f}" if verdicts else ""
            note = f"{share} (n {len(verdicts)})" if verdicts else ""
            progress.update(bar, advance=1, note=note)

        def on_resume(number: int) -> None:
            if number:
                of_all = "" if total is None else f" of {total}"
                progress.console.print(f"resumed: {number}{of_all} episodes are there")
                progress.reset(bar, completed=number)

        jobs = jobs_of(recipe, make_tasks(recipe))
        await run("rollout", recipe, jobs, out, on_finish=on_finish, on_resume=on_resume)


def _result(out: Path) -> tuple[dict[str, JsonValue], Counter[str | None]]:
    """What the folder holds, and why episodes of it were aborted, how often."""
    from saccade.measures.summary import summary, summary_by
    from saccade.runs.folder import RunReader
    from saccade.types import StopReason

    reader = RunReader(out)
    pairs = [(entry.task, entry.trajectory) for entry in reader.entries()]
    groups = summary_by(lambda task: task.family, pairs)
    result: dict[str, JsonValue] = {
        "out": str(out),
        "fingerprint": reader.manifest.fingerprint,
        "all": summary(pairs).model_dump(mode="json"),
        "groups": {name: s.model_dump(mode="json") for name, s in groups.items()},
    }
    return result, Counter(t.error for _, t in pairs if t.stop is StopReason.ABORTED)


def _show(result: dict[str, JsonValue], *, as_json: bool) -> None:
    from rich.console import Console

    from saccade.cli.common.show import summary_table
    from saccade.measures.summary import Summary

    if as_json:
        typer.echo(json.dumps(result))
        return
    console, groups = Console(highlight=False), result["groups"]
    assert isinstance(groups, dict)
    by_group = {name: Summary.model_validate(s) for name, s in groups.items()}
    console.print(summary_table(by_group, Summary.model_validate(result["all"])))
    where = f"environment {result['fingerprint']}, run folder {result['out']}"
    console.print(where, style="dim")
