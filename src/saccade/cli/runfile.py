"""What every command with a run file takes, and how it reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="The run file (TOML).")]
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE", help="key=value, over what the run file says.", show_default=False
    ),
]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]

_Kind = TypeVar("_Kind", bound="BaseModel")


def read_runfile(kind: type[_Kind], path: Path, settings: Sequence[str] | None) -> _Kind:
    """A run file with settings over it; names of embedded models become folders.

    Raises:
        ConfigError: it cannot be read, or says something that `kind` does not know.
    """
    from saccade.config import read_toml, validate, with_overrides
    from saccade.embedded import with_folders

    return validate(kind, with_folders(with_overrides(read_toml(path), list(settings or []))))
