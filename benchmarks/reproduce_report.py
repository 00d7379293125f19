"""The tables and the figure of docs/reproducing.md, from what `reproduce_deepeyes.py` left.

python benchmarks/reproduce_report.py [--results results/deepeyes]
    [--write docs/reproducing.md] [--figure docs/images/deepeyes_dynamics.png]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from places import fill

from saccade.measures.paired import mcnemar

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "deepeyes"
BASES = {
    "base": "`nano-base`",
    "base-no-thought": "the base without thoughts",
    "base-never-thought": "a base that never learned thoughts",
}
NOT_RUN = "Not run yet."
Run = dict[str, Any]
Results = dict[str, list[Run]]

T_975 = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306}
T_80 = {4: 0.941, 5: 0.920, 6: 0.906, 8: 0.889}
"""Quantiles of Student's t by degrees of freedom: .975, and .80 for a power of 80 %."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--results", type=Path, default=Path("results/deepeyes"))
    parser.add_argument("--write", type=Path, default=Path("docs/reproducing.md"))
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    results = read(options.results)
    fill(options.write, tables(results))
    if options.figure:
        draw(results, options.figure)


def read(folder: Path) -> Results:
    """Arm -> its runs by seed."""
    found: Results = {}
    for path in sorted(folder.glob("*.json")):
        run = json.loads(path.read_text())
        found.setdefault(run["arm"], []).append(run)
    return {arm: sorted(runs, key=lambda r: r["seed"]) for arm, runs in found.items()}


def protocol() -> dict[str, Any]:
    return tomllib.loads((HERE / "reproduce_deepeyes.toml").read_text())


def tables(results: Results) -> dict[str, str]:
    """Name of a place in the page -> its table, and which runs of the protocol it lacks."""
    lacks = missing(results)
    made = {
        "claim": claim(results),
        "far": far(results),
        "bonus": bonus(results),
        "prior": prior(results),
        "size": size(results),
        "phases": phases(results),
        "filter": filtered(results),
        "selectivity": selectivity(results),
    }
    parts = {name: table if table.count("\n") > 1 else NOT_RUN for name, table in made.items()}
    return parts | {
        "transfer": transfer(RESULTS / "transfer"),
        "probe": probe(RESULTS / "probe"),
        "missing": f"Runs of the protocol that are still to be done: {lacks}." if lacks else "",
    }


def missing(results: Results) -> str:
    """Arms with fewer seeds than the protocol says."""
    left = {
        arm: options["seeds"] - len(results.get(arm, []))
        for arm, options in protocol()["arms"].items()
    }
    return ", ".join(f"{arm} {count}" for arm, count in left.items() if count)


