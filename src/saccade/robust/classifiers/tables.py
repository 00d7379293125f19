"""Tables and pages of what `saccade attack` and `saccade detect` measured on a classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from saccade.robust.classifiers.results import (
    AttackResult,
    DetectResult,
    NetAttack,
    NetDetection,
    SignalAuc,
)
from saccade.robust.tables import Rows, markdown
from saccade.runs.manifest import as_typed

RATES = "Fooling rate [95 % CI] at each epsilon, of images that the net reads right"
SCORES = "Spearman correlation with the least L2 that flips an image along the top eigenvector"
AREAS = "AUC [95 % CI over nets], fitted to each attack"
GAINS = "AUC of fisher minus that of each other signal [95 % CI over nets]"
CROSSED = "AUC of fisher, fitted to the attack of a row and tried on all"


def attack_table(result: AttackResult) -> Rows:
    """Rows of text: an attack, then its fooling rate [95 % CI] at each epsilon."""
    first = next(iter(result.rates.values()))
    rows = [["attack", *(f"{cell.epsilon:g}" for cell in first)]]
    for key, cells in result.rates.items():
        row = [f"{c.rate:.3f} [{c.interval[0]:.3f}, {c.interval[1]:.3f}]" for c in cells]
        rows.append([key.removesuffix(" x1"), *row])
    return rows


def vulnerability_table(result: AttackResult) -> Rows:
    """Rows of text: a net, then how well two scores of an image tell what flips it."""
    rows = [["net", "log lambda_1", "log q", "gain [95 % CI]", "never flips", "n"]]
    for net in result.nets:
        score = net.vulnerability
        span, gain = score.gain_interval, number(score.gain, "+.3f")
        rows.append([
            str(net.net), number(score.spearman_log_lambda1), number(score.spearman_log_q),
            gain if span is None else f"{gain} [{span[0]:+.3f}, {span[1]:+.3f}]",
            str(score.never_flips.along_the_eigenvector), str(net.n),
        ])  # fmt: skip
    return rows


def number(value: float | None, form: str = ".3f") -> str:
    """A number, and a dash where nothing is known."""
    return "-" if value is None else format(value, form)


def detection_table(result: DetectResult) -> Rows:
    """Rows of text: a signal, then its AUC [95 % CI over nets] for each attack."""
    return _by_signal(result, "signal", "{:.3f}", "{:.2f}", list(result.auc), of_gain=False)


def gain_table(result: DetectResult) -> Rows:
    """Rows of text: a signal, then how far `fisher` is ahead of it for each attack."""
    others = [name for name in result.auc if name != "fisher"]
    return _by_signal(result, "fisher minus", "{:+.3f}", "{:+.3f}", others, of_gain=True)


def cross_table(result: DetectResult, signal: str = "fisher") -> Rows:
    """Rows of text: fitted to an attack, the mean AUC over nets on every attack."""
    kinds = list(next(iter(result.auc.values())))
    rows = [["fitted to", *kinds]]
    for fitted in kinds:
        row = []
        for tried in kinds:
            known = [net.crossed[signal].get(fitted, {}).get(tried) for net in result.nets]
            values = [value for value in known if value is not None]
            row.append(f"{np.mean(values):.3f}" if values else "-")
        rows.append([fitted, *row])
    return rows


def attack_page(result: AttackResult) -> str:
    """All of it as Markdown: what was done, by which command, and the tables."""
    section = result.config["attack"]
    assert isinstance(section, dict)
    bounds = "clipped to [0, 1]" if section["clip"] or section["levels"] else "not clipped"
    tables = {
        f"{RATES}. Budgets are of {section['norm']}, images are {bounds}; intervals are Wilson's, "
        "of the images of all nets.": attack_table(result),
        f"{SCORES}, up to {section['limit']:g}: of the logarithm of the largest eigenvalue, and of "
        "the confidence, log q = log(1 - p_max), to be beaten.": vulnerability_table(result),
    }
    return _page("Attacks", result, tables)


def detection_page(result: DetectResult) -> str:
    """All of it as Markdown: what was done, by which command, and the tables."""
    tables = {
        f"{AREAS} (Student's t). Attacked images that fool the net against clean and noisy ones.":
            detection_table(result),
        f"{CROSSED}, mean over nets.": cross_table(result),
    }  # fmt: skip
    if len(result.auc) > 1:
        tables |= {f"{GAINS}.": gain_table(result)}
    return _page("Detection", result, tables)


def caption(result: AttackResult | DetectResult) -> str:
    """What was measured, in a line: data, nets with their accuracy, n, seed."""
    config, nets = result.config, result.nets
    numbers = sorted({net.n for net in nets})
    n = f"n = {numbers[0]}" if len(numbers) == 1 else f"n = {numbers[0]} to {numbers[-1]}"
    return f"{config['data']}: {_nets(result)}, {n} images each, seed {config['seed']}"


def _nets(result: AttackResult | DetectResult) -> str:
    nets: Sequence[NetAttack | NetDetection] = result.nets
    low, high = (of(net.accuracy for net in nets) for of in (min, max))
    if result.config.get("model") is not None:
        return f"{result.config['model']} (test accuracy {low:.3f})"
    if len(nets) == 1:
        return f"net {nets[0].net} (test accuracy {low:.3f})"
    return f"{len(nets)} nets (test accuracy {low:.3f} to {high:.3f})"


def _page(title: str, result: AttackResult | DetectResult, tables: dict[str, Rows]) -> str:
    parts = [f"# {title}\n", f"{caption(result)}.\n"]
    if result.command:
        parts.append(f"Command: `{as_typed(result.command)}`\n")
    for text, rows in tables.items():
        parts += [f"{text}\n", markdown(rows)]
    return "\n".join(parts)


def _by_signal(
    result: DetectResult, head: str, mean: str, bound: str, names: Sequence[str], *, of_gain: bool
) -> Rows:
    kinds = list(next(iter(result.auc.values())))
    rows = [[head, *kinds]]
    for name in names:
        row = []
        for kind in kinds:
            value, span = _cell(result.auc[name][kind], of_gain=of_gain)
            around = "" if span is None else " [" + ", ".join(map(bound.format, span)) + "]"
            row.append("-" if value is None else mean.format(value) + around)
        rows.append([name, *row])
    return rows


def _cell(cell: SignalAuc, *, of_gain: bool) -> tuple[float | None, tuple[float, float] | None]:
    return (
        (cell.fisher_minus, cell.fisher_minus_interval) if of_gain else (cell.mean, cell.interval)
    )
