"""What the protocols share: runs in processes of their own, and one JSON file of each.

A run is an arm with a seed. Its file is there whole or not at all, so that a protocol that was
interrupted goes on with the runs that have none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Made = dict[str, Any]
"""What a run leaves, as JSON."""
Job = tuple[str, int]
"""An arm and a seed."""

EVERY = 5
"""Steps of a training between two that are written down."""
COUNTS = (
    "scored", "correct", "accuracy", "low", "high", "tool_calls", "tool_call_rate", "mean_iou",
    "coverage", "thought_iou", "response_tokens", "aborted", "stops",
)  # fmt: skip


def left_of(jobs: Iterable[Job], out: Path) -> list[Job]:
    """The runs that have no result yet."""
    return [(arm, seed) for arm, seed in jobs if not (out / f"{arm}-{seed}.json").exists()]


def run_all(script: str, jobs: Sequence[Job], out: Path, logs: Path, *, parallel: int) -> None:
    """Do runs in processes of their own, some at a time; `script --one ARM SEED` does one."""
    started = time.monotonic()
    logs.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(parallel) as pool:
        ended = pool.map(lambda job: _child(script, *job, out, logs), jobs)
        for done, name in enumerate(ended, start=1):
            eta = (time.monotonic() - started) / done * (len(jobs) - done)
            print(f"{done}/{len(jobs)} {name}, {eta / 60:.0f} min to go", flush=True)


def _child(script: str, arm: str, seed: int, out: Path, logs: Path) -> str:
    """A run on one thread."""
    command = [sys.executable, script, "--out", str(out), "--one", arm, str(seed)]
    log = logs / f"{arm}-{seed}.txt"
    with log.open("w") as file:
        done = subprocess.run(
            command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=file, stderr=file
        )
    return f"{arm}-{seed}" + (f" FAILED, see {log}" if done.returncode else "")


def write_result(made: Made, out: Path) -> None:
    """Write what a run left."""
    name = f"{made['arm']}-{made['seed']}"
    part = out / f"{name}.part"
    part.write_text(json.dumps(made) + "\n")
    part.rename(out / f"{name}.json")


def timed(train: Callable[[], Path], made: Made) -> Path:
    """Train, and note what it took."""
    wall, cpu = time.monotonic(), time.process_time()
    model = train()
    made["seconds"] = round(time.monotonic() - wall, 1)
    made["cpu_seconds"] = round(time.process_time() - cpu, 1)
    return model


def train_rl(recipe: str, settings: Sequence[str], made: Made) -> Path:
    """Train as `saccade rl RECIPE SETTINGS` does."""
    from saccade.config import read_toml, validate, with_overrides
    from saccade.embedded import with_folders
    from saccade.models.threads import use_threads
    from saccade.train.recipe import RLRecipe
    from saccade.train.rl import rl

    use_threads(1)
    table = with_folders(with_overrides(read_toml(Path(recipe)), settings))
    chosen = validate(RLRecipe, table)
    made["command"] = f"saccade rl {recipe} " + " ".join(settings)
    return timed(lambda: rl(chosen), made)


def steps_of(training: Path, kept: Sequence[str]) -> list[dict[str, float]]:
    """The first step of a training and each `EVERY`th, with some of their metrics."""
    lines = (training / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        {key: round(row[key], 4) for key in kept if row.get(key) is not None}
        for row in rows
        if row["step"] == 1 or row["step"] % EVERY == 0
    ]


def cell_of(pairs: list) -> dict[str, Any]:
    """The counts of a cell of the tables."""
    from saccade.measures.summary import summary

    whole = summary(pairs).model_dump(mode="json")
    return {key: whole[key] for key in COUNTS}
