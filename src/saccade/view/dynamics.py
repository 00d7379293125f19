"""The dynamics of a training: what its metrics say of each step, as a table and JSON.

Source of the choice of series for reinforcement learning: DeepEyes (arXiv 2505.14362), section 4.3:
reward and accuracy, tool calls, response length without observations, IoU of the boxes where the
true ones are known.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite, nan
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from saccade.errors import FormatError, StoreError
from saccade.files import read_lines
from saccade.runs.manifest import RUN, as_typed, read_manifest
from saccade.view.tables import Part, Table, number

METRICS = "metrics.jsonl"
MAX_LINE_BYTES = 2**20
MAX_INTEGER = 2**63
"""Larger ones are no metric, and do not fit into a float."""
ROWS = 12
"""Number of steps in the printed table; the JSON holds all of them."""


class Column(NamedTuple):
    """A column of the printed table that shows one metric of a step."""

    title: str
    key: str
    digits: int


REWARDED = (
    Column("reward", "reward", 3),
    Column("accuracy", "accuracy", 3),
    Column("95 % low", "accuracy_low", 3),
    Column("95 % high", "accuracy_high", 3),
    Column("n", "scored", 0),
    Column("tool-call rate", "tool_call_rate", 3),
    Column("mean IoU", "mean_iou", 3),
    Column("tool calls", "tool_calls", 2),
    Column("std", "tool_calls_std", 2),
    Column("successful", "tool_calls_ok", 2),
    Column("response tokens", "response_tokens", 1),
    Column("loss", "loss", 4),
    Column("entropy", "entropy", 3),
    Column("KL", "kl", 4),
    Column("gradient norm", "grad_norm", 3),
    Column("aborted", "aborted", 0),
    Column("unscored groups", "groups/unscored", 0),
)
"""Of a training on rewards."""

SUPERVISED = (
    Column("loss", "loss", 4),
    Column("token accuracy", "mean_token_accuracy", 4),
    Column("entropy", "entropy", 3),
    Column("gradient norm", "grad_norm", 3),
    Column("learning rate", "learning_rate", 7),
)
"""Of a training on demonstrations."""


class Dynamics(NamedTuple):
    """The metrics of a run: a row for each step."""

    run: str
    path: Path
    fingerprint: str | None
    """Of the environment that was trained in, where the run has a manifest that names one."""
    steps: tuple[dict[str, float], ...]
    command: str = ""
    """The command line that trained, as its manifest has it; empty without one."""

    @property
    def rewarded(self) -> bool:
        """Whether it is a training on rewards rather than on demonstrations."""
        return "reward" in self.steps[0]

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """The steps at which a metric is known, and its values there."""
        known = [(row["step"], row[key]) for row in self.steps if row.get(key) is not None]
        return [step for step, _ in known], [value for _, value in known]


def is_training(folder: Path) -> bool:
    """Whether a folder was written by a training, rather than being a run of episodes."""
    return (folder / METRICS).is_file()


def read_dynamics(folder: Path, name: str | None = None) -> Dynamics:
    """Read the metrics of a run, under way or finished.

    Args:
        folder: That of the training.
        name: What the run is called; that of the folder if left out.

    Raises:
        StoreError: the folder holds none.
        FormatError: a line of them is damaged; names file and line.
    """
    file = folder / METRICS
    lines = read_lines(file, most=MAX_LINE_BYTES)
    rows = [_step(file, *line) for line in lines if line.data.endswith(b"\n")]
    if not rows:
        raise StoreError(f"{folder}: no step of a training is finished yet")
    known = (folder / RUN).is_file()
    manifest = read_manifest(folder) if known else None
    called = folder.resolve().name if name is None else name
    fingerprint = manifest.fingerprint if manifest else None
    command = as_typed(manifest.command) if manifest else ""
    return Dynamics(called, folder, fingerprint, tuple(rows), command)


def dynamics_parts(runs: Sequence[Dynamics]) -> list[Part]:
    """A table of `ROWS` steps of each run, the first and the last among them."""
    parts: list[Part] = []
    for columns, rewarded in ((REWARDED, True), (SUPERVISED, False)):
        some = [run for run in runs if run.rewarded == rewarded]
        if some:
            title = "Training on rewards" if rewarded else "Training on demonstrations"
            parts.append(_table(title, some, columns))
    made = [run for run in runs if run.fingerprint or run.command]
    if made:
        rows = tuple((run.run, run.fingerprint or "-", run.command or "-") for run in made)
        said = ("environment", "command")
        parts.append(Table("What was trained", ("run", *said), rows, prose=said))
    return parts


def dynamics_json(run: Dynamics) -> dict[str, JsonValue]:
    """Every metric of every step."""
    return {
        "run": run.run,
        "path": str(run.path),
        "fingerprint": run.fingerprint,
        "command": run.command,
        "steps": [dict(row) for row in run.steps],
    }


def _step(file: Path, number: int, data: bytes) -> dict[str, float]:
    """The metrics in a line: numbers, of which JSON's NaN is one."""
    try:
        row = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{file}:{number}: damaged ({error})") from error
    if not isinstance(row, dict):
        raise FormatError(f"{file}:{number}: expected an object, got {row!r:.40}")
    for name, value in row.items():
        if not isinstance(value, int | float | None):
            raise FormatError(f"{file}:{number}: {name} must be a number, got {value!r:.40}")
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise FormatError(f"{file}:{number}: {name} must be a number, got an endless one")
    if not isfinite(row.get("step") or nan):
        raise FormatError(f"{file}:{number}: the number of its step is missing")
    return row


def _table(title: str, runs: Sequence[Dynamics], columns: Sequence[Column]) -> Table:
    known = [c for c in columns if any(c.key in row for run in runs for row in run.steps)]
    rows = []
    for run in runs:
        last = len(run.steps) - 1
        places = sorted({round(i * last / max(ROWS - 1, 1)) for i in range(ROWS)})
        for row in (run.steps[place] for place in places):
            cells = (number(row.get(c.key), c.digits) for c in known)
            rows.append((run.run, f"{row['step']:.0f}", *cells))
    head = ("run", "step", *(column.title for column in known))
    return Table(title, head, tuple(rows), keys=2)
