"""Write the tables of docs/robustness.md from what `saccade attack` and `saccade detect` kept.

    python benchmarks/robust_report.py [--keep NAME RUN]

`--keep mnist runs/ossa_mnist` first copies the JSON of a run to results/robust/; so does
`--keep agent_easy runs/agent_attack` for a run on an agent.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import places
from scipy.stats import spearmanr

from saccade.measures.intervals import wilson
from saccade.robust.agent.figures import draw_agent
from saccade.robust.agent.results import AgentAttackResult
from saccade.robust.agent.tables import agent_table
from saccade.robust.classifiers.detection import over_nets
from saccade.robust.classifiers.figures import draw_attack, draw_detection
from saccade.robust.classifiers.results import AttackResult, DetectResult, SignalAuc
from saccade.robust.classifiers.tables import (
    attack_table,
    cross_table,
    detection_table,
    gain_table,
    vulnerability_table,
)
from saccade.robust.tables import markdown

RESULTS = Path("results/robust")
PAGE, PAPERS = Path("docs/robustness.md"), Path("docs/reproducing.md")
DATA = ("mnist", "cifar10")
PAPER: dict[str, dict[str, Any]] = {
    "mnist": {
        "fisher": {"fgm": 0.9611, "otcm": 0.9847, "opt": 0.9567, "bim": 0.9910, "ossa": 0.9313},
        "kd": {"fgm": 0.7812, "otcm": 0.9546, "opt": 0.9515, "bim": 0.9861, "ossa": 0.8424},
        "rates": {
            0.5: {"fgm": 0.374, "otcm": 0.295, "ossa": 0.492},
            0.8: {"fgm": 0.636, "otcm": 0.630, "ossa": 0.776},
        },
        "spearman": "-0.73", "never": "0.105 up to 6",
    },
    "cifar10": {
        "fisher": {"fgm": 0.8018, "otcm": 0.9368, "opt": 0.9945, "bim": 0.9943, "ossa": 0.9801},
        "kd": {"fgm": 0.6492, "otcm": 0.9213, "opt": 0.9135, "bim": 0.9870, "ossa": 0.8889},
        "rates": {
            0.2: {"fgm": 0.600, "otcm": 0.555, "ossa": 0.663},
            0.5: {"fgm": 0.773, "otcm": 0.835, "ossa": 0.882},
        },
        "spearman": "-0.80", "never": "-",
    },
}  # fmt: skip
"""Zhao et al. (AAAI 2019): areas from the poster's table, rates and ranks read off its figures."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--keep", nargs=2, metavar=("NAME", "RUN"))
    options = parser.parse_args()
    if options.keep:
        keep(options.keep[0], Path(options.keep[1]))
    PAGE.write_text(filled(PAGE.read_text()))
    PAPERS.write_text(compared(PAPERS.read_text()))
    draw_agent(agent("easy"), Path("docs/images/agent_attack.png"))
    for name in DATA:
        attacked, detected = results(name)
        draw_attack(attacked, Path(f"docs/images/ossa_{name}_attack.png"))
        draw_detection(detected, Path(f"docs/images/ossa_{name}_detect.png"))


