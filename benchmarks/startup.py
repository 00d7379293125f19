"""How long `saccade --help`, and the help of every command, takes to appear.

    python benchmarks/startup.py [--n 21] [--out results/startup.json]

At most .35 s on a quiet machine. Beside it stands the floor: an interpreter that does nothing, and
one that imports Typer. The commands take turns, a first round is not counted, and the load of the
machine is written down: on a busy one wall seconds mean little, and the distance from the floor in
CPU seconds tells what the code costs. Each figure is a median with its 95 % CI (order statistics,
no assumption about the distribution).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from saccade.cli import COMMANDS, GROUPS

PYTHON = sys.executable
MODULE = [PYTHON, "-m", "saccade"]
MEASURED = {
    "python -c pass": [PYTHON, "-c", "pass"],
    'python -c "import typer"': [PYTHON, "-c", "import typer"],
    "saccade": MODULE,
    "saccade --help": [*MODULE, "--help"],
} | {
    f"saccade {name} --help": [*MODULE, *name.split(), "--help"]
    for name in [*GROUPS, *(row.name for row in COMMANDS)]
}


class Seconds(NamedTuple):
    """One process."""

    wall: float
    cpu: float


def run(command: list[str]) -> Seconds:
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = 0  # it has been waited for
    return Seconds(wall, usage.ru_utime + usage.ru_stime)


class Median(NamedTuple):
    """A median and its 95 % CI."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:7.3f}  {self.low:.3f}-{self.high:.3f}"


def median(values: list[float]) -> Median:
    """The middle value, and those at the ranks (n -+ 1.96 sqrt(n)) / 2."""
    ordered, n = sorted(values), len(values)
    rank = max(0, math.floor((n - 1.96 * math.sqrt(n)) / 2))
    return Median(statistics.median(ordered), ordered[rank], ordered[-1 - rank])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=21, help="Number of runs of each command.")
    parser.add_argument("--out", type=Path, default=Path("results/startup.json"))
    options = parser.parse_args()
    load = os.getloadavg()
    taken: dict[str, list[Seconds]] = {name: [] for name in MEASURED}
    for counted in [False, *[True] * options.n]:
        for name, command in MEASURED.items():
            seconds = run(command)
            if counted:
                taken[name].append(seconds)
    wall = {name: median([run.wall for run in runs]) for name, runs in taken.items()}
    cpu = {name: median([run.cpu for run in runs]) for name, runs in taken.items()}
    content = {
        "command": "python benchmarks/startup.py",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpus": os.cpu_count(), "load_before": load, "load_after": os.getloadavg(),
            "python": platform.python_version(), "typer": version("typer"),
        },
        "rows": [
            {"command": name, "n": options.n, "wall": wall[name]._asdict(),
             "cpu": cpu[name]._asdict()}
            for name in MEASURED
        ],
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, indent=1) + "\n")
    width = max(map(len, MEASURED))
    print(f"{'command':{width}}    n   wall s  95 % CI          CPU s  95 % CI")
    for name in MEASURED:
        print(f"{name:{width}}  {options.n:3d}  {wall[name]}  {cpu[name]}")
    print(
        f"load average {load[0]:.1f} before, {os.getloadavg()[0]:.1f} after; {os.cpu_count()} CPUs"
    )


if __name__ == "__main__":
    main()
