"""`saccade report`: what runs measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.common.options import Json, Runs


def report(
    runs: Runs,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder into which report.md, .json and .png are written as well."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print what runs measured, as tables.

    Episodes are summarised by family or benchmark, trainings by step.
    """
    from saccade.view import dynamics
    from saccade.view import report as reports

    trainings = [dynamics.read_dynamics(run) for run in runs if dynamics.is_training(run)]
    episodes = [run for run in runs if not dynamics.is_training(run)]
    made = reports.report(episodes)
    if as_json:
        typer.echo(json.dumps([*reports.as_json(made), *dynamics.as_json(trainings)]))
    if made and not as_json:
        typer.echo(reports.markdown(made), nl=False)
    if trainings and not as_json:
        typer.echo(dynamics.markdown(trainings), nl=False)
    if out is not None:
        written = reports.write_report(made, out) if made else ()
        written += dynamics.write_dynamics(trainings, out) if trainings else ()
        for path in written:
            typer.echo(str(path), err=True)
