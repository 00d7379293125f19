"""`saccade view` and `saccade report`: look at runs, and count them."""

from __future__ import annotations

import json
import time
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")]


def view(
    runs: Runs,
    out: Annotated[
        Path | None, typer.Option(help="The page; in the folder of the first run if left out.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
    follow: Annotated[
        bool, typer.Option(help="Serve it on this machine and show a run in progress.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="For --follow; 0 takes any.")] = 0,
) -> None:
    """Make a page of a run, or of two side by side: one file, nothing fetched from anywhere."""
    from saccade.view.follow import FollowServer
    from saccade.view.page import write_page

    if follow:
        with FollowServer(runs, port) as server:
            typer.echo(f"{server.url}  (Ctrl+C ends it)")
            if open_:
                webbrowser.open(server.url)
            try:
                while True:
                    time.sleep(3600)
            except KeyboardInterrupt:
                raise typer.Exit(0) from None
    written = write_page(runs, out or runs[0] / "view.html")
    typer.echo(str(written))
    if open_:
        webbrowser.open(written.resolve().as_uri())


def report(
    runs: Runs,
    out: Annotated[
        Path | None, typer.Option(help="Also write report.md, .json and .png into this folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Print the numbers of runs: episodes by family or benchmark, trainings by step."""
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
