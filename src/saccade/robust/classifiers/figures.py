"""Pictures of what `saccade attack` and `saccade detect` measured on a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure

from saccade.fisher.target import Classifier
from saccade.robust.attacks.base import Batch
from saccade.robust.attacks.single import Ossa
from saccade.robust.classifiers.recipe import AttackSection
from saccade.robust.classifiers.results import AttackResult, DetectResult
from saccade.robust.classifiers.subjects import Subject
from saccade.robust.classifiers.tables import caption, number
from saccade.robust.tables import plain, under_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 8
ROC = ("fisher", "log_q", "log_probs", "kd", "mahalanobis", "squeezing")


def draw_attack(result: AttackResult, out: Path) -> None:
    """Fooling rate against epsilon, and the largest eigenvalue against the least L2 that flips."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    rates, least = figure.subplots(1, 2)
    for position, (key, cells) in enumerate(result.rates.items()):
        epsilons = [cell.epsilon for cell in cells]
        shade = f"C{position % 10}"
        style = "--" if key.startswith("pgd") else "-"  # it lies on iterated OSSA
        rates.plot(
            epsilons, [cell.rate for cell in cells], style, marker=".", color=shade,
            label=plain(key.removesuffix(" x1")),
        )  # fmt: skip
        low, high = zip(*(cell.interval for cell in cells), strict=True)
        rates.fill_between(epsilons, low, high, color=shade, alpha=0.15, linewidth=0)
    rates.set(xlabel="epsilon", ylabel="fooling rate", ylim=(0, 1))
    first = result.nets[0].vulnerability
    flipped = [
        (size, value)
        for size, value in zip(first.least_l2, first.log_lambda1, strict=True)
        if size is not None and value is not None
    ]
    if flipped:
        least.scatter(*zip(*flipped, strict=True), s=8, alpha=0.5)
    least.set(xlabel="least L2 along the top eigenvector that flips", ylabel="log of lambda_1")
    spearman = number(first.spearman_log_lambda1, ".2f")
    title = f"net {result.nets[0].net}: Spearman {spearman}, "
    least.set_title(title + f"never flips {first.never_flips.along_the_eigenvector}", fontsize=9)
    _finish(rates, least)
    text = f"{caption(result)}; bands: 95 % CI"
    figure.supxlabel(under_figure(text, result.command, width=150), fontsize=7, color="0.4")
    figure.savefig(out, dpi=150)


def draw_detection(result: DetectResult, out: Path) -> None:
    """ROC for OSSA on the first net, and the AUC of all signals against all attacks."""
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    roc, table = figure.subplots(1, 2, width_ratios=(1, 1.7))
    for name in ROC:
        curve = result.nets[0].curves.get(name)
        if curve is not None:
            roc.plot(*zip(*curve, strict=True), label=plain(name), linewidth=1.5)
    roc.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    roc.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1))
    roc.set_title(f"OSSA against clean and noisy, net {result.nets[0].net}", fontsize=9)
    names = list(result.auc)
    kinds = list(result.auc[names[0]])
    values = np.array([[_mean(result, name, kind) for kind in kinds] for name in names])
    table.imshow(values, vmin=0.3, vmax=1, cmap="viridis", aspect="auto")
    for row, column in np.ndindex(values.shape):
        text = "-" if np.isnan(values[row, column]) else f"{values[row, column]:.2f}"
        dark = values[row, column] < 0.75
        table.text(column, row, text, ha="center", va="center", fontsize=8,
                   color="white" if dark else "black")  # fmt: skip
    table.set_xticks(range(len(kinds)), [k.replace("_", "\n") for k in kinds], fontsize=8)
    table.set_yticks(range(len(names)), [plain(name) for name in names], fontsize=8)
    table.set_title("AUC, mean over nets", fontsize=9)
    _finish(roc)
    text = under_figure(caption(result), result.command, width=180)
    figure.supxlabel(text, fontsize=7, color="0.4")
    figure.savefig(out, dpi=150)


def draw_examples(subject: Subject, section: AttackSection, out: Path, *, text: str = "") -> None:
    """Images, their top eigenvectors, and what a step along them of a middle size makes."""
    x, y = subject.images.part(slice(0, SHOWN))
    target = Classifier(subject.net)
    epsilon = section.epsilons[len(section.epsilons) // 2]
    way = Ossa().direction(Batch(target, x, y))
    changed = Ossa()(target, x, y, epsilons=[epsilon]).inputs[0]
    with torch.no_grad():
        said = target.log_probs(changed).argmax(1)
    figure = Figure(figsize=(1.3 * len(y), 4.2), layout="constrained")
    axes = figure.subplots(3, len(y), squeeze=False)
    for column in range(len(y)):
        _show(axes[0, column], x[column], f"{int(y[column])}")
        _show(axes[1, column], _centred(way[column]), "eigenvector" if column == 0 else "")
        _show(axes[2, column], changed[column], f"read as {int(said[column])}")
    figure.suptitle(f"OSSA, L2 {epsilon:g}", fontsize=9)
    if text:
        figure.supxlabel(plain(text), fontsize=7, color="0.4")
    figure.savefig(out, dpi=150)


def _mean(result: DetectResult, name: str, kind: str) -> float:
    mean = result.auc[name][kind].mean
    return float("nan") if mean is None else mean


def _centred(way: torch.Tensor) -> torch.Tensor:
    """0 as grey, the largest value as black or white."""
    return 0.5 + 0.5 * way / way.abs().max().clamp_min(1e-12)


def _show(axes: Axes, image: torch.Tensor, title: str) -> None:
    if len(image) == 3:
        axes.imshow(image.permute(1, 2, 0).numpy())
    else:  # of other numbers of channels there is no colour: the first is shown
        axes.imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=1)
    axes.set_title(title, fontsize=8)
    axes.set_axis_off()


def _finish(*panels: Axes) -> None:
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if len(axes.get_legend_handles_labels()[1]) > 1:
            axes.legend(frameon=False, fontsize=7)
