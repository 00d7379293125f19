"""Options that several commands take, and how a run file is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.say import say

if TYPE_CHECKING:
    from saccade.config import Part, Table

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
    return with_settings(read_file(path), settings)


def read_file(path: Path) -> Table:
    """A run file as it is; from now on, modules that stand beside it can be named.

    Raises:
        ConfigError: it cannot be read.
    """
    from saccade.config import read_toml

    table = read_toml(path)
    # Appended: a module of the user's own hides none that is installed.
    sys.path.append(str(path.resolve().parent))
    return table


def with_settings(table: Table, settings: Sequence[str] | None) -> Table:
    """A table with settings over it; names of embedded models become folders.

    Says so if a model is none that is here, and which keys are sent to whom.

    Raises:
        ConfigError: a setting is not `key=value`, or a model that does not exist.
    """
    from saccade.config import with_overrides
    from saccade.embedded import with_folders

    chosen = with_folders(with_overrides(table, list(settings or [])))
    for name in _models(chosen):
        if not Path(name).is_dir():
            say(f"{name}: no folder here, so it is a model of the hub", err=True)
    say_what_is_sent(chosen)
    return chosen


def say_what_is_sent(table: Table) -> None:
    """Say on stderr which variables of the environment a run file sends to whom."""
    from saccade.untrusted.secrets import sent_along

    if os.environ.get("RANK", "0") == "0":  # of several processes the first one says it
        for line in dict.fromkeys(sent_along(table)):
            say(line, err=True)


def _models(table: Table) -> Iterator[str]:
    """What a run file loads as a local model."""
    policy = table.get("policy")
    named = [table.get("model")]
    if isinstance(policy, dict) and policy.get("kind") == "hf":
        named.append(policy.get("path"))
    yield from (name for name in named if isinstance(name, str) and ":" not in name)


def spare_threads(policy: Part | None) -> None:
    """Let an embedded model act on one thread: on more they only wait for each other."""
    from saccade.embedded import is_embedded

    if policy is None or policy.kind != "hf" or not is_embedded(policy.options.get("path")):
        return
    from saccade.models.threads import use_threads

    use_threads(1)
