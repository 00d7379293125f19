"""The tables of docs/nano.md and docs/nano_agent.md, from what the documented commands printed.

    python benchmarks/nano_report.py

`results/nano/` and `results/nano_agent/` hold the JSON that `saccade nano probe --json` and
`saccade nano eval --json` printed, and of each training the measured skills of its stages
(`vision.jsonl`, ...).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from places import fill

ARMS = ("direct", "agent", "own_box", "wrong_box", "true_box")
SKILLS = (
    "thought_read0", "thought_read1", "thought_easy", "direct_easy", "shown", "own_box", "iou",
)  # fmt: skip
ABLATIONS = {
    "shipped": "the shipped base (digits off centre)",
    "base0": "the recipe",
    "no_word_supervision": "without supervision of colour words (`word_supervision=false`)",
    "no_thought": "without the thought (`thought=false`)",
    "no_two_turn": "without two-turn examples (`mix.show=0 mix.read_later=0`)",
    "adamw": "AdamW everywhere instead of Muon (`muon=false`)",
    "joint": "vision and language in one stage (`joint=true`)",
    "no_vision_stage": "no heads on the vision tower, one stage (`vision_stage=false`)",
}


AGENTS = {
    "nano-base-v2": "no cold start",
    "nano-sft-v2": "cold start",
    "nano-agent": "cold start, then RL",
}
TARGETS = {
    "read": (0.85, "calls at least .95"), "easy": (0.88, "calls at most .1"), "compute": (0.70, ""),
    "lookup": (0.60, ""), "all": (0.25, ""),
}  # fmt: skip
"""Family -> least accuracy, and what the share of episodes with a call must be."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    options = parser.parse_args()
    for name, made in (("nano", tables), ("nano_agent", agent_tables)):
        fill(options.docs / f"{name}.md", made(options.results / name))


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


def agent_tables(results: Path) -> dict[str, str]:
    """Marker -> Markdown, of the models with all tools."""
    return {
        "agents": agents_table(results),
        "product": product_line(read(results / "nano-agent.json")),
        "skills": skills_table(results / "training"),
    }


def agents_table(results: Path) -> str:
    found = {name: read(results / f"{name}.json") for name in AGENTS}
    one = next(iter(found.values()))
    head = ["family", "target", *(f"`{n}` ({what}): accuracy, calls" for n, what in AGENTS.items())]
    rows = [
        f"Split {one['split']}, seed {one['seed']}, n = {one['n']} a cell: accuracy [95 % CI], and "
        "the share of episodes with a call:",
        "",
        "| " + " | ".join([*head, "`nano-agent`, at once"]) + " |",
        "|---" * (len(head) + 1) + "|",
    ]
    for family in found["nano-agent"]["families"]:
        least, calls = TARGETS.get(family, (None, ""))
        wanted = "" if least is None else f"{least:.2f}" + (f", {calls}" if calls else "")
        cells = [f"`{family}`", wanted]
        for content in found.values():
            free = content["families"][family]["agent"]
            cells.append(f"{share(free)} {interval(free)}, {free['tool_call_rate']:.3f}")
        at_once = found["nano-agent"]["families"][family]["direct"]
        rows.append("| " + " | ".join([*cells, f"{share(at_once)} {interval(at_once)}"]) + " |")
    return "\n".join(rows)


def product_line(content: dict[str, Any]) -> str:
    """What `all` would be if its parts were independent: two looked-up facts of a small thing."""
    of = {name: row["agent"]["accuracy"] for name, row in content["families"].items()}
    small = of["compute_far"] ** 0.5
    return (
        "`all` takes a small plate, two facts and their product. If one small plate is right in "
        f"{small:.2f} (the root of `compute_far`, which takes two) and a fact in "
        f"{of['lookup']:.2f} (`lookup`, a legible plate included), the product of the parts is "
        f"{small * of['lookup'] ** 2:.2f}; measured is {of['all']:.2f}."
    )


def skills_table(training: Path) -> str:
    rows = ["| stage | steps | skills at its end |", "|---|---|---|"]
    for stage in ("vision", "language", "habit"):
        last = json.loads((training / f"{stage}.jsonl").read_text().splitlines()[-1])
        skills = ", ".join(f"`{k}` {v:.2f}" for k, v in last.items() if k not in ("step", "loss"))
        rows.append(f"| {stage} | {last['step']} | {skills} |")
    return "\n".join(rows)


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def probe_table(found: dict[str, Any]) -> str:
    rows = ["| held-out digits | accuracy | 95 % CI | n | required |", "|---|---|---|---|---|"]
    wanted = {"read_view": "at most .20", "read_crop": "at least .95", "easy_view": "at least .95"}
    for condition, row in found.items():
        cells = (share(row), interval(row), str(row["n"]), wanted[condition])
        rows.append(f"| `{condition.replace('_', ' in the ')}` | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def arms_table(content: dict[str, Any]) -> str:
    n = content["n"]
    rows = [
        f"`{content['model']}`, split {content['split']}, seed {content['seed']}: accuracy "
        f"[95 % CI] of each arm, n = {n} a cell:",
        "",
        "| family | "
        + " | ".join(f"`{arm}`" for arm in ARMS)
        + " | `agent`: tool-call rate | `own_box`: mean IoU |",
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
        "| family | accuracy | 95 % CI | tool-call rate | n |",
        "|---|---|---|---|---|",
    ]
    for family, arms in content["families"].items():
        free = arms["agent"]
        cells = (share(free), interval(free), f"{free['tool_call_rate']:.4f}", str(free["n"]))
        rows.append(f"| `{family}` | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def seeds_table(results: Path) -> str:
    head = ("base seed", "`read`: `own_box`", "`read`: `wrong_box`", "`read`: `true_box`",
            "`read`: `direct`", "`easy`: `direct`", "`easy`: `agent`, T = 1",
            "`read`: tool-call rate, T = 1",
            "sft, `read`: accuracy / tool-call rate", "sft, `easy`: accuracy / tool-call rate",
            )  # fmt: skip
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
    head = ("training", "stage", "steps", *(f"`{skill}`" for skill in SKILLS))
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, what in ABLATIONS.items():
        for stage in ("vision", "language", "prior"):
            path = training / name / f"{stage}.jsonl"
            if not path.exists() or (stage == "vision" and name != "adamw"):
                continue
            last = json.loads(path.read_text().splitlines()[-1])
            cells = [f"{last[skill]:.2f}" if skill in last else "" for skill in SKILLS]
            if stage == "vision":
                cells[0] = f"digits in crops {last['crop']:.2f}, large {last['large']:.2f}"
            rows.append(f"| {what} | {stage} | {last['step']} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def share(row: dict[str, Any]) -> str:
    return f"{row['accuracy']:.3f}"


def interval(row: dict[str, Any]) -> str:
    return f"[{row['low']:.2f}, {row['high']:.2f}]"


if __name__ == "__main__":
    main()
