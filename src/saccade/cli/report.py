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
            help="Folder into which report.md, .tex, .json, .html and .png are written as well, "
            "with all figures; or one file that ends in .md, .tex, .json, .html or .png."
        ),
    ] = None,
    published: Annotated[
        bool,
        typer.Option(help="Show what others published on the benchmarks, in tables of their own."),
    ] = False,
    compat: Annotated[
        str | None,
        typer.Option(
            metavar="vlmevalkit", help="Score replies to benchmarks as VLMEvalKit does, too."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print what runs measured, as tables.

    Runs of benchmarks have their metrics, other episodes are summarised by family. Each run is
    compared with the first one of its kind on the tasks that they share; trainings are summarised
    by step. What tools were called has tables and figures. Where the output is no terminal it is
    Markdown.
    """
    from saccade.config import check_choice
    from saccade.view import report as reports

    if compat is not None:
        check_choice("--compat", compat, ["vlmevalkit"])
    made = reports.report(runs, compat=compat is not None)
    if as_json:
        say_json(reports.as_json(made))
    elif sys.stdout.isatty():
        from saccade.cli.common.console import terminal
        from saccade.cli.common.tables import show_parts

        show_parts(terminal(), reports.short_parts(made, published=published))
    else:
        say(reports.as_markdown(made, Path(), published=published), end="")
    if out is not None:
        for path in reports.write_report(made, out, published=published):
            say(str(path), err=True)
