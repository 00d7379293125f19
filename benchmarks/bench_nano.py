"""What `saccade bench nano` prints, as README.md shows it.

    python benchmarks/bench_nano.py

It runs the two commands that README.md names, keeps what they print and measured in
results/bench_nano.json, and writes the printed tables into the marked block of README.md. A test
compares the two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from places import fill

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results" / "bench_nano.json"
MARK = "bench_nano"
COMMANDS = (
    "saccade bench nano --arm direct out=runs/direct",
    "saccade bench nano out=runs/agent",
    "saccade report runs/direct runs/agent --json",
)
SHOWN = 2
"""How many of the commands README.md shows with what they print."""


def main() -> None:
    """Run the commands, keep and show what they say."""
    with tempfile.TemporaryDirectory() as folder:
        printed = [_printed(command, Path(folder)) for command in COMMANDS]
    report = json.loads(printed[-1])
    kept = {
        "command": "python benchmarks/bench_nano.py",
        "printed": dict(zip(COMMANDS[:SHOWN], printed, strict=False)),
        "comparisons": report["comparisons"],
    }
    RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    fill(ROOT / "README.md", {MARK: block(kept)})


def block(kept: dict[str, dict[str, str]]) -> str:
    """What README.md shows between its marks."""
    shown = "\n".join(f"$ {command}\n{said}" for command, said in kept["printed"].items())
    return f"```text\n{shown.rstrip()}\n```\n"


def _printed(command: str, folder: Path) -> str:
    words = [sys.executable, "-m", *command.split()]
    environment = os.environ | {"COLUMNS": "96", "NO_COLOR": "1"}
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=True, env=environment
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


if __name__ == "__main__":
    main()
