"""What was run: `run.json`, the same in every folder that a command leaves.

    manifest = manifest_of("rollout", recipe, fingerprint=environment.fingerprint)
    keep_manifest(Path("runs/demo"), manifest)      # written, or compared with what is there

A folder is resumed by a run that means the same. What counts as meaning stands in one table,
`CHANGES_MEANING`; the commit, versions, command line and time are there to be read, and are never
compared.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePath

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from saccade import __version__
from saccade.errors import ConfigError, FormatError, StoreError
from saccade.files import read_whole, write_whole
from saccade.untrusted.secrets import without_secrets

RUN = "run.json"
FINISHED = "finished.json"
MAX_BYTES = 16 * 2**20
"""Larger ones are not read."""

CHANGES_MEANING = {
    # what is asked
    "tasks": True,
    "tasks.n": False,
    "samples": False,
    "seed": True,
    "max_image_pixels": False,
    "bench": True,
    "data": True,
    "order": True,
    "shard": True,
    "arm": True,
    "compat": True,
    # what answers
    "model": True,
    "policy": True,
    "policy.max_batch": False,
    "policy.device": False,
    "policy.budget": False,
    "policy.image_urls": False,
    "sampling": True,
    # what it meets
    "fingerprint": True,
    "dialect": True,
    "tools": True,
    "environment": True,
    # what it scores
    "reward": True,
    "reward.judge.budget": False,
    # whether it is asked first if it sees
    "canary": False,
    "train.canary_every": False,
    # what is done with it
    "train": True,
    "train.steps": False,
    "train.schedule_steps": True,
    "train.save_steps": False,
    "train.keep_every": False,
    "train.generation_batch": False,
    "train.device": False,
    "steps": False,
    "schedule_steps": True,
    "save_steps": False,
    "device": False,
    "curate": True,
    "curate.samples": False,
    "n": False,
    "nets": False,
    "malformed": False,
    "images": False,
    "teachers": True,
    "teachers.max_batch": False,
    "teachers.device": False,
    "teachers.budget": False,
    "teachers.image_urls": False,
    "demos": False,
    "attack": True,
    "detect": True,
    # where, how fast, how long
    "out": False,
    "concurrency": False,
    "max_aborts": False,
    "step_limit": False,
    # the same of every server, tool and judge, wherever it stands
    "*.base_url": False,
    "*.urls": False,
    "*.api_key_env": False,
    "*.key_env": False,
    "*.token_env": False,
    "*.timeout_s": False,
    "*.collective_timeout_s": False,
    "*.timeout_seconds": False,
    "*.deadline_s": False,
    "*.max_seconds": False,
    "*.max_retries": False,
    "*.backoff_s": False,
    "*.cooldown_s": False,
    "*.cooldown_seconds": False,
    "*.concurrency": False,
    "*.per_second": False,
    "*.price": False,
    "*.requests.budget": False,
    "*.stream": False,
    "*.price_in": False,
    "*.price_out": False,
    "*.cache": False,
    "*.threads": False,
    "*.workers": False,
    "*.memory_mb": False,
    "*.sandbox.mode": False,
    "*.sandbox.allow_degraded": False,
    "*.sandbox.scratch": False,
    "*.sandbox.max_sessions": False,
    "*.sandbox.max_cells": False,
    "*.sandbox.first_user": False,
}
"""Dotted key of a run file -> whether a run with another value of it is another run.

