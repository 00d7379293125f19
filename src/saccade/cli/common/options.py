"""Options that several commands take, and how a run file is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from saccade.config import Table

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="The run file (TOML).")]
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Keys of the run file; they override what it says.",
        show_default=False,
    ),
]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="The run folders.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Number of CPU threads.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]


def read_runfile(path: Path, settings: Sequence[str] | None) -> Table:
    """A run file with settings over it; names of embedded models become folders.

    Commands read it before they import what they run: a mistake in it is found at once.

    Raises:
        ConfigError: it cannot be read, or a setting is not `key=value`.
    """
    from saccade.config import read_toml, with_overrides
    from saccade.embedded import with_folders

    return with_folders(with_overrides(read_toml(path), list(settings or [])))
