"""`saccade report`: what runs measured, and how they compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.common.options import Json, Runs
from saccade.cli.common.say import say, say_json


def report(
    runs: Runs,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder into which report.md, .tex, .json and .png are written as well; or one "
            "file that ends in .md, .tex, .json or .png."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print what runs measured, as tables.

    Episodes are summarised by family or benchmark, and each run is compared with the first one on
    the tasks that they share; trainings are summarised by step. Where the output is no terminal it
    is Markdown.
    """
    from saccade.view import report as reports

    made = reports.report(runs)
    if as_json:
        say_json(reports.as_json(made))
    elif sys.stdout.isatty():
        from saccade.cli.common.console import terminal
        from saccade.cli.common.tables import show_parts

        show_parts(terminal(), reports.short_parts(made))
    else:
        say(reports.as_markdown(made, Path()), end="")
    if out is not None:
        for path in reports.write_report(made, out):
            say(str(path), err=True)
