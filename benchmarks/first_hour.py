"""How long the commands of a first hour take: a question, a run that is finished, an evaluation.

    python benchmarks/first_hour.py [--out results/first_hour.json] [--write docs/performance.md]

1. `saccade solve` with an embedded model: start, imports, one episode. Target: at most 5 s.
2. `saccade rollout`, `sft` and `rl`, each of a run that is finished (it is made beforehand and not
   counted): nothing is to be done. Target: at most 2 s.
3. `saccade nano eval --n 300`: five arms of five families, 7,500 episodes. Target: at most 60 CPU
   seconds.

Each is a process of its own. The commands take turns, a first round is not counted, and the load of
the machine is written down: beside other work wall seconds mean little, CPU seconds (user and
system, children included) hardly change. Each figure is a median with the least and the greatest.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from places import fill

from saccade.nano.spec import sections
from saccade.world import tasks

COMMAND = "python benchmarks/first_hour.py"
SACCADE = (sys.executable, "-m", "saccade")
RECIPES = Path(__file__).resolve().parents[1] / "recipes"
MARK = "first_hour"


class Row(NamedTuple):
    """A command that is timed."""

    name: str
    command: tuple[str, ...]
    target: float
    of: str
    """What the target is of: wall or cpu."""


class Seconds(NamedTuple):
    """One process."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=7, help="Number of runs of each short command.")
    parser.add_argument("--evaluations", type=int, default=3, help="Number of runs of nano eval.")
    parser.add_argument("--questions", type=int, default=300, help="`--n` of nano eval.")
    parser.add_argument("--out", type=Path, default=Path("results/first_hour.json"))
    parser.add_argument("--write", type=Path, help="The page whose table is replaced.")
    options = parser.parse_args()
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        short = [solve(Path(folder)), *finished(Path(folder))]
        found = timed(short, options.n)
    found |= timed([evaluation(options.questions)], options.evaluations, warm=False)
    content = {
        "command": COMMAND,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpus": os.cpu_count(), "load_before": load, "load_after": os.getloadavg(),
            "python": platform.python_version(), "torch": version("torch"),
            "transformers": version("transformers"),
        },
        "rows": [
            {"command": row.name, "n": len(taken), "target": row.target,
             "target_of": row.of, "wall": spread([one.wall for one in taken]),
             "cpu": spread([one.cpu for one in taken])}
            for row, taken in found.items()
        ],
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, indent=1) + "\n")
    text = table(content)
    print(text)
    if options.write:
        fill(options.write, {MARK: text})


def solve(folder: Path) -> Row:
    """A question about a scene of the model's own world, in the environment that it knows."""
    task = next(tasks("read", n=1, seed=5))
    photo = folder / "scene.png"
    photo.write_bytes(task.images[0].encoded().data)
    settings = ["policy.kind=hf", "policy.path=nano-look", f"out={folder / 'solve'}"]
    command = (*SACCADE, "solve", str(photo), task.question, *settings, *flat(sections()))
    return Row("saccade solve, nano-look", command, 5, "wall")


def finished(folder: Path) -> list[Row]:
    """Runs that are made here, and then are nothing to do."""
    demos = folder / "demos"
    commands = {
        "rollout": [str(RECIPES / "nano_demos.toml"), "tasks.n=40", f"out={demos}"],
        "sft": [str(RECIPES / "nano_sft.toml"), f'runs=["{demos}"]', "steps=1", "warmup_steps=0",
                "batch_size=2", f"out={folder / 'sft'}"],
        "rl": [str(RECIPES / "nano_deepeyes.toml"), "train.steps=1", "train.warmup_steps=0",
               "train.prompts=2", "train.group=2", f"out={folder / 'rl'}"],
    }  # fmt: skip
    rows = []
    for verb, arguments in commands.items():
        command = (*SACCADE, verb, *arguments)
        run(command)
        rows.append(Row(f"saccade {verb}, its run finished", command, 2, "wall"))
    return rows


def evaluation(n: int) -> Row:
    command = (*SACCADE, "nano", "eval", "--n", str(n), "--seed", "7", "--json")
    return Row(f"saccade nano eval --n {n}", command, 60, "cpu")


def flat(table: Mapping[str, object], before: str = "") -> Iterator[str]:
    """The settings of a table as KEY=VALUE."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}={json.dumps(value)}"


def timed(rows: list[Row], n: int, *, warm: bool = True) -> dict[Row, list[Seconds]]:
    taken: list[list[Seconds]] = [[] for _ in rows]
    for counted in [*[False] * warm, *[True] * n]:
        for row, seconds in zip(rows, taken, strict=True):
            one = run(row.command)
            if counted:
                seconds.append(one)
    return dict(zip(rows, taken, strict=True))


def run(command: Sequence[str]) -> Seconds:
    """Run a command to its end, with the threads that a user would have.

    Raises:
        CalledProcessError: it failed; what it wrote is shown.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile() as written:
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            written.seek(0)
            sys.stderr.write(written.read().decode(errors="replace"))
            raise subprocess.CalledProcessError(process.returncode, command)
    return Seconds(wall, usage.ru_utime + usage.ru_stime)


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def table(content: Mapping[str, Any]) -> str:
    """Markdown, from what the JSON holds."""
    lines = ["| command | n | wall s | CPU s | target |", "|---|---|---|---|---|"]
    for row in content["rows"]:
        cells = [
            f"{row[of]['median']:.2f} [{row[of]['least']:.2f}, {row[of]['greatest']:.2f}]"
            for of in ("wall", "cpu")
        ]
        unit = "CPU s" if row["target_of"] == "cpu" else "s"
        lines.append(
            f"| {row['command']} | {row['n']} | {cells[0]} | {cells[1]} | "
            f"at most {row['target']:g} {unit} |"
        )
    machine = content["machine"]
    lines += [
        "",
        f"Median [least, greatest]. {machine['cpus']} CPUs, load {machine['load_before'][0]:.1f} "
        f"before and {machine['load_after'][0]:.1f} after, Python {machine['python']}, torch "
        f"{machine['torch']}, {content['date'][:10]}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
