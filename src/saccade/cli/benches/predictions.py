"""`saccade bench predictions`: a run as the file of predictions that other harnesses score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.common.say import say


def predictions(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the run.")],
    out: Annotated[
        Path, typer.Option(help="The file; it ends in .tsv, or in .xlsx as VLMEvalKit's do.")
    ],
) -> None:
    """Write the answers of a run as VLMEvalKit keeps them."""
    from saccade.bench.predictions import write_predictions

    written = write_predictions(run, out)
    say(f"{out}: {written.rows} rows, {written.empty} without an answer, {written.unread} unread")
    if written.warning:
        say(f"warning: {written.warning}", colour="yellow", err=True)
