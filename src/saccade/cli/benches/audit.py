"""`saccade bench --audit`: what looking really contributes.

OUT/ARM/            a run folder for each arm; `saccade view` and `saccade report` read them
OUT/audit.json      what was measured
OUT/audit.md        its tables
OUT/audit.png       its figure, where matplotlib is installed
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import TaskID

    from saccade.bench.audit.record import Audit
    from saccade.recipe import Recipe


def run_audit(recipe: Recipe, out: Path, *, as_json: bool) -> None:
    """Play what is missing of an audit, keep its tables and print them.

    The same call resumes. Exit code 1 if episodes failed on our side.

    Args:
        recipe: The run file of the agent.
        out: The folder of the audit.
        as_json: Whether the record is printed as JSON, and not as tables.

    Raises:
        ConfigError: the recipe cannot be audited, or `out` holds another audit.
        StoreError: a folder cannot be written; what was finished is kept.
        ServiceError: too many episodes in a row were aborted.
    """
    import asyncio

    from saccade.bench.audit import audit, read_audit
    from saccade.cli.common.console import terminal
    from saccade.cli.common.progress import bars
    from saccade.cli.common.say import say, say_record
    from saccade.cli.common.tables import show_parts
    from saccade.view.audit import audit_parts

    with bars(quiet=as_json) as progress:
        found: dict[str, TaskID] = {}

        def on_progress(arm: str, done: int, total: int | None) -> None:
            if arm not in found:
                found[arm] = progress.add_task(arm, total=total)
            progress.update(found[arm], completed=done)

        asyncio.run(audit(recipe, out, on_progress=on_progress))
    made = read_audit(out)
    _keep(made, out)
    if as_json:
        say_record(made)
    else:
        show_parts(terminal(), audit_parts(made))
    if made.unfinished:
        say(
            f"{made.unfinished} episodes failed on our side, not the model's, or could not be "
            "scored; the same command attempts them again",
            err=True,
        )
        raise typer.Exit(1)


def _keep(made: Audit, out: Path) -> None:
    from saccade.errors import MissingExtra
    from saccade.files import write_whole
    from saccade.view.audit import audit_parts, draw_audit
    from saccade.view.tables import markdown

    write_whole(out / "audit.json", made.model_dump_json(indent=1).encode() + b"\n")
    write_whole(out / "audit.md", markdown(audit_parts(made)).encode())
    try:
        draw_audit(made, out / "audit.png")
    except MissingExtra:
        return  # the tables say the same
