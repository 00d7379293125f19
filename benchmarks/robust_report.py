"""Write the tables of docs/robustness.md from what `saccade attack` and `saccade detect` kept.

    python benchmarks/robust_report.py [--keep NAME RUN ...]

`--keep mnist runs/ossa_mnist` first copies the JSON of a run to docs/robust_results/.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from saccade.robust.detection import over_nets
from saccade.robust.figures import (
    attack_table,
    cross_table,
    detection_table,
    draw_attack,
    draw_detection,
    markdown,
)  # fmt: skip
from saccade.robust.results import AttackResult, DetectResult

RESULTS = Path("docs/robust_results")
PAGE = Path("docs/robustness.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--keep", nargs=2, metavar=("NAME", "RUN"))
    options = parser.parse_args()
    if options.keep:
        name, run = options.keep
        for kind in ("attack", "detect"):
            (RESULTS / f"{name}_{kind}.json").write_bytes((Path(run) / f"{kind}.json").read_bytes())
    PAGE.write_text(filled(PAGE.read_text()))
    attacked, detected = results("mnist")
    draw_attack(attacked, Path("docs/images/ossa_mnist_attack.png"))
    draw_detection(detected, Path("docs/images/ossa_mnist_detect.png"))


def results(name: str) -> tuple[AttackResult, DetectResult]:
    return (
        AttackResult.model_validate_json((RESULTS / f"{name}_attack.json").read_bytes()),
        DetectResult.model_validate_json((RESULTS / f"{name}_detect.json").read_bytes()),
    )


def filled(page: str) -> str:
    """The page with every table between its marks made anew."""
    attacked, detected = results("mnist")
    tables = {
        "mnist_rates": markdown(attack_table(attacked)) + f"\n{_counts(attacked)}",
        "mnist_ratios": _against(attacked, "fgm"),
        "mnist_vulnerability": _vulnerability(attacked),
        "mnist_auc": markdown(detection_table(detected)) + f"\n{_counts(detected)}",
        "mnist_gains": _gains(detected),
        "mnist_crossed": markdown(cross_table(detected)),
    }
    for name, table in tables.items():
        before, rest = page.split(f"<!-- {name} -->")
        after = rest.split(f"<!-- /{name} -->")[1]
        page = f"{before}<!-- {name} -->\n{table}<!-- /{name} -->{after}"
    return page


def _counts(result: AttackResult | DetectResult) -> str:
    nets = ", ".join(f"{net.net} ({net.accuracy:.3f})" for net in result.nets)
    return f"n = {result.nets[0].n} images a net; nets (test accuracy): {nets}.\n"


def _against(result: AttackResult, other: str) -> str:
    """OSSA beside another method, net by net, so that nets are what varies."""
    ours, theirs = result.rates["ossa x1"], result.rates[f"{other} x1"]
    rows = [["epsilon", f"{other} fools", f"OSSA / {other}", "OSSA minus it [95 %]", "nets ahead"]]
    for mine, its in zip(ours, theirs, strict=True):
        gains = [a - b for a, b in zip(mine.nets, its.nets, strict=True)]
        low, high = over_nets(gains) or (float("nan"), float("nan"))
        rows.append([
            f"{mine.epsilon:g}", f"{its.rate:.3f}", f"{mine.rate / its.rate:.3f}",
            f"{sum(gains) / len(gains):+.4f} [{low:+.4f}, {high:+.4f}]",
            f"{sum(gain > 0 for gain in gains)} of {len(gains)}",
        ])  # fmt: skip
    return markdown(rows)


def _vulnerability(result: AttackResult) -> str:
    rows = [["net", "log lambda_1", "log q", "gain [95 %]", "never flips", "n"]]
    for net in result.nets:
        score = net.vulnerability
        low, high = score.gain_interval
        rows.append([
            str(net.net), f"{score.spearman_log_lambda1:.3f}", f"{score.spearman_log_q:.3f}",
            f"{score.gain:+.3f} [{low:+.3f}, {high:+.3f}]",
            str(score.never_flips.along_the_eigenvector), str(score.never_flips.n),
        ])  # fmt: skip
    return markdown(rows)


def _gains(result: DetectResult) -> str:
    kinds = list(result.auc["fisher"])
    rows = [["fisher minus", *kinds]]
    for name, cells in result.auc.items():
        if name == "fisher":
            continue
        told = []
        for kind in kinds:
            gain, span = cells[kind].fisher_minus, cells[kind].fisher_minus_interval
            around = "" if span is None else f" [{span[0]:+.3f}, {span[1]:+.3f}]"
            told.append("-" if gain is None else f"{gain:+.3f}{around}")
        rows.append([name, *told])
    return markdown(rows)


if __name__ == "__main__":
    main()
