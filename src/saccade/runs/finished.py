"""What a finished run leaves beside `run.json`, so that to run it again does nothing, at once.

    config = recipe.model_dump(mode="json")
    done = finished("sft", config, out)            # before anything heavy is imported
    if done is None:
        ...                                        # do what is missing
        done = finish(out, "sft", config, result)  # what `--json` prints
    show(done.result)

A run that asks for more than was finished (`AMOUNTS`: more tasks, samples, steps) is not finished;
one that asks for less is, and its result says of how much it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from saccade.errors import FormatError, StoreError
from saccade.files import read_whole, write_whole
from saccade.runs.manifest import (
    FINISHED,
    MAX_BYTES,
    RUN,
    Manifest,
    check_same,
    differences,
    kept_of,
    read_manifest,
)

AMOUNTS = (
    "tasks.n", "samples", "curate.samples", "demos.enough", "steps", "train.steps", "n", "nets",
)  # fmt: skip
"""Settings that say how much there is to do; None is all there is, and a list is what it names."""


class Finished(BaseModel):
    """The content of `finished.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verb: str
    """The command."""
    config: dict[str, JsonValue]
    """The resolved run file that was carried out to its end."""
    result: dict[str, JsonValue]
    """What the command prints of it."""
    needs: tuple[str, ...] = ()
    """Files and folders beside it without which it is not finished."""
    total: int | None = None
    """Number of tasks that there were, where the run file does not say it."""

    def beyond(self, config: Mapping[str, JsonValue]) -> list[str]:
        """Of what more was done than this run file asks for: `tasks.n=400`."""
        held = {key: _setting(self.config, key) for key in AMOUNTS}
        more = [key for key, value in held.items() if _more(value, _setting(config, key))]
        return [f"{key}={'all' if held[key] is None else held[key]}" for key in more]


def read_finished(folder: Path) -> Finished:
    """What a finished run has left.

    Raises:
        StoreError: the run in this folder is not finished.
        FormatError: its `finished.json` is damaged.
    """
    try:
        return Finished.model_validate_json(read_whole(folder / FINISHED, most=MAX_BYTES))
    except OSError as error:
        raise StoreError(f"{folder}: no finished run (no {FINISHED})") from error
    except ValidationError as error:
        raise FormatError(f"{folder / FINISHED}: {error.errors()[0]['msg']}") from error


def finished(
    verb: str, config: Mapping[str, JsonValue], folder: Path, *, total: int | None = None
) -> Finished | None:
    """What was finished in a folder, if nothing more is asked for now.

    It reads two small files and imports nothing heavy: call it before what does.

    Args:
        verb: The command.
        config: The resolved run file, `recipe.model_dump(mode="json")`.
        folder: The run folder.
        total: Number of tasks that there are now, if it is known: a file of tasks may have grown.

    Raises:
        ConfigError: the folder holds another run; the message names every setting that differs.
        FormatError: its `run.json` is damaged.
    """
    try:
        held = read_finished(folder)
    except (StoreError, FormatError):  # a damaged note is none: what is missing is found anew
        return None
    if not (folder / RUN).exists() or not all((folder / name).exists() for name in held.needs):
        return None
    manifest = read_manifest(folder)
    asked = Manifest(verb=verb, config=dict(config))
    check_same(folder, manifest, asked.model_copy(update={"chosen": {}}))
    if differences(manifest, asked):
        return None  # by options that came later: whoever goes on knows their defaults
    if differences(manifest, Manifest(verb=held.verb, config=held.config)):
        return None  # it is of a run that was here before
    if any(_more(_setting(config, key), _setting(held.config, key)) for key in AMOUNTS):
        return None
    if total is not None and (held.total is None or total > held.total):
        return None
    return held


def finish(
    folder: Path,
    verb: str,
    config: Mapping[str, JsonValue],
    result: Mapping[str, JsonValue],
    *,
    needs: Sequence[str] = (),
    total: int | None = None,
) -> Finished:
    """Note that a run has come to its end.

    Args:
        folder: The run folder.
        verb: The command.
        config: The resolved run file.
        result: What the command prints of it, now and when it is run again.
        needs: Files and folders in the run folder without which it is not finished.
        total: Number of tasks that there were, if it is known.

    Raises:
        StoreError: the folder cannot be written.
    """
    made = Finished(
        verb=verb,
        config=kept_of(config),
        result=dict(result),
        needs=tuple(needs),
        total=total,
    )
    write_whole(folder / FINISHED, made.model_dump_json(indent=1).encode() + b"\n")
    return made


def _setting(config: Mapping[str, JsonValue], key: str) -> JsonValue:
    place: JsonValue = dict(config)
    for name in key.split("."):
        place = place.get(name) if isinstance(place, dict) else None
    return place


def _more(new: JsonValue, old: JsonValue) -> bool:
    """Whether a setting asks for more than another one did."""
    if isinstance(new, int | float) and isinstance(old, int | float):
        return new > old
    if isinstance(new, list) and isinstance(old, list):
        return any(item not in old for item in new)
    return new is None and old is not None
