"""`saccade report`: what runs measured, and how they compare."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.common.options import Json, Runs


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
        typer.echo(json.dumps(reports.as_json(made), allow_nan=False))
    elif sys.stdout.isatty():
        from rich.console import Console

        from saccade.cli.common.tables import show_parts

        show_parts(Console(highlight=False), reports.short_parts(made))
    else:
        typer.echo(reports.as_markdown(made, Path()), nl=False)
    if out is not None:
        for path in reports.write_report(made, out):
            typer.echo(str(path), err=True)
