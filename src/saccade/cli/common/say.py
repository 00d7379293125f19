"""The two ways in which a command prints: text for people, and JSON for machines.

Whatever is printed may hold what a model, a server or a file says, so nothing in it reaches the
terminal as a command. `console` does the same for what Rich prints; no other module of the command
line prints at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from saccade.untrusted.printable import printable

if TYPE_CHECKING:
    from pydantic import BaseModel


def say(
    text: str = "",
    *,
    err: bool = False,
    colour: str | None = None,
    bold: bool = False,
    end: str = "\n",
) -> None:
    """Print text in which all control characters but line ends have become spaces.

    Args:
        text: Of anybody.
        err: Whether it goes to stderr.
        colour: Of all of it, where there is a terminal that has colours.
        bold: Whether all of it is bold there.
        end: What follows it.
    """
    shown = printable(text)
    if colour or bold:
        shown = typer.style(shown, fg=colour, bold=bold or None)
    typer.echo(shown + end, err=err, nl=False)


def say_json(value: Mapping[str, object] | Sequence[object], *, indent: int | None = None) -> None:
    """Print JSON on stdout, in which all but printed ASCII is escaped."""
    typer.echo(json.dumps(value, indent=indent).replace("\x7f", "\\u007f"))


def say_record(record: BaseModel) -> None:
    """The same for a record; what is no number in it is null."""
    say_json(json.loads(record.model_dump_json()))
