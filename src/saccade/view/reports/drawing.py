"""Colours, names and axes that the figures share.

Colours: M. Okabe and K. Ito, Color Universal Design (2008). What a colour says is also written
beside it: in the bar, or at the end of the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from saccade.errors import MissingExtra
from saccade.measures.tool_kinds import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: dict[Kind, str] = {
    "crop": "#0072B2", "mark": "#CC79A7", "numeric": "#E69F00", "other": "#999999",
    "text_search": "#009E73", "image_search": "#56B4E9", "page": "#D55E00",
}  # fmt: skip
DARK: frozenset[Kind] = frozenset({"crop", "text_search", "page"})
"""Kinds on whose colours one writes in white."""
SETS = (
    "#5B3A8E", "#8C510A", "#35978F", "#A50F4C", "#4D5B1F", "#2B3A67", "#7A4B6B", "#1B6E4B",
    "#6E1F1F", "#3F3F3F",
)  # fmt: skip
"""Of combinations of kinds; all are dark, and none is that of a kind."""
OTHERS = "#777777"
TITLES: dict[Kind, str] = {
    "crop": "crop", "mark": "mark", "numeric": "numeric", "other": "other", "text_search":
    "text search", "image_search": "image search", "page": "page",
}  # fmt: skip
RUN_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#B0478A", "#A66F00", "#2586C2", "#000000")
"""Those of runs; the light ones of the palette are darker here, for numbers are written in them."""
MARKERS = "osD^vPX*"
FONT = 9
NAME = 30
"""Characters of a name that are drawn."""


def need_matplotlib() -> None:
    """Say what to install.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtra("matplotlib", "plots") from error


def single(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one panel, which makes room for what is written beside it. Inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def short(name: str, most: int = NAME) -> str:
    """A name that fits: of a longer one the beginning and the end, which tells runs apart."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    if len(flat) <= most:
        return flat
    end = (most - 1) * 3 // 5
    return f"{flat[: most - 1 - end]}\u2026{flat[-end:]}"


def plain(name: str) -> str:
    """A name that matplotlib reads as text: no mathematics, and no label that it leaves out."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def set_title(name: str) -> str:
    """What a combination of kinds is called, from its name in `ToolUse.combinations`."""
    titles = {str(kind): title for kind, title in TITLES.items()}
    return " + ".join(titles.get(kind, kind) for kind in name.split(" + "))


def spread_out(wanted: Sequence[float], gap: float) -> list[float]:
    """Places near the wanted ones of which no two are closer than `gap`, in the same order."""
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    placed = [wanted[at] for at in order]
    for at in range(1, len(placed)):
        placed[at] = max(placed[at], placed[at - 1] + gap)
    shift = sum(wanted) / len(wanted) - sum(placed) / len(placed) if placed else 0.0
    found = [0.0] * len(wanted)
    for at, place in zip(order, placed, strict=True):
        found[at] = place + shift
    return found
