"""The runs of all shards of a benchmark, joined into one run folder.

    merge([Path("runs/a-1"), Path("runs/a-2")], Path("runs/a"))

The new folder is the one that the run without shards would have left: the same settings, tasks,
turns and images. Nothing is written into the old ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from saccade.bench.run import VERB
from saccade.bench.source import WHOLE
from saccade.errors import ConfigError
from saccade.runs.finished import Finished, finished
from saccade.runs.folder import Entry, Key, RunFolder, RunReader, finished_in
from saccade.runs.manifest import Manifest, differences


class Shard(NamedTuple):
    """A run of a part of the items."""

    folder: Path
    reader: RunReader
    number: int
    of: int


def merge(
    runs: Sequence[Path],
    out: Path,
    *,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> tuple[Manifest, frozenset[Key]]:
    """Join the runs of shards. The same call goes on where one before it was stopped.

    Args:
        runs: A folder for each shard, in any order.
        out: The new run folder.
        on_progress: Called with what is counted, how many are done, and of how many.

    Returns:
        The manifest of the new run, and task id and sample of every episode in it.

    Raises:
        ConfigError: a shard is missing, is there twice, is not finished or holds more than it was
            asked for; their settings, numbers of items or environments differ; an episode is in two
            of them; or `out` is one of them.
        StoreError: there is no run in a folder, or the new one cannot be written.
    """
    shards = sorted(map(_opened, runs), key=lambda shard: shard.number)
    _check(shards, out)
    manifest = _whole(shards[0].reader.manifest, out)
    seen: dict[Key, Path] = {}
    total = sum(finished_in(shard.folder) for shard in shards)
    with RunFolder(out, manifest) as folder:
        for shard in shards:
            for entry in shard.reader.entries():
                key = (entry.task.id, entry.trajectory.sample)
                if (earlier := seen.setdefault(key, shard.folder)) != shard.folder:
                    raise ConfigError(
                        f"{shard.folder}: the episode {entry.trajectory.id} is in {earlier} as well"
                    )
                if key not in folder.done:
                    _share_images(shard.folder, out, entry)
                    folder.append(*entry)
                on_progress("episodes", len(seen), max(total, len(seen)))
    return manifest, frozenset(seen)


def _opened(run: Path) -> Shard:
    reader = RunReader(run)
    manifest = reader.manifest
    if manifest.verb != VERB:
        raise ConfigError(f"{run}: a run of `saccade {manifest.verb}`, not of `saccade {VERB}`")
    number, of = map(int, str(manifest.config.get("shard", WHOLE)).split("/"))
    return Shard(run, reader, number, of)


def _check(shards: Sequence[Shard], out: Path) -> None:
    if not shards:
        raise ConfigError("merge: name the run folder of each shard")
    first = shards[0]
    for shard in shards:
        if shard.folder.resolve() == out.resolve():
            raise ConfigError(f"out={out}: choose another folder than those of the shards")
        changes = differences(
            _whole(first.reader.manifest, out), _whole(shard.reader.manifest, out)
        )
        if changes:
            raise ConfigError(
                f"{shard.folder} is another run than {first.folder}:\n  " + "\n  ".join(changes)
            )
        config, other = shard.reader.manifest.config, first.reader.manifest.config
        for key in ("n", "samples"):
            if config.get(key) != other.get(key):
                raise ConfigError(
                    f"{shard.folder} has {key}={config.get(key)}, {first.folder} "
                    f"{key}={other.get(key)}: run the smaller one again with the same {key}"
                )
        if shard.of != first.of:
            raise ConfigError(
                f"{shard.folder} is shard {shard.number}/{shard.of}, {first.folder} is "
                f"{first.number}/{first.of}: all have to be of the same number"
            )
    numbers = [shard.number for shard in shards]
    for shard, after in pairwise(shards):
        if shard.number == after.number:
            raise ConfigError(
                f"{shard.folder} and {after.folder} are both shard {shard.number}/{shard.of}"
            )
    if missing := [str(k) for k in range(1, first.of + 1) if k not in numbers]:
        raise ConfigError(f"shard {', '.join(missing)} of {first.of} is missing: name its folder")
    for shard in shards:
        held = finished(VERB, shard.reader.manifest.config, shard.folder)
        named = f"{shard.folder} (shard {shard.number}/{shard.of})"
        if held is None:
            raise ConfigError(f"{named} is not finished: run its command again, then merge")
        asked, there = (
            _episodes(held),
            len({(t.task_id, t.sample) for t in shard.reader.trajectories()}),
        )
        if asked is not None and there > asked:
            raise ConfigError(
                f"{named} holds {there} episodes, and {asked} are asked for: the rest is of a "
                "larger run that was stopped; finish that one, or play this one into a new folder"
            )


def _episodes(held: Finished) -> int | None:
    """Of how many episodes the result of a run is, where it says so."""
    measured = held.result.get("measured")
    cost = measured.get("cost") if isinstance(measured, dict) else None
    episodes = cost.get("episodes") if isinstance(cost, dict) else None
    return episodes if isinstance(episodes, int) else None


def _whole(manifest: Manifest, out: Path) -> Manifest:
    """The manifest of the run without shards."""
    config: dict[str, JsonValue] = {**manifest.config, "shard": WHOLE, "out": str(out)}
    return manifest.model_copy(update={"config": config, "chosen": None})


def _share_images(run: Path, out: Path, entry: Entry) -> None:
    """Link the images that the new folder lacks; those that cannot be linked `append` writes."""
    for image in {*entry.task.images, *entry.trajectory.images}:
        old, new = (folder / "images" / image.source.name for folder in (run, out))
        if old.is_file() and not old.is_symlink():
            with suppress(OSError):
                os.link(old, new)
