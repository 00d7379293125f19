"""What `saccade attack` and `saccade detect` share: their options, their run file, their tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import read_file, say_what_is_sent

if TYPE_CHECKING:
    from rich.console import Console

    from saccade.config import Table
    from saccade.robust.classifiers.recipe import RobustRecipe
    from saccade.robust.progress import OnNote, OnProgress
    from saccade.robust.tables import Rows

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


PACKAGES = {
    "robust": {
        "torch": "torch", "scipy": "scipy", "sklearn": "scikit-learn", "matplotlib": "matplotlib",
    },
    "local": {"torch": "torch", "transformers": "transformers", "safetensors": "safetensors"},
}  # fmt: skip
"""Extra -> module and package of all that attack and detect need of it, from the first number to
the last figure."""


def read_table(arguments: Sequence[str] | None) -> Table:
    """A run file if the first argument is one, and key=value over it."""
    from saccade.config import with_overrides

    given = list(arguments or [])
    table = read_file(Path(given.pop(0))) if given and "=" not in given[0] else {}
    chosen = with_overrides(table, given)
    say_what_is_sent(chosen)
    return chosen


def classifier_recipe(table: Table, flags: Mapping[str, str | int | None]) -> RobustRecipe:
    """The recipe of a classifier; flags go over the run file."""
    from saccade.config import validate
    from saccade.robust.classifiers.recipe import RobustRecipe

    given = {key: value for key, value in flags.items() if value is not None}
    return validate(RobustRecipe, {**table, **given})


def check_installed(extra: str) -> None:
    """Find what an extra installs, without importing it: a figure is drawn after an hour.

    Raises:
        MissingExtra: a package is not installed.
    """
    from saccade.errors import MissingExtra

    for module, package in PACKAGES[extra].items():
        if find_spec(module) is None:
            raise MissingExtra(package, extra)


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[tuple[OnProgress, OnNote]]:
    """A bar for what is under way, and lines above it for what should be read.

    What counts from the start again (the training of a net, then the attacks) has a bar of its own.
    """
    from saccade.cli.common.progress import bars

    with bars(quiet=quiet) as progress:
        bar, last = progress.add_task("", total=None), (0, 0)

        def on_progress(what: str, done: int, total: int) -> None:
            nonlocal bar, last
            if total != last[1] or done < last[0]:
                progress.remove_task(bar)
                bar = progress.add_task(what, total=total, completed=done)
            progress.update(bar, description=what, completed=done)
            last = done, total

        yield on_progress, partial(progress.console.print)


def show_table(rows: Rows, *, keys: int = 1, console: Console | None = None) -> None:
    """Print rows as a table, or as several that fit into the terminal; the first row is the head.

    Args:
        rows: The table.
        keys: Number of its first columns that name a row.
        console: Where to; the terminal if left out.
    """
    from rich.table import Table as Shown
    from rich.text import Text

    from saccade.cli.common.console import terminal
    from saccade.robust.tables import GAP, widths_of, within

    console = console or terminal()
    for part in within(rows, console.width, keys=keys):
        shown = Shown(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for place, (head, width) in enumerate(zip(part[0], widths_of(part), strict=True)):
            # A name that is wider than the terminal goes on in the next line.
            shown.add_column(
                Text(head), justify="left" if place < keys else "right", min_width=width,
                max_width=width, overflow="fold",
            )  # fmt: skip
        for row in part[1:]:
            shown.add_row(*map(Text, row))  # as a string, what stands in brackets would be a style
        console.print(shown)
        console.print()