def claim(results: Results) -> str:
    """Every seed of the default arm, before and after."""
    lines = [
        "| | seconds | `read` accuracy [95 % CI] | tool-call rate | tool-call rate, T = 1 "
        "| accuracy when forced: own / wrong / true box | mean IoU | `easy` accuracy / tool-call "
        "rate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in [*results.get("base", []), *results.get("deepeyes", [])]:
        read, easy = run["greedy"]["read"], run["greedy"]["easy"]["agent"]
        boxes = " / ".join(
            number(read[a]["accuracy"]) for a in ("own_box", "wrong_box", "true_box")
        )
        name = "`nano-base`" if run["arm"] == "base" else f"seed {run['seed']}"
        lines.append(
            f"| {name} | {run.get('seconds', '')} | {share(read['agent'])} | "
            f"{number(read['agent']['tool_call_rate'])} | "
            f"{run['sampled']['read']['tool_call_rate']:.4f} | {boxes} | "
            f"{number(read['own_box']['mean_iou'])} | "
            f"{number(easy['accuracy'])} / {number(easy['tool_call_rate'])} |"
        )
    runs = results.get("deepeyes", [])
    right = [run["greedy"]["read"]["agent"]["accuracy"] for run in runs]
    calls = [run["greedy"]["read"]["agent"]["tool_call_rate"] for run in runs]
    if runs:
        lines += [
            "",
            f"Mean of {len(runs)} seeds: accuracy {spread(right)}, tool-call rate {spread(calls)}.",
        ]
    return "\n".join(lines)


def far(results: Results) -> str:
    """Own boxes before and after, question by question."""
    base = results.get("base", [{}])[0].get("paired", {}).get("far/own_box")
    lines = [
        "| trained on | seed | accuracy with own box: before | after | p (McNemar) | mean IoU: "
        "before | after | difference [95 % CI] |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm, name in (("deepeyes", "`read`"), ("far", "`far`")):
        for run in results.get(arm, []) if base else ():
            after = run["paired"]["far/own_box"]
            gained = sum(a > b for a, b in zip(after["right"], base["right"], strict=True))
            lost = sum(a < b for a, b in zip(after["right"], base["right"], strict=True))
            change = np.array(after["iou"]) - np.array(base["iou"])
            low, high = bootstrap(change)
            lines.append(
                f"| {name} | {run['seed']} | {mean_of(base['right'])} | "
                f"{mean_of(after['right'])} | {mcnemar(gained, lost):.3f} | "
                f"{np.mean(base['iou']):.3f} | "
                f"{np.mean(after['iou']):.3f} | {change.mean():+.3f} [{low:+.3f}, {high:+.3f}] |"
            )
    return "\n".join(lines)


def bonus(results: Results) -> str:
    """The three settings of the tool bonus."""
    arms = ("deepeyes", "no-bonus", "unconditional", "text-only")
    lines = [
        "| reward | seeds | `read` accuracy: each seed | mean [95 % CI] | tool-call rate: each "
        "seed | steps until half of the episodes call |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(results, arm) for arm in arms if arm in results]
    found = {a: _right(results[a]) for a in arms[:3] if len(results.get(a, [])) > 1}
    if len(found) > 1:
        pooled = math.sqrt(statistics.fmean(statistics.variance(v) for v in found.values()))
        n = min(map(len, found.values()))
        free = 2 * n - 2
        least = (T_975[free] + T_80.get(free, 0.9)) * pooled * math.sqrt(2 / n)
        lines += [
            "",
            f"Two arms of {n} seeds would have to differ by {least:.3f} for this design to see it "
            "(two-sided .05, power .8, pooled deviation of the seeds).",
        ]
    return "\n".join(lines)


def prior(results: Results) -> str:
    """How often a base calls, and what becomes of it."""
    lines = [
        "| last stage | its tool-call rate, T = 1 | seeds | `read` accuracy: each seed | mean "
        "[95 % CI] | tool-call rate: each seed | steps until half of the episodes call |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm in ("prior-0", "prior-001", "prior-01", "prior-1"):
        base = results.get(f"base-{arm}", [None])[0]
        rate = "" if base is None else f"{base['sampled']['read']['tool_call_rate']:.4f}"
        if arm in results:
            name, *rest = _row(results, arm).split(" | ")
            lines.append(" | ".join([name, rate, *rest]))
    return "\n".join(lines)


def size(results: Results) -> str:
    """The same training of models of two widths, each from a base of its own."""
    lines = [
        "| model | parameters | its base: `read` accuracy when forced to look | tool-call rate, "
        "T = 1 | seeds | `read` accuracy: each seed | mean [95 % CI] | tool-call rate: each seed "
        "| steps until half of the episodes call |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm, start in (("width-64", "base-width-64"), ("deepeyes", "base")):
        if "width-64" in results and start in results:
            base = results[start][0]
            forced = number(base["greedy"]["read"].get("own_box", {}).get("accuracy"))
            parameters = f"{base.get('parameters', 0) / 1e6:.2f} M"
            rate = f"{base['sampled']['read']['tool_call_rate']:.4f}"
            name, *rest = _row(results, arm).split(" | ")
            name = "| width 96, as shipped" if arm == "deepeyes" else name
            lines.append(" | ".join([name, parameters, forced, rate, *rest]))
    return "\n".join(lines)


def phases(results: Results) -> str:
    """Calls and lengths at the start, at their peak and at the end."""
    lines = [
        "| trained on | seed | tool calls per episode: first step | peak (step) | last step "
        "| response tokens: first step | peak (step) | last step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm, name in (("deepeyes", "`read`"), ("far", "`far`"), ("unfiltered", "`read`, `easy`")):
        for run in results.get(arm, []):
            cells = []
            for key, digits in (("tool_calls", 2), ("response_tokens", 1)):
                known = [(row[key], int(row["step"])) for row in run["steps"] if key in row]
                peak, at = max(known, key=lambda pair: (pair[0], -pair[1]))
                first, last = known[0][0], known[-1][0]
                cells += [f"{first:.{digits}f}", f"{peak:.{digits}f} ({at})", f"{last:.{digits}f}"]
            lines.append(f"| {name} | {run['seed']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def transfer(folder: Path) -> str:
    """Questions, prompts and tools that no training had."""
    cells = (
        ("none", "read"), ("none", "easy"), ("zoom", "relation"), ("zoom", "colour"),
        ("zoom", "turned"), ("zoom, rotate", "turned"), ("zoom, rotate", "read"),
    )  # fmt: skip
    lines = [
        "| model | " + " | ".join(f"`{family}`, {tools}" for tools, family in cells) + " | turned "
        "by the tool | looks twice |",
        "|---" * (len(cells) + 3) + "|",
    ]
    n = 0
    for path in sorted(folder.glob("*.json")):
        measured = json.loads(path.read_text())
        n, found = measured["n"], measured["found"]
        shown = [found[tools][family] for tools, family in cells]
        turned = sum(cell["rotated"] for cell in found["zoom, rotate"].values())
        more: dict[str, int] = {}
        for asked in found.values():
            for cell in asked.values():
                for name, count in cell["patterns"].items():
                    more[name] = more.get(name, 0) + count
        twice = ", ".join(f"{count} {name}" for name, count in more.items()) or "never"
        pairs = (f"{number(c['accuracy'])} / {number(c['tool_call_rate'])}" for c in shown)
        lines.append(f"| {measured['model']} | {' | '.join(pairs)} | {turned} | {twice} |")
    lines += ["", f"Accuracy / tool-call rate, greedy, n = {n} a cell."]
    return "\n".join(lines) if n else NOT_RUN


def filtered(results: Results) -> str:
    """Curated questions against the same ones unfiltered."""
    lines = [
        "| questions | seed | `read` accuracy / tool-call rate | `easy` accuracy / tool-call rate "
        "| steps until half of the episodes call |",
        "|---|---|---|---|---|",
    ]
    for arm in ("unfiltered", "filtered"):
        for run in results.get(arm, []):
            cells = [run["greedy"][family]["agent"] for family in ("read", "easy")]
            shown = [f"{number(c['accuracy'])} / {number(c['tool_call_rate'])}" for c in cells]
            started = take_off(run["steps"])
            title = protocol()["arms"][arm]["title"]
            lines.append(
                f"| {title} | {run['seed']} | {' | '.join(shown)} | "
                f"{'never' if started is None else started} |"
            )
    for path in sorted((RESULTS / "curated").glob("*.json")):
        counts = json.loads(path.read_text())
        dropped = ", ".join(f"{n} {reason}" for reason, n in counts["dropped"].items()) or "none"
        lines += [
            "",
            f"`{counts['command']}`: {counts['kept']} of {counts['questions']} kept; "
            f"dropped: {dropped}.",
        ]
    return "\n".join(lines)


def selectivity(results: Results) -> str:
    """Which method calls where it must and only there."""
    lines = [
        "| method | seed | `read0` accuracy / tool-call rate | `read1` | `easy` | tool-call rate, "
        "T = 1: `read`; `easy` | mean IoU of the thought | accuracy on both | tool calls per "
        "question |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    arms = [name for name, arm in protocol()["arms"].items() if arm.get("group") == "selectivity"]
    bases = [run for base in BASES for run in results.get(base, [])]
    for run in [*bases, *(r for arm in arms for r in results.get(arm, []))]:
        greedy, sampled = run["greedy"], run["sampled"]
        cells = [greedy[f]["agent"] for f in ("read0", "read1", "easy")]
        shown = [f"{number(c['accuracy'])} / {number(c['tool_call_rate'])}" for c in cells]
        both = [greedy[f]["agent"] for f in ("read", "easy")]
        title = BASES.get(run["arm"]) or protocol()["arms"][run["arm"]]["title"]
        lines.append(
            f"| {title} | {run['seed'] if 'steps' in run else ''} | {' | '.join(shown)} | "
            f"{number(sampled['read']['tool_call_rate'])}; "
            f"{number(sampled['easy']['tool_call_rate'])} | "
            f"{number(both[0]['thought_iou'])} | "
            f"{number(statistics.fmean(c['accuracy'] for c in both))} | "
            f"{number(statistics.fmean(c['tool_calls'] for c in both))} |"
        )
    return "\n".join(lines)


def probe(folder: Path) -> str:
    """What a linear probe reads at the decision, layer by layer."""
    lines = ["| model | place | embeddings | layer 1 | layer 2 | layer 3 |", "|---" * 6 + "|"]
    commands = []
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text())
        commands.append(f"`{found['command']}` (n = {found['n']})")
        for place, layers in found["layers"].items():
            shown = (f"{x['accuracy']:.2f} [{x['low']:.2f}, {x['high']:.2f}]" for x in layers)
            name = found["model"].removeprefix("runs/reproduce/").partition("/")[0]
            lines.append(f"| `{name}` | {place} | {' | '.join(shown)} |")
    return "\n".join([*lines, "", "; ".join(commands)])


def draw(results: Results, out: Path) -> None:
    """Reward, calls and boxes over the steps: all seeds of the three settings of the bonus."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(12, 3.4), layout="constrained")
    panels = (
        ("accuracy", "accuracy"), ("tool_calls", "tool calls per episode"),
        ("mean_iou", "mean IoU"),
    )  # fmt: skip
    arms = {"deepeyes": "C0", "no-bonus": "C1", "unconditional": "C2"}
    for axes, (key, title) in zip(figure.subplots(1, 3), panels, strict=True):
        for arm, colour in arms.items():
            for run in results.get(arm, []):
                known = [(row["step"], row[key]) for row in run["steps"] if key in row]
                axes.plot(*zip(*known, strict=True), color=colour, alpha=0.6, linewidth=1.2)
        axes.set_xlabel("step")
        axes.set_title(title, fontsize=10)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    marks = [Line2D([], [], color=colour) for colour in arms.values()]
    names = [protocol()["arms"][arm]["title"] for arm in arms]
    figure.axes[0].legend(marks, names, frameon=False, fontsize=8)
    figure.savefig(out, dpi=150)


def _row(results: Results, arm: str) -> str:
    runs = results[arm]
    right, calls = _right(runs), [run["greedy"]["read"]["agent"]["tool_call_rate"] for run in runs]
    started = [take_off(run["steps"]) for run in runs]
    return (
        f"| {protocol()['arms'][arm]['title']} | {len(runs)} | {each(right)} | {spread(right)} | "
        f"{each(calls)} | {', '.join('never' if s is None else str(s) for s in started)} |"
    )


def _right(runs: Sequence[Run]) -> list[float]:
    return [run["greedy"]["read"]["agent"]["accuracy"] for run in runs]


def take_off(steps: Sequence[dict[str, float]]) -> int | None:
    """The first step that was kept at which half of the episodes called."""
    return next((int(row["step"]) for row in steps if row.get("tool_call_rate", 0) >= 0.5), None)


def share(cell: dict[str, float]) -> str:
    return f"{cell['accuracy']:.3f} [{cell['low']:.2f}, {cell['high']:.2f}]"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def each(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def spread(values: Sequence[float]) -> str:
    """Mean and 95 % interval of the mean over seeds (Student)."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    half = T_975[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"


def mean_of(right: str) -> str:
    return f"{right.count('1') / len(right):.3f}"


def bootstrap(values: np.ndarray, repeats: int = 10_000) -> tuple[float, float]:
    """95 % interval of a mean, resampling questions."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (repeats, len(values))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
