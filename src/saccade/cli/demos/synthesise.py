"""`saccade demos RECIPE`: demonstrations by teachers who solve questions with the real tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from saccade.cli.common.options import Json, RecipeFile, Settings, read_runfile, spare_threads
from saccade.cli.common.say import say, say_json

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.data.demos.audit import Audit
    from saccade.data.demos.recipe import DemosRecipe


def synthesise(
    recipe: RecipeFile,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Let teachers make demonstrations for a cold start.

    The same command resumes. Exit code 1 if attempts failed on our side; a cap that is reached is
    no failure.
    """
    from saccade.cli.common.outcome import finished_before
    from saccade.config import validate
    from saccade.data.demos.recipe import DemosRecipe
    from saccade.data.demos.teachers import check_teachers
    from saccade.recipe import count_tasks
    from saccade.runs.preflight import preflight

    chosen = validate(DemosRecipe, read_runfile(recipe, settings))
    out, config, total = Path(chosen.out), chosen.model_dump(mode="json"), count_tasks(chosen)
    result = finished_before(
        "demos", config, out, total=total, is_result=lambda held: held["demos"] == config["demos"]
    )
    if result is None:
        check_teachers(chosen)
        preflight(chosen)
        for teacher in chosen.teachers:
            spare_threads(teacher)
        result = _synthesise(chosen, out, total, quiet=as_json)
    _show(result, out, as_json=as_json)
    if result["failed"]:
        raise typer.Exit(1)


def _synthesise(
    recipe: DemosRecipe, out: Path, total: int | None, *, quiet: bool
) -> dict[str, JsonValue]:
    import asyncio

    from saccade.cli.common.progress import bars
    from saccade.data.demos.synthesise import AUDIT, REPORT
    from saccade.data.demos.synthesise import synthesise as run
    from saccade.runs.finished import finish

    with bars(quiet=quiet) as progress:
        bar = progress.add_task("questions", total=total)

        def on_progress(settled: int, episodes: int, kept: int) -> None:
            progress.update(bar, completed=settled, note=f"{episodes} episodes, {kept} kept")

        made = asyncio.run(run(recipe, on_progress=on_progress))
    audit, opened = made.audit, made.open
    config = recipe.model_dump(mode="json")
    failed = sum(opened.values()) - opened.get(audit.stopped, 0)
    result: dict[str, JsonValue] = {
        "kept_run": str(made.kept),
        "audit": audit.model_dump(mode="json"),
        "open": dict(opened),
        "failed": failed,
        "demos": config["demos"],
    }
    if not opened and not audit.stopped and not audit.down:
        needs = [made.kept.name, REPORT, AUDIT]
        finish(out, "demos", config, result, needs=needs, total=total)
    return result


def _show(result: dict[str, JsonValue], out: Path, *, as_json: bool) -> None:
    from saccade.data.demos.audit import Audit

    if as_json:
        say_json(result)
        return
    audit = Audit.model_validate(result["audit"])
    _show_tables(audit)
    opened = result["open"]
    for reason, count in opened.items() if isinstance(opened, dict) else ():
        if reason != audit.stopped:
            say(f"{count} attempts are open, and the same command makes them: {reason}", err=True)
    for name, why in audit.down.items():
        say(f"teacher {name} is down: {why}", err=True)
    if audit.stopped:
        say(f"stopped: {audit.stopped}", colour="yellow", err=True)
    say(
        f"{audit.kept} demonstrations of {audit.solved} of {audit.questions} questions: "
        f"saccade sft RECIPE 'runs=[\"{result['kept_run']}\"]'; why each: {out / 'report.jsonl'}, "
        f"and {out / 'audit.md'}"
    )


def _show_tables(audit: Audit) -> None:
    from rich.table import Table
    from rich.text import Text

    from saccade.cli.common.console import terminal
    from saccade.data.demos.audit import tables_of
    from saccade.untrusted.printable import one_line

    console = terminal()
    for title, head, rows in tables_of(audit):
        table = Table(
            box=None, header_style="bold", pad_edge=False, title_justify="left", title_style="bold",
            title=title,
        )  # fmt: skip
        for place, name in enumerate(head):
            table.add_column(Text(name), justify="right" if place else "left")
        for row in rows:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        console.print(table)
