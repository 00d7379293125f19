"""RealX-Bench in miniature: the embedded agent in the four tool conditions, beside the paper.

    python benchmarks/realx_nano.py [--seed 20260] [--n 900]

Each condition is `saccade bench nano_realx bench.tools=NAME`: looks and Python are there in all
of them. It writes results/realx_nano.json and the table of docs/reproducing.md; `--table` writes
only the table, from that file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from places import fill

from saccade.bench.published import published
from saccade.bench.results import measure
from saccade.bench.sets.search.realx import ABILITIES, INTEGRATION, SEARCHES
from saccade.embedded import DEFAULT

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "results" / "realx_nano.json", ROOT / "docs" / "reproducing.md"
GROUPS = ("all", *ABILITIES, INTEGRATION)
PAPER = ("Qwen2.5-VL-7B", "DeepEyesV2-7B", "Human")
"""Models whose published rows stand beside ours."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seed", type=int, default=20260, help="of the scenes")
    parser.add_argument("--n", type=int, default=900, help="questions, of nine families in turn")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        found = {
            "command": f"python benchmarks/realx_nano.py --seed {options.seed} --n {options.n}",
            "model": DEFAULT,
            "conditions": {name: played(name, options.seed, options.n) for name in SEARCHES},
        }
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    fill(PAGE, {"realx": table(json.loads(RESULTS.read_text()))})


def played(condition: str, seed: int, n: int) -> dict[str, dict[str, float | int | None]]:
    """Group -> accuracy with its interval."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"bench.tools={condition}", f"bench.scenes={seed}", f"bench.items_drawn={n}"]
        command = [sys.executable, "-m", "saccade", "bench", "nano_realx", *settings]
        subprocess.run([*command, f"out={folder}/run"], check=True)
        metrics = measure(Path(folder) / "run").metrics
    return {
        m.group: {"accuracy": m.value, "low": m.low, "high": m.high, "n": m.n}
        for m in metrics
        if m.group in GROUPS
    }


def table(found: dict) -> str:
    """Both benchmarks by the same groups, in per cent; they ask different questions."""
    head = ("model", "benchmark", "search tools", *GROUPS)
    rows = [head, ["---"] * len(head)]
    for condition, groups in found["conditions"].items():
        cells = (groups[group] for group in GROUPS)
        rows.append(
            [f"`{found['model']}`", "nano_realx", condition]
            + [
                f"{100 * c['accuracy']:.1f} [{100 * c['low']:.0f}, {100 * c['high']:.0f}]"
                for c in cells
            ]
        )
    theirs: dict[tuple[str, str], dict[str, float]] = {}
    for row in published("realx"):
        if row.model in PAPER:
            theirs.setdefault((row.model, row.tools), {})[row.group] = row.value
    for (model, condition), shares in theirs.items():
        rows.append([model, "RealX-Bench", condition, *(f"{shares[g]:.1f}" for g in GROUPS)])
    n = {group: cell["n"] for group, cell in found["conditions"]["none"].items()}
    counted = ", ".join(f"{group} {n[group]}" for group in GROUPS)
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{lines}\n\nn of nano_realx: {counted}; `{found['command']}`."


if __name__ == "__main__":
    main()
