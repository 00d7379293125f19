"""The tables of docs/search_speed.md, made from results/search.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from saccade.measures.intervals import wilson
from saccade.measures.paired import paired

PAGE = Path(__file__).resolve().parent.parent / "docs" / "search_speed.md"
KNOWN = ("plain", "shuffled", "misspelt")
P50_MS = {100_000: 3.0, 1_000_000: 10.0}
POINTS = 0.02
"""What hit@5 may lack of the best engine."""
BUSY = 1.5
"""Load of the machine above which its latencies say little."""


def tables(found: dict[str, Any]) -> dict[str, str]:
    """By the name of their mark."""
    return {
        "targets": targets(found),
        "cost": cost(found["runs"]),
        "latency": latency(found["runs"]),
        "hits": hits(found["runs"]),
        "hybrid": hybrid(found["hybrid"]) if "hybrid" in found else "Not measured.",
        "how": how(found),
    }


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def targets(found: dict[str, Any]) -> str:
    rows = []
    for run in found["runs"]:
        if run["engine"] != "saccade":
            continue
        size = run["size"]
        for share, factor in ((50, 1), (95, 3)):
            name, worst = max(
                ((name, run["sets"][name][f"p{share}_ms"]) for name in KNOWN),
                key=lambda pair: pair[1],
            )
            at_most = factor * P50_MS[size]
            rows.append([f"{size:,}: p{share} ms of the slowest set ({name})", f"{worst:.2f}",
                         f"at most {at_most:g}", met(worst <= at_most)])  # fmt: skip
        for name in KNOWN:
            best = best_of(found["runs"], size, name)
            lacks = share_of(best["sets"][name]) - share_of(run["sets"][name])
            rows.append([f"{size:,}: hit@5 of {name}, points below the best ({best['engine']})",
                         f"{100 * lacks:.1f}", f"at most {100 * POINTS:g}",
                         met(lacks <= POINTS)])  # fmt: skip
    return table(["what", "measured", "target", ""], rows)


def met(is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def cost(runs: list[dict[str, Any]]) -> str:
    return table(
        ["passages", "engine", "build s", "of CPU s", "disk MiB", "memory of the build MiB",
         "memory of the search MiB"],
        (
            [f"{run['size']:,}", run["engine"], f"{run['build_s']:.1f}",
             f"{run['build_cpu_s']:.1f}", f"{run['disk_mib']:.0f}",
             f"{run['build_peak_mib']:.0f}", f"{run['ask_peak_mib']:.0f}"]
            for run in runs
        ),
    )  # fmt: skip


def latency(runs: list[dict[str, Any]]) -> str:
    def both(of_set: dict[str, Any]) -> str:
        return f"{of_set['p50_ms']:.2f} / {of_set['p95_ms']:.2f}"

    return table(
        ["passages", "engine", *(f"{name}: p50 / p95 ms" for name in KNOWN),
         "misspelt, CPU ms", "491 characters of common words, ms"],
        (
            [f"{run['size']:,}", run["engine"], *(both(run["sets"][name]) for name in KNOWN),
             f"{run['sets']['misspelt']['cpu_p50_ms']:.2f} / "
             f"{run['sets']['misspelt']['cpu_p95_ms']:.2f}", f"{run['long_ms']:.0f}"]
            for run in runs
        ),
    )  # fmt: skip


def hits(runs: list[dict[str, Any]]) -> str:
    rows = []
    for run in runs:
        for name, of_set in run["sets"].items():
            best = best_of(runs, run["size"], name)
            rows.append([f"{run['size']:,}", name, run["engine"], str(of_set["n"]), rate(of_set),
                         f"{reciprocal(of_set):.3f}", against(best, run, name)])  # fmt: skip
    rows.sort(key=lambda row: (len(row[0]), row[0]))
    head = ["passages", "questions", "engine", "n", "hit@5 (95 %)", "MRR@5", "points to the best"]
    return table(head, rows)


def hybrid(found: dict[str, Any]) -> str:
    rows = []
    for name, ways in found["sets"].items():
        for way, of_set in ways.items():
            words = ways["words"]
            same = "" if way == "words" else difference(words["ranks"], of_set["ranks"])
            rows.append([name, way, str(of_set["n"]), rate(of_set), f"{reciprocal(of_set):.3f}",
                         same, f"{of_set['p50_ms']:.1f} / {of_set['p95_ms']:.1f}"])  # fmt: skip
    head = ["questions", "search by", "n", "hit@5 (95 %)", "MRR@5", "points to words",
            "p50 / p95 ms"]  # fmt: skip
    build, disk = found["build_s"], found["disk_mib"]
    return (
        table(head, rows) + f"\n\n`{found['command']}`, {found['date']}, load {found['load']:.1f}: "
        f"{found['size']:,} passages. Embedding took {build['vectors']:.0f} s with "
        f"{found['threads']} threads, {found['size'] / build['vectors']:.1f} passages a second, "
        f"and {found['vectors_cpu_s']:.0f} s of CPU (the words {build['texts']:.1f} s); the "
        f"vectors take {disk['vectors']:.1f} MiB (the words {disk['texts']:.1f} MiB). Model: "
        f"`{found['model']}`."
    )


def how(found: dict[str, Any]) -> str:
    machine, corpus, asked = found["machine"], found["corpus"], found["questions"]
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    packages = ", ".join(f"{name} {number}" for name, number in corpus["packages"].items())
    lines = [
        f"Measured by `{found['command']}` on {found['date']}: {machine['kind']}, "
        f"{machine['cores']} cores, Python {machine['python']}; {versions}. Questions: "
        f"{asked['file']}, seed {asked['seed']}, n = {asked['n']} of each set where there are as "
        "many.",
    ]
    if max(machine["load"], machine["load_after"]) > machine["cores"] * BUSY:
        lines.append(
            f"**The machine was busy** (load {machine['load']:.1f} before and "
            f"{machine['load_after']:.1f} after): seconds and milliseconds are those of a machine "
            "that other work slows down; those of the CPU say more."
        )
    lines.append(f"Passages {corpus['fingerprint']} from: {packages}.")
    return "\n\n".join(lines)


def share_of(of_set: dict[str, Any]) -> float:
    return sum(rank != "0" for rank in of_set["ranks"]) / of_set["n"]


def reciprocal(of_set: dict[str, Any]) -> float:
    return sum(1 / int(rank) for rank in of_set["ranks"] if rank != "0") / of_set["n"]


def rate(of_set: dict[str, Any]) -> str:
    n, share = of_set["n"], share_of(of_set)
    low, high = wilson(round(share * n), n)
    return f"{share:.3f} ({low:.3f} to {high:.3f})"


def best_of(runs: list[dict[str, Any]], size: int, name: str) -> dict[str, Any]:
    able = [run for run in runs if run["size"] == size and name in run["sets"]]
    return max(able, key=lambda run: share_of(run["sets"][name]))


def against(best: dict[str, Any], run: dict[str, Any], name: str) -> str:
    if best is run:
        return "best"
    return difference(best["sets"][name]["ranks"], run["sets"][name]["ranks"])


def difference(before: str, after: str) -> str:
    """Of the questions that both were asked."""
    n = min(len(before), len(after))
    found = paired([rank != "0" for rank in before[:n]], [rank != "0" for rank in after[:n]])
    low, high = found.interval
    return f"{100 * found.difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
