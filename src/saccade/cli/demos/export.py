"""`saccade demos export`: the episodes of a run as files for other trainers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import Json
from saccade.cli.common.say import say, say_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from saccade.data.demos.exchange import LeftOut

MOST_NAMED = 5
"""Number of rows that are named in a terminal, of those that were left out; `--json` names more."""


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="sharegpt (LLaMA-Factory), trl, or parquet: the questions as rows for verl.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder that is written.")],
    keep: Annotated[
        str, typer.Option(metavar="WHICH", help="right, or answered: also those that are not.")
    ] = "right",
    malformed: Annotated[
        str,
        typer.Option(
            metavar="HOW", help="refuse, or leave_out what the format cannot hold, and count it."
        ),
    ] = "refuse",
    name: Annotated[str, typer.Option(help="What LLaMA-Factory calls the data set.")] = "saccade",
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="FILE#ROW",
            help="A published row whose system turn and instructions the rows for verl get.",
        ),
    ] = None,
    env_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The environment that rows for verl name; without it as theirs did.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the episodes of a run for other trainers.

    Images are written as they were shown.

    saccade demos export runs/demos --to sharegpt --out cold_start
    """
    from saccade.cli.common.progress import bars, one_bar
    from saccade.config import validate
    from saccade.data.demos.exchange import ExportOptions, export_run

    options = validate(
        ExportOptions,
        {"run": str(run), "out": str(out), "to": to, "keep": keep, "malformed": malformed,
         "name": name, "prompts": prompts, "env_name": env_name},
    )  # fmt: skip
    with bars(quiet=as_json) as progress:
        done = export_run(options, on_progress=one_bar(progress))
    if as_json:
        say_record(done)
        return
    what = "questions" if to == "parquet" else "episodes"
    say(f"{done.file}: {done.written} of {done.episodes} {what} with {done.images} images")
    say_left_out(done.left_out, done.named)


def say_left_out(counts: Mapping[str, int], named: Sequence[LeftOut]) -> None:
    """Say what was left out and why, and name the first rows."""
    from saccade.untrusted.printable import one_line

    for reason, number in sorted(counts.items()):
        say(f"  left out: {number}: {one_line(reason)}")
    for row in named[:MOST_NAMED]:
        say(f"    {one_line(row.error)[:300]}")