def keep(name: str, run: Path) -> None:
    """Copy what a run measured; of the model and the run nothing that says where they lay."""
    if (run / "agent_attack.json").exists():
        kept = json.loads((run / "agent_attack.json").read_text())
        kept["config"].pop("out")
        kept["config"]["policy"]["path"] = Path(kept["config"]["policy"]["path"]).name
        (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
        return
    for kind in ("attack", "detect"):
        kept = json.loads((run / kind / f"{kind}.json").read_text())
        kept["config"].pop("out")
        (RESULTS / f"{name}_{kind}.json").write_text(json.dumps(kept, indent=1))


def agent(name: str) -> AgentAttackResult:
    return AgentAttackResult.model_validate_json((RESULTS / f"agent_{name}.json").read_bytes())


def results(name: str) -> tuple[AttackResult, DetectResult]:
    return (
        AttackResult.model_validate_json((RESULTS / f"{name}_attack.json").read_bytes()),
        DetectResult.model_validate_json((RESULTS / f"{name}_detect.json").read_bytes()),
    )


def filled(page: str) -> str:
    """docs/robustness.md with every table between its marks made anew."""
    tables = {
        "agent_view": markdown(agent_table(agent("easy"), "view")),
        "agent_photograph": markdown(agent_table(agent("easy"), "photograph")),
        "agent_losses": _losses(agent("easy")),
        "agent_aim": _aim(agent("easy")),
        "cifar10_sure": _among_sure(results("cifar10")[0]),
    }
    for name in DATA:
        attacked, detected = results(name)
        tables |= {
            f"{name}_rates": markdown(attack_table(attacked)) + f"\n{_counts(attacked)}",
            f"{name}_ratios": _against(attacked, "fgm"),
            f"{name}_vulnerability": markdown(vulnerability_table(attacked)),
            f"{name}_auc": markdown(detection_table(detected)) + f"\n{_counts(detected)}",
            f"{name}_gains": markdown(gain_table(detected)),
            f"{name}_crossed": markdown(cross_table(detected)),
        }
    return places.filled(page, tables)


def compared(page: str) -> str:
    """docs/reproducing.md with the tables of the paper's figures beside ours made anew."""
    tables = {"ossa_auc": _paper_auc(), "ossa_rates": _paper_rates(), "ossa_score": _paper_score()}
    return places.filled(page, tables)


def _paper_auc() -> str:
    """The area of the detector, and of kernel density, in the paper and here."""
    kinds = ("fgm", "otcm", "opt", "bim", "ossa")
    rows = [["data", "detector", "", *kinds]]
    for name, paper in PAPER.items():
        _, detected = results(name)
        for title, signal in (("eigenvalues", "fisher"), ("kernel density", "kd")):
            rows.append([name, title, "paper", *(f"{paper[signal][kind]:.3f}" for kind in kinds)])
            cells = [detected.auc[signal][kind] for kind in kinds]
            rows.append([name, title, "here", *map(_mean_and_span, cells)])
    return markdown(rows)


def _paper_rates() -> str:
    """Fooling rates of one step, at a size of ours at which FGM fools about as many."""
    kinds = ("fgm", "otcm", "ossa")
    rows = [["data", "", "size", *kinds, "OSSA / FGM"]]
    for name, paper in PAPER.items():
        attacked, _ = results(name)
        for size, rates in paper["rates"].items():
            ours = attacked.rates["fgm x1"]
            near = min(range(len(ours)), key=lambda i: abs(ours[i].rate - rates["fgm"]))
            here = {kind: attacked.rates[f"{kind} x1"][near] for kind in kinds}
            rows.append([
                name, "paper", f"{size}", *(f"{rates[kind]:.3f}" for kind in kinds),
                f"{rates['ossa'] / rates['fgm']:.2f}",
            ])  # fmt: skip
            rows.append([
                name, "here", f"{ours[near].epsilon:g}",
                *("{:.3f} [{:.2f}, {:.2f}]".format(cell.rate, *cell.interval)
                  for cell in here.values()),
                f"{here['ossa'].rate / here['fgm'].rate:.2f}",
            ])  # fmt: skip
    return markdown(rows)


def _paper_score() -> str:
    """Spearman of the largest eigenvalue and the least change, and images that never flip."""
    rows = [["data", "", "log lambda_1", "log q", "never flip"]]
    for name, paper in PAPER.items():
        attacked, _ = results(name)
        scores = [net.vulnerability for net in attacked.nets]
        eigen = [score.spearman_log_lambda1 for score in scores]
        never = sum(score.never_flips.with_its_sign for score in scores)
        n = sum(score.never_flips.n for score in scores)
        low, high = wilson(never, n)
        rows.append([name, "paper", paper["spearman"], "-", paper["never"]])
        rows.append([
            name, "here", f"{fmean(eigen):.2f} (nets {min(eigen):.2f} to {max(eigen):.2f})",
            f"{fmean(score.spearman_log_q for score in scores):.2f}",
            f"{never / n:.3f} [{low:.3f}, {high:.3f}] up to {scores[0].never_flips.limit:g}",
        ])  # fmt: skip
    return markdown(rows)


def _mean_and_span(cell: SignalAuc) -> str:
    if cell.mean is None or cell.interval is None:
        return "-"
    return "{:.3f} [{:.2f}, {:.2f}]".format(cell.mean, *cell.interval)


def _counts(result: AttackResult | DetectResult) -> str:
    nets = ", ".join(f"{net.net} ({net.accuracy:.3f})" for net in result.nets)
    return f"n = {result.nets[0].n} images a net; nets (test accuracy): {nets}.\n"


def _against(result: AttackResult, other: str) -> str:
    """OSSA beside another method, net by net, so that nets are what varies."""
    ours, theirs = result.rates["ossa x1"], result.rates[f"{other} x1"]
    rows = [
        ["epsilon", f"{other} fools", f"OSSA / {other}", "OSSA minus it [95 % CI]", "nets ahead"]
    ]
    for mine, its in zip(ours, theirs, strict=True):
        gains = [a - b for a, b in zip(mine.nets, its.nets, strict=True)]
        low, high = over_nets(gains) or (float("nan"), float("nan"))
        rows.append([
            f"{mine.epsilon:g}", f"{its.rate:.3f}", f"{mine.rate / its.rate:.3f}",
            f"{sum(gains) / len(gains):+.4f} [{low:+.4f}, {high:+.4f}]",
            f"{sum(gain > 0 for gain in gains)} of {len(gains)}",
        ])  # fmt: skip
    return markdown(rows)


def _among_sure(result: AttackResult) -> str:
    """The ranks again, among the images of which the net is sure by more and more."""
    cuts = {"all": 1.0, "1 - p_max at most .5": 0.5, "at most .2": 0.2}
    rows = [["net", *(f"{title}: log lambda_1, log q (n)" for title in cuts)]]
    for net in result.nets:
        score = net.vulnerability
        limit = score.never_flips.limit
        least = np.array([limit if size is None else size for size in score.least_l2])
        values, log_q = np.array(score.log_lambda1), np.array(score.log_q)
        cells = []
        for cut in cuts.values():
            sure = log_q <= np.log(cut)
            ranks = [spearmanr(of[sure], least[sure]).statistic for of in (values, log_q)]
            cells.append(f"{ranks[0]:.3f}, {ranks[1]:.3f} ({sure.sum()})")
        rows.append([str(net.net), *cells])
    return markdown(rows)


def _losses(result: AgentAttackResult) -> str:
    """Accuracy by what was attacked, loss by loss, at each budget."""
    sizes = sorted({row.epsilon for row in result.outcomes["view"] if row.epsilon})
    rows = [["attack on the", "attacked arm", "tokens", "arm", *(f"{size}" for size in sizes)]]
    for threat, every in result.outcomes.items():
        found: dict[tuple[str, str, str], list[str]] = {}
        for row in every:
            if row.loss is not None:
                share = row.correct.count("1") / len(row.correct)
                key = (row.attacked, row.loss, row.arm)
                found.setdefault(key, []).append(f"{share:.3f}")
        rows += [[threat, *key, *shares] for key, shares in found.items()]
    return markdown(rows)


def _aim(result: AgentAttackResult) -> str:
    """Whether the agent still looks at the asked object, and what comes of it; largest budgets."""
    last = list(result.clean.arms)[-1]
    sizes = sorted({row.epsilon for row in result.outcomes["view"]})[-2:]
    head = ["attack on the", "attacked arm", "tokens"]
    for size in sizes:
        head += [f"looks at it, {size}", "accuracy if so [95 % CI]", "accuracy if not [95 % CI]"]
    rows = [head]
    for threat, every in result.outcomes.items():
        found: dict[tuple[str, str], list[str]] = {}
        for row in every:
            if row.loss is None or row.arm != last or row.epsilon not in sizes:
                continue
            signs = list(zip(row.correct, row.aimed, strict=True))
            cells = found.setdefault((row.attacked, row.loss), [])
            looked = sum(aimed == "1" for _, aimed in signs)
            cells.append(f"{looked} of {len(signs)}")
            for aim in "10":
                chosen = [correct == "1" for correct, aimed in signs if aimed == aim]
                low, high = wilson(sum(chosen), len(chosen))
                share = f"{fmean(chosen):.2f} [{low:.2f}, {high:.2f}]" if chosen else "-"
                cells.append(share)
        rows += [[threat, *key, *cells] for key, cells in found.items()]
    return markdown(rows)


if __name__ == "__main__":
    main()
