"""The run folder of a classifier: `nets`, and a folder for each command, `attack` and `detect`.

Nothing here loads torch: a finished run is shown again at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import JsonValue

from saccade.robust.classifiers.recipe import RobustRecipe
from saccade.runs.claim import Claim
from saccade.runs.finished import Finished, finished
from saccade.runs.manifest import RUN, keep_manifest, manifest_of, read_manifest

Verb = Literal["attack", "detect"]
FILES: dict[Verb, tuple[str, ...]] = {
    "attack": ("attack.json", "attack.md", "attack.png", "examples.png"),
    "detect": ("detect.json", "detect.md", "detect.png", "detector.npz"),
}
"""What a command leaves for its user."""


class Held(NamedTuple):
    """A folder that this process writes to."""

    claim: Claim
    """Enter it for as long as something is measured."""
    config: dict[str, JsonValue]
    """What the command is set to do."""
    command: str
    """The command line by which it was begun."""


def folder_of(recipe: RobustRecipe, verb: Verb) -> Path:
    """Where a command keeps what it measured."""
    return Path(recipe.out) / verb


def config_of(recipe: RobustRecipe, verb: Verb) -> dict[str, JsonValue]:
    """What a command is set to do; the section of the other one means nothing to it."""
    other = "detect" if verb == "attack" else "attack"
    config = recipe.model_dump(mode="json")
    return {name: value for name, value in config.items() if name != other}


def hold(recipe: RobustRecipe, verb: Verb) -> Held:
    """Take the folder of a command; it is begun with the first net that was measured.

    Raises:
        ConfigError: it holds a run with other options.
        StoreLocked: another process writes to it.
        StoreError: it cannot be written.
    """
    folder, config = folder_of(recipe, verb), config_of(recipe, verb)
    manifest = manifest_of(verb, recipe).model_copy(update={"config": config, "chosen": None})
    claim = Claim(folder, manifest, begun=(f"{verb}-*.json",))
    held = read_manifest(folder)
    same = held.config == config
    return Held(claim, config, held.command if same else manifest.command)


def finished_run(recipe: RobustRecipe, verb: Verb) -> Finished | None:
    """What was finished, if nothing more is asked for now.

    Raises:
        ConfigError: the folder holds a run with other options.
    """
    return finished(verb, config_of(recipe, verb), folder_of(recipe, verb))


def claim_nets(recipe: RobustRecipe, *, write: bool) -> None:
    """Keep for which data the reference nets of a folder are trained; both commands use them.

    Args:
        recipe: The run file.
        write: Whether a net is about to be written; else only what is there is compared.

    Raises:
        ConfigError: they were trained for other data.
    """
    folder = Path(recipe.out) / "nets"
    if write or (folder / RUN).exists():
        config = recipe.model_dump(mode="json", include={"data", "epochs"})
        manifest = manifest_of("attack", recipe).model_copy(
            update={"config": config, "chosen": None}
        )
        keep_manifest(folder, manifest)
