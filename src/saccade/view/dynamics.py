"""The dynamics of a reinforcement learning run: the figure of the paper, a table and JSON.

Source of the choice of series: DeepEyes (arXiv 2505.14362), section 4.3: reward and accuracy, tool
calls, response length without observations, IoU of the boxes where the true ones are known.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from saccade.errors import MissingExtra, StoreError
from saccade.files import read_lines
from saccade.runs.manifest import RUN, read_manifest

METRICS = "metrics.jsonl"
MAX_LINE_BYTES = 2**20
ROWS = 12
"""Number of steps in the printed table; the JSON holds all of them."""


class Column(NamedTuple):
    """A column of the printed table that shows one metric of a step."""

    title: str
    key: str
    digits: int


COLUMNS = (
    Column("reward", "reward", 3),
    Column("accuracy", "accuracy", 3),
    Column("tool-call rate", "tool_call_rate", 3),
    Column("mean IoU", "mean_iou", 3),
    Column("tool calls", "tool_calls", 2),
    Column("successful", "tool_calls_ok", 2),
    Column("response tokens", "response_tokens", 1),
    Column("entropy", "entropy", 3),
    Column("KL", "kl", 4),
    Column("aborted", "aborted", 0),
    Column("unscored groups", "groups/unscored", 0),
)


class Dynamics(NamedTuple):
    """The metrics of a run: a row for each step."""

    run: str
    path: Path
    fingerprint: str | None
    """Of the environment that was trained in, where the run has a manifest."""
    steps: tuple[dict[str, float], ...]

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """The steps at which a metric is known, and its values there."""
        known = [(row["step"], row[key]) for row in self.steps if row.get(key) is not None]
        return [step for step, _ in known], [value for _, value in known]


def is_training(folder: Path) -> bool:
    """Whether a folder was written by `saccade rl`, rather than being a run of episodes."""
    return (folder / METRICS).is_file()


def read_dynamics(folder: Path) -> Dynamics:
    """Read the metrics of a run, under way or finished.

    Raises:
        StoreError: the folder holds none.
    """
    lines = read_lines(folder / METRICS, most=MAX_LINE_BYTES)
    rows = [json.loads(data) for _, data in lines if data.endswith(b"\n")]
    if not rows:
        raise StoreError(f"{folder}: no step of a training is finished yet")
    if "reward" not in rows[0]:
        raise StoreError(f"{folder}: a training without rewards; its losses are in {METRICS}")
    known = (folder / RUN).is_file()
    fingerprint = read_manifest(folder).fingerprint if known else None
    return Dynamics(folder.name, folder, fingerprint, tuple(rows))


def markdown(runs: Sequence[Dynamics]) -> str:
    """A table of `ROWS` steps of each run, the first and the last among them."""
    head = ["run", "step", *(column.title for column in COLUMNS)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for run in runs:
        last = len(run.steps) - 1
        places = sorted({round(i * last / max(ROWS - 1, 1)) for i in range(ROWS)})
        for row in (run.steps[place] for place in places):
            cells = [run.run.replace("|", "\\|"), f"{row['step']:.0f}"]
            cells += [_number(row.get(c.key), c.digits) for c in COLUMNS]
            lines.append("| " + " | ".join(cells) + " |")
    lines += [""] + [f"{run.run}: environment {run.fingerprint}" for run in runs if run.fingerprint]
    return "\n".join(lines).rstrip() + "\n"


def as_json(runs: Sequence[Dynamics]) -> list[dict[str, JsonValue]]:
    """Every metric of every step."""
    return [
        {
            "run": run.run,
            "path": str(run.path),
            "fingerprint": run.fingerprint,
            "steps": [dict(row) for row in run.steps],
        }
        for run in runs
    ]


def write_dynamics(runs: Sequence[Dynamics], out: Path) -> tuple[Path, ...]:
    """Write `dynamics.md`, `dynamics.json` and `dynamics.png` into a folder.

    Raises:
        MissingExtra: matplotlib is not installed; the other two files are written.
    """
    out.mkdir(parents=True, exist_ok=True)
    text, numbers, picture = (out / f"dynamics.{kind}" for kind in ("md", "json", "png"))
    text.write_text(markdown(runs))
    numbers.write_text(json.dumps(as_json(runs)) + "\n")
    _draw(runs, picture)
    return text, numbers, picture


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _draw(runs: Sequence[Dynamics], out: Path) -> None:
    """Three panels over the steps: reward, tool calls with response length, boxes."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
    except ImportError as error:
        raise MissingExtra("matplotlib", "plots") from error
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    reward, calls, boxes = figure.subplots(1, 3)
    length = calls.twinx()
    panels = (
        (reward, "reward", "C0", "reward"),
        (reward, "accuracy", "C2", "accuracy"),
        (calls, "tool_calls", "C1", "tool calls per episode"),
        (length, "response_tokens", "C4", "response tokens (right axis)"),
        (boxes, "mean_iou", "C3", "mean IoU"),
        (boxes, "coverage", "C5", "mean coverage"),
    )
    faint = 1.0 if len(runs) == 1 else 0.55
    for axes, key, colour, _ in panels:
        for run in runs:
            axes.plot(*run.series(key), color=colour, alpha=faint, linewidth=1.4)
    for axes in (reward, calls, boxes):
        shown = [p for p in panels if p[0] is axes or (axes is calls and p[0] is length)]
        marks = [Line2D([], [], color=colour) for _, _, colour, _ in shown]
        axes.legend(marks, [name for *_, name in shown], frameon=False, fontsize=8)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.spines[["top"]].set_visible(False)
        axes.set_ylim(bottom=0)
    length.set_ylim(bottom=0)
    length.spines[["top"]].set_visible(False)
    boxes.set_ylim(0, 1)
    figure.savefig(out, dpi=150)
