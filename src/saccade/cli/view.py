"""`saccade view`: look at runs."""

from __future__ import annotations

import time
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.common.options import Runs
from saccade.cli.common.say import say


def view(
    runs: Runs,
    out: Annotated[
        Path | None,
        typer.Option(help="File of the page; view.html in the first run folder if left out."),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    follow: Annotated[
        bool, typer.Option(help="Serve the page on this machine and show a run in progress.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of --follow; 0 takes any that is free.")
    ] = 0,
) -> None:
    """Make a page of a run, or of two runs side by side.

    Of a training it lists the kept steps, with the attempts of a question side by side. It is one
    file that fetches nothing from anywhere.
    """
    from saccade.view.follow import FollowServer
    from saccade.view.page import write_page

    if follow:
        with FollowServer(runs, port) as server:
            say(f"{server.url}  (Ctrl+C ends it)")
            if open_:
                webbrowser.open(server.url)
            try:
                while True:
                    time.sleep(3600)
            except KeyboardInterrupt:
                raise typer.Exit(0) from None
    written = write_page(runs, out or runs[0] / "view.html")
    say(str(written))
    if open_:
        webbrowser.open(written.resolve().as_uri())
