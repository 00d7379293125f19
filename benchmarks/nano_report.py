"""The tables of docs/nano.md, from what the documented commands printed.

    python benchmarks/nano_report.py --results docs/nano_results --write docs/nano.md

`docs/nano_results/` holds the JSON that `saccade nano probe --json` and `saccade nano eval --json`
printed, and of each training the measurements of its stages (`sight.jsonl`, ...).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

ARMS = ("direct", "agent", "own_box", "wrong_box", "true_box")
GATES = ("thought_read0", "thought_read1", "thought_easy", "direct_easy", "shown", "own_box", "iou")
ABLATIONS = {
    "shipped": "the shipped base (digits off centre)",
    "base0": "the recipe",
    "no_words": "without supervision of colour words (`words=false`)",
    "no_thought": "without the thought (`thought=false`)",
    "no_multi_turn": "without two-turn lessons (`mix.show=0 mix.read_later=0`)",
    "adamw": "AdamW everywhere instead of Muon (`muon=false`)",
    "together": "sight and speech in one stage (`together=true`)",
    "no_sight": "no auxiliary heads on the vision tower, one stage (`sight=false`)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("docs/nano_results"))
    parser.add_argument("--write", type=Path, default=Path("docs/nano.md"))
    options = parser.parse_args()
    text = options.write.read_text()
    for name, table in tables(options.results).items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, rest = text.split(start)
        text = f"{before}{start}\n{table}\n{end}{rest.split(end)[1]}"
    options.write.write_text(text)


def tables(results: Path) -> dict[str, str]:
    """Marker -> Markdown."""
    return {
        "probe": probe_table(read(results / "probe.json")),
        "arms": "\n\n".join(
            arms_table(read(results / f"{name}.json")) for name in ("nano-sft", "nano-base")
        ),
        "sampled": sampled_table(results),
        "seeds": seeds_table(results),
        "ablations": ablations_table(results / "training"),
    }


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def probe_table(found: dict[str, Any]) -> str:
    rows = ["| held-out digits | read | 95 % | n | must be |", "|---|---|---|---|---|"]
    wanted = {"read_view": "at most .20", "read_crop": "at least .95", "easy_view": "at least .95"}
    for sight, row in found.items():
        name = sight.replace("_", " in the ")
        rows.append(f"| `{name}` | {share(row)} | {interval(row)} | {row['n']} | {wanted[sight]} |")
    return "\n".join(rows)


def arms_table(content: dict[str, Any]) -> str:
    n = content["n"]
    rows = [
        f"`{content['model']}`, split {content['split']}, seed {content['seed']}, n = {n} a cell:",
        "",
        "| family | " + " | ".join(f"`{arm}`" for arm in ARMS) + " | calls of `agent` | IoU |",
        "|---" * (len(ARMS) + 3) + "|",
    ]
    for family, cells in content["families"].items():
        shown = [f"{share(cells[arm])} {interval(cells[arm])}" for arm in ARMS]
        calls, iou = cells["agent"]["tool_call_rate"], cells["own_box"]["mean_iou"]
        rows.append(f"| `{family}` | " + " | ".join(shown) + f" | {calls:.3f} | {iou:.2f} |")
    return "\n".join(rows)


def sampled_table(results: Path) -> str:
    content = read(results / "nano-base-sampled.json")
    rows = [
        f"`nano-base` sampled at T = 1, {content['samples']} attempts at each of {content['n']} "
        f"questions, seed {content['seed']}:",
        "",
        "| family | right | calls of its own accord |",
        "|---|---|---|",
    ]
    for family, cells in content["families"].items():
        free = cells["agent"]
        rows.append(
            f"| `{family}` | {share(free)} {interval(free)} | {free['tool_call_rate']:.4f} |"
        )
    return "\n".join(rows)


def seeds_table(results: Path) -> str:
    head = ("base seed", "own box", "wrong", "true box", "`read` direct", "`easy` direct",
            "`easy` right, T = 1", "`read` calls, T = 1", "sft: `read` right / calls",
            "sft: `easy` right / calls")  # fmt: skip
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for seed in (0, 1, 2):
        names = (f"seed{seed}", f"seed{seed}-sampled", f"seed{seed}-sft")
        g, s, f = (read(results / f"{name}.json")["families"] for name in names)
        cells = [share(g["read"][arm]) for arm in ("own_box", "wrong_box", "true_box", "direct")]
        cells += [share(g["easy"]["direct"]), share(s["easy"]["agent"])]
        cells.append(f"{s['read']['agent']['tool_call_rate']:.4f}")
        for family in ("read", "easy"):
            cell = f[family]["agent"]
            cells.append(f"{share(cell)} / {cell['tool_call_rate']:.3f}")
        rows.append(f"| {seed} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def ablations_table(training: Path) -> str:
    head = ("training", "stage", "steps", *(f"`{gate}`" for gate in GATES))
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, what in ABLATIONS.items():
        for stage in ("sight", "speech", "prior"):
            path = training / name / f"{stage}.jsonl"
            if not path.exists() or (stage == "sight" and name != "adamw"):
                continue
            last = json.loads(path.read_text().splitlines()[-1])
            cells = [f"{last[gate]:.2f}" if gate in last else "" for gate in GATES]
            if stage == "sight":
                cells[0] = f"digits in crops {last['crop']:.2f}, large {last['large']:.2f}"
            rows.append(f"| {what} | {stage} | {last['step']} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def share(row: dict[str, Any]) -> str:
    return f"{row['accuracy']:.3f}"


def interval(row: dict[str, Any]) -> str:
    return f"[{row['low']:.2f}, {row['high']:.2f}]"


if __name__ == "__main__":
    main()
