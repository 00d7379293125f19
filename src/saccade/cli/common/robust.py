"""What `saccade attack` and `saccade detect` share: their options, their run file, their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import read_file

if TYPE_CHECKING:
    from saccade.config import Table
    from saccade.robust.classifiers.recipe import RobustRecipe

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE] [KEY=VALUE]...",
        help="A run file, and keys that override what it says; without one the embedded digits.",
        show_default=False,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(help="The images: digits, an .npz file, a folder, or package.module:function."),
]
Model = Annotated[
    str | None, typer.Option(help="The net, which returns logits, as package.module:name.")
]
Seed = Annotated[
    int | None, typer.Option(help="Seed of the choice of images, of noise and of forests.")
]
N = Annotated[
    int | None,
    typer.Option(
        "--n", min=1, help="Number of test images, of those that the net classifies correctly."
    ),
]
Out = Annotated[str | None, typer.Option(help="The run folder.")]


def read_table(arguments: Sequence[str] | None) -> Table:
    """A run file if the first argument is one, and key=value over it."""
    from saccade.config import with_overrides

    given = list(arguments or [])
    table = read_file(Path(given.pop(0))) if given and "=" not in given[0] else {}
    return with_overrides(table, given)


def classifier_recipe(table: Table, flags: Mapping[str, str | int | None]) -> RobustRecipe:
    """The recipe of a classifier; flags go over the run file."""
    from saccade.config import validate
    from saccade.robust.classifiers.recipe import RobustRecipe

    given = {key: value for key, value in flags.items() if value is not None}
    return validate(RobustRecipe, {**table, **given})


def show_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as a table; the first one is its head."""
    from rich.console import Console
    from rich.table import Table as Shown

    shown = Shown()
    for name in rows[0]:
        shown.add_column(name, overflow="fold")  # a name that is cut cannot be read
    for row in rows[1:]:
        shown.add_row(*row)
    Console().print(shown)