Rows that begin with `*.` hold for every setting whose key ends so; else the longest key that a
setting lies under decides, and a setting under none is taken to change the meaning. Hosts,
time-outs, counts and what is only kept or printed do not change it: such a run goes on.
"""


class Manifest(BaseModel):
    """The content of `run.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verb: str
    """The command: rollout, bench, solve, demo, curate, sft, rl, attack, detect, ..."""
    config: dict[str, JsonValue]
    """The resolved run file: every option, those that were left out too."""
    chosen: dict[str, JsonValue] | None = Field(default=None, exclude=True)
    """The options of this process that are not at their default; None where that is not known."""
    fingerprint: str | None = None
    """The fingerprint of the environment, where there is one."""
    prompts: str | None = None
    """Hash of the prompt templates of the environment; None in runs that did not keep it."""
    seed: int | None = None
    versions: dict[str, str] = {}
    """The versions of Python and of the libraries that this process had loaded."""
    commit: str | None = None
    """The commit of the checkout that Saccade ran from, if it ran from one."""
    dirty: bool | None = None
    """Whether that checkout had changes that are in no commit."""
    command: str = ""
    """The command line."""
    created: str = ""
    """The time at which the run was first started, in UTC."""


def manifest_of(
    verb: str, recipe: BaseModel, *, fingerprint: str | None = None, prompts: str | None = None
) -> Manifest:
    """What a later reader needs to know of a run.

    Args:
        verb: The command.
        recipe: Its run file, resolved.
        fingerprint: Of the environment, where there is one.
        prompts: Hash of the prompt templates of the environment, where there is one.
    """
    config = kept_of(recipe.model_dump(mode="json"))
    words = [str(without_secrets(word)) for word in sys.argv]
    seed = config.get("seed")
    commit, dirty = checkout()
    return Manifest(
        verb=verb,
        config=config,
        chosen=recipe.model_dump(mode="json", exclude_defaults=True),
        fingerprint=fingerprint,
        prompts=prompts,
        seed=seed if isinstance(seed, int) else None,
        versions={"python": platform.python_version(), **_versions()},
        commit=commit,
        dirty=dirty,
        command=shlex.join(words).encode("utf-8", "replace").decode(),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def kept_of(config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """A run file as `run.json` keeps it: without passwords, and secrets of URLs, that are in it."""
    kept = without_secrets(dict(config))
    assert isinstance(kept, dict)
    return kept


def as_typed(command: str) -> str:
    """A command line as a user types it: the program is `saccade`, wherever it is installed."""
    try:
        program, *words = shlex.split(command)
    except ValueError:  # empty, or a quotation without its end
        return command
    path = PurePath(program)
    ours = path.name in ("saccade", "saccade.exe") or path.parts[-2:] == ("saccade", "__main__.py")
    return shlex.join(["saccade", *words]) if ours else command


def keep_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `run.json`, or check that the folder holds a run that means the same.

    A run that goes on with other settings that change no meaning, such as more tasks, is described
    as it goes on.

    Raises:
        ConfigError: the folder holds another run; the message names every setting that differs.
        StoreError: the folder cannot be written.
    """
    file = folder / RUN
    if not file.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be created ({error.strerror})") from error
        write_whole(file, manifest.model_dump_json(indent=2).encode() + b"\n")
        return
    held = read_manifest(folder)
    check_same(folder, held, manifest)
    if held.config != manifest.config:
        going_on = manifest.model_copy(update={"created": held.created})
        write_whole(file, going_on.model_dump_json(indent=2).encode() + b"\n")


def check_same(folder: Path, held: Manifest, new: Manifest) -> None:
    """Refuse to go on with a run as with another one.

    Raises:
        ConfigError: the message names every setting that differs.
    """
    if changes := differences(held, new):
        raise ConfigError(
            f"out={folder} holds another run:\n  "
            + "\n  ".join(changes)
            + "\nchoose another out, or the old settings to resume"
        )


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder.

    Raises:
        StoreError: the folder holds no run.
        FormatError: its `run.json` is damaged.
    """
    try:
        return Manifest.model_validate_json(read_whole(folder / RUN, most=MAX_BYTES))
    except OSError as error:
        raise StoreError(f"{folder}: no run folder (no {RUN})") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FormatError(f"{folder / RUN}: {place}: {first['msg']}") from error


def differences(held: Manifest, new: Manifest) -> list[str]:
    """What makes another run of it, a line for each setting: `seed: 0 -> 1`.

    An option that `held` does not have, since it came later, is at its default there.
    """
    if held.verb != new.verb:
        return [f"it was made by `saccade {held.verb}`, this is `saccade {new.verb}`"]
    lines = list(_differences(kept_of(held.config), kept_of(new.config), new.chosen))
    known = held.fingerprint is not None and new.fingerprint is not None
    another = known and held.fingerprint != new.fingerprint
    if not lines and another and changes_meaning("fingerprint"):
        lines = [
            f"the environment: {held.fingerprint} -> {new.fingerprint} (prompts, an index that "
            "is searched, the versions of a tool's libraries, or Saccade itself have changed)"
        ]
    return lines


def changes_meaning(key: str) -> bool:
    """Whether a run with another value of this dotted key is another run."""
    for ending, meaning in CHANGES_MEANING.items():
        if ending.startswith("*.") and f".{key}".endswith(ending[1:]):
            return meaning
    place = key
    while place:
        if place in CHANGES_MEANING:
            return CHANGES_MEANING[place]
        place = place.rpartition(".")[0]
    return True


def _differences(old: JsonValue, new: JsonValue, chosen: JsonValue, key: str = "") -> Iterator[str]:
    """The settings that differ; `chosen` is the part of `new` that is not at its default."""
    if isinstance(old, dict) and isinstance(new, dict):
        known = chosen if isinstance(chosen, dict) else None
        for name in sorted(set(old) | set(new)):
            if name in old or known is None or name in known:
                inner = f"{key}.{name}" if key else name
                below = None if known is None else known.get(name, {})
                yield from _differences(old.get(name), new.get(name), below, inner)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for one, other in zip(old, new, strict=True):
            yield from _differences(one, other, None, key)
    elif old != new and changes_meaning(key):
        yield f"{key}: {json.dumps(old)} -> {json.dumps(new)}"


_VERSIONED = ("numpy", "pillow", "pydantic", "torch", "transformers", "trl", "vllm")
_MODULES = {"pillow": "PIL"}


def _versions() -> dict[str, str]:
    """Of the libraries that are loaded: what is only installed has not been used."""
    found = {"saccade": __version__}
    for name in _VERSIONED:
        if _MODULES.get(name, name) in sys.modules:
            try:
                found[name] = _version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


_version = cache(importlib.metadata.version)  # a reading of a file, milliseconds each time


@cache
def checkout() -> tuple[str | None, bool | None]:
    """The commit that Saccade runs from and whether there are changes; None outside of a checkout.

    A package that is installed into somebody's repository is not a part of it.
    """
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(here.parent), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", here.name) is None:
        return None, None
    commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain")
    return commit, None if changes is None else bool(changes)
