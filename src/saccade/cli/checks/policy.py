"""What `saccade check policy` reads and prints; what it asks is in `saccade.canary`."""

from __future__ import annotations

import asyncio
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from saccade.cli.checks.kinds import kind_of, read_as
from saccade.cli.common.options import read_file, spare_threads, with_settings
from saccade.cli.common.progress import bars, one_bar
from saccade.cli.common.say import say
from saccade.cli.reference.values import toml
from saccade.config import Part, Table, validate, with_overrides
from saccade.errors import ConfigError
from saccade.recipe import Recipe, check_policy
from saccade.untrusted.printable import one_line

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.canary.findings import Finding
    from saccade.train.recipe import RLRecipe


NO_MODELS = ("replay", "reader")
"""Policies that read no pictures, or none but text."""


class Played(NamedTuple):
    """What is asked, and what was typed of it."""

    recipe: Recipe
    given: Table
    """Dotted keys of the settings on the command line, for a run file that is begun."""


def read_played(words: Sequence[str]) -> Played:
    """The run file and the settings of a command line.

    Raises:
        ConfigError: a mistake in either, or no policy.
    """
    named = [word for word in words[:1] if "=" not in word or Path(word).is_file()]
    settings = words[len(named) :]
    file = read_file(Path(named[0])) if named else {}
    table = with_settings(file, settings)
    recipe = _acting(table, named[0]) if named else validate(Recipe, table)
    check_policy(recipe)
    assert recipe.policy is not None
    if recipe.policy.kind in NO_MODELS:
        raise ConfigError(f"policy.kind={recipe.policy.kind}: there is no model to ask")
    return Played(recipe, dict(_dotted(with_overrides({}, settings))))


def examined(recipe: Recipe, *, n: int, seed: int, quiet: bool) -> list[Finding]:
    """Ask, with a bar that says what is asked."""
    from saccade.canary.examine import examine_policy

    spare_threads(recipe.policy)
    with bars(quiet=quiet) as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        on_progress = one_bar(progress)
        return asyncio.run(examine_policy(recipe, n=n, seed=seed, on_progress=on_progress))


def show(findings: Iterable[Finding], lines: Mapping[str, JsonValue]) -> None:
    """Findings with their evidence, then the lines for the run file."""
    for found in findings:
        _echo(f"{found.state:<10} {found.part:<16} ", one_line(found.text) + _interval(found))
        if found.state not in ("ok", "not tried"):
            for reply in found.replies:
                _echo(f"{'':<27} | ", one_line(reply))
    if lines:
        say("\nlines for the run file (--write FILE puts them into any, in its form):")
        for key, value in lines.items():
            say(f"{key} = {toml(value)}")


def _echo(head: str, text: str) -> None:
    """A line; in a terminal it is broken between words, and goes on below where it began."""
    if sys.stdout.isatty():
        width = max(shutil.get_terminal_size().columns, 2 * len(head))
        rest = " " * len(head)
        text = textwrap.fill(
            text, width, initial_indent=rest, subsequent_indent=rest, break_on_hyphens=False
        ).lstrip()
    say(head + text)


def _interval(found: Finding) -> str:
    if found.asked is None or found.low is None or found.high is None:
        return ""
    share = f"{found.right} of {found.asked}, 95 % CI {found.low:.2f}-{found.high:.2f}"
    return f" ({share})"


def _acting(table: Table, where: str) -> Recipe:
    """A run file with what acts in it: of a training, the model that it starts from.

    Raises:
        ConfigError: the run file is of a kind in which nothing acts.
    """
    kind = kind_of(table, where)
    recipe = read_as(kind, table)
    if not isinstance(recipe, Recipe):
        raise ConfigError(f"{where}: a run file of saccade {kind.verb} has no policy to ask")
    if kind.name != "rl":
        return recipe
    policy = Part.model_validate({"kind": "hf", "path": cast("RLRecipe", recipe).model})
    return recipe.model_copy(update={"policy": policy})


def _dotted(table: Table, prefix: str = "") -> Iterable[tuple[str, JsonValue]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
