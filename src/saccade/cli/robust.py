"""What `saccade attack` and `saccade detect` share: their options, their run file, their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from saccade.config import Table
    from saccade.robust.options import RobustRecipe

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE] [KEY=VALUE]...",
        help="A run file, and key=value over it. Without a run file: the embedded digits.",
        show_default=False,
    ),
]
Data = Annotated[
    str | None, typer.Option(help="digits, an .npz, a folder, or package.module:function.")
]
Model = Annotated[str | None, typer.Option(help="package.module:name of a net; gives logits.")]
Seed = Annotated[int | None, typer.Option(help="Of the choice of images, noise and forests.")]
N = Annotated[
    int | None, typer.Option("--n", min=1, help="Test images, of those the net reads right.")
]
Out = Annotated[str | None, typer.Option(help="The run folder.")]


def read_table(arguments: Sequence[str] | None) -> Table:
    """A run file if the first argument is one, and key=value over it."""
    from saccade.config import read_toml, with_overrides

    given = list(arguments or [])
    table = read_toml(Path(given.pop(0))) if given and "=" not in given[0] else {}
    return with_overrides(table, given)


def classifier_recipe(table: Table, flags: Mapping[str, str | int | None]) -> RobustRecipe:
    """The recipe of a classifier; flags go over the run file."""
    from saccade.config import validate
    from saccade.robust.options import RobustRecipe

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
