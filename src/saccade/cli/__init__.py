"""The command line.

Exit codes: 0 done, 1 failed, 2 the command or its run file is wrong, 130 interrupted.
"""

from __future__ import annotations

import sys
import warnings
from typing import NoReturn, TextIO

import typer

from saccade.cli import check, nano, serve
from saccade.cli.attack import attack
from saccade.cli.curate import curate
from saccade.cli.demo import demo
from saccade.cli.detect import detect
from saccade.cli.report import report
from saccade.cli.rl import rl
from saccade.cli.rollout import rollout
from saccade.cli.sft import sft
from saccade.cli.solve import solve
from saccade.cli.view import view
from saccade.errors import ConfigError, SaccadeError

app = typer.Typer(
    name="saccade",
    help="Vision-language agents that look, zoom in, and look again.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(solve)
app.command()(rollout)
app.command()(curate)
app.command()(sft)
app.command()(rl)
app.command()(view)
app.command()(report)
app.command()(attack)
app.command()(detect)
app.add_typer(check.app)
app.add_typer(nano.app)
app.add_typer(serve.app)


def main() -> NoReturn:
    """Run a command; mistakes of the user are told without a traceback."""
    warnings.showwarning = _show_warning
    try:
        app()
    except SaccadeError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    sys.exit(0)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as a sentence, without the line of code that raised it."""
    typer.secho(f"warning: {message}", fg="yellow", err=True)
