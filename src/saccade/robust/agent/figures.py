"""Pictures of an agent under attack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from saccade.images.image import Image
from saccade.robust.agent.recipe import AgentAttackRecipe
from saccade.robust.agent.results import AgentAttackResult
from saccade.robust.agent.tables import TITLES, WAYS, caption
from saccade.robust.tables import under_figure


def draw_agent(result: AgentAttackResult, out: Path) -> None:
    """Accuracy against the budget: own attack, transfer, noise; a panel a threat."""
    figure = Figure(figsize=(5.4 * len(result.threats), 4.4), layout="constrained")
    panels = figure.subplots(1, len(result.threats), squeeze=False, sharey=True)[0]
    for axes, (threat, rows) in zip(panels, result.threats.items(), strict=True):
        sizes = [0, *(row.epsilon for row in rows)]
        places = range(len(sizes))
        for shade, arm in enumerate(result.clean.arms):
            ways = zip(*((row.noise, row.own, row.transfer) for row in rows), strict=True)
            for name, found, style in zip(WAYS, ways, (":", "-", "--"), strict=True):
                points = [compared.arms[arm] for compared in (result.clean, *found)]
                accuracies = [point.accuracy for point in points]
                colour = f"C{shade}"
                axes.plot(
                    places, accuracies, style, marker=".", color=colour, label=f"{arm}, {name}"
                )
                if name == "own attack":
                    low, high = zip(*(point.interval for point in points), strict=True)
                    axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_xticks(places, [str(size) for size in sizes])
        axes.set(xlabel="largest change of a value, of 255", ylim=(0, 1))
        axes.set_title(TITLES[threat], fontsize=10)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"accuracy, n = {result.threats[threat][0].n}")
    names = panels[0].get_legend_handles_labels()
    text = under_figure(f"{caption(result)}; bands: 95 % CI", result.command, width=110)
    figure.suptitle(text, fontsize=7, color="0.4")
    figure.legend(*names, loc="outside lower center", ncols=len(result.clean.arms), frameon=False)
    figure.savefig(out, dpi=150)


def draw_attacked(recipe: AgentAttackRecipe, out: Path) -> None:
    """The first question as it is and as each attack left it, with what was changed, enlarged."""
    section, folder = recipe.attack, Path(recipe.out) / "attacked"
    epsilon = section.epsilons[len(section.epsilons) // 2]
    names = ["noise", *(f"{arm}-{loss}" for arm in section.arms for loss in section.losses)]
    figure = Figure(
        figsize=(2 * (len(names) + 1), 4.2 * len(section.threats)), layout="constrained"
    )
    panels = figure.subplots(2 * len(section.threats), len(names) + 1, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for row, threat in enumerate(section.threats):
        clean = _read(folder / f"{threat}-clean-0.png")
        panels[2 * row, 0].imshow(clean)
        panels[2 * row, 0].set_title(f"{threat}, clean", fontsize=9)
        for column, name in enumerate(names, start=1):
            changed = _read(folder / f"{threat}-{name}-0-by-{epsilon}.png")
            difference = (changed.astype(float) - clean) / epsilon
            panels[2 * row, column].imshow(changed)
            panels[2 * row, column].set_title(name.replace("-", ": "), fontsize=9)
            panels[2 * row + 1, column].imshow(0.5 + difference / 2)
    figure.suptitle(f"at most {epsilon} of 255; below, what was changed", fontsize=9)
    figure.savefig(out, dpi=110)


def _read(file: Path) -> NDArray[np.uint8]:
    return np.array(Image.open(file).pixels(), np.uint8)
