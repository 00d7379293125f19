"""Stacked bars that compare runs: the kinds of their calls, and what their episodes combine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from saccade.measures.means import Metric
from saccade.measures.tool_kinds import KINDS
from saccade.measures.tool_use import NO_CALL, ToolUse
from saccade.view.reports.drawing import (
    COLOURS,
    DARK,
    FONT,
    OTHERS,
    SETS,
    TITLES,
    plain,
    set_title,
    short,
    single,
)
from saccade.view.reports.gathered import RunTools, families_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SETS = 10
"""Combinations that have a colour of their own, the most frequent ones; the rest is one piece."""


class Piece(NamedTuple):
    """What a part of the bars stands for."""

    title: str
    colour: str
    dark: bool
    """Whether one writes in white on it."""
    share: Callable[[ToolUse], Metric | None]
    """Its share of a bar; None where there is none."""


def kinds_figure(runs: Sequence[RunTools]) -> Figure:
    """Of the calls, the share of each kind: a block for each family, in it a bar for each run."""
    pieces = [Piece(TITLES[kind], COLOURS[kind], kind in DARK, _kind(at))
              for at, kind in enumerate(KINDS)]  # fmt: skip
    return _stacked(runs, pieces, _calls)


def combinations_figure(runs: Sequence[RunTools]) -> Figure:
    """Of the episodes, the share that combines just these kinds; one without a call combines none.

    What is rare is drawn together, without an interval.
    """
    seen: Counter[str] = Counter()
    for run in runs:
        for use in run.families.values():
            seen.update({name: share.value or 0 for name, share in use.combinations.items()})
    called = [name for name, _ in seen.most_common() if name != NO_CALL]
    shown = sorted(called[:MOST_SETS], key=_order)
    pieces = [Piece(NO_CALL, "#eeeeee", dark=False, share=_set(NO_CALL))]
    free = iter(SETS)
    for name in shown:
        alone = next((kind for kind in KINDS if kind == name), None)
        colour = COLOURS[alone] if alone else next(free)
        dark = alone in DARK if alone else True
        pieces.append(Piece(set_title(name), colour, dark, _set(name)))
    if rest := called[MOST_SETS:]:
        pieces.append(Piece("other sets", OTHERS, dark=True, share=_sum(rest)))
    return _stacked(runs, pieces, _episodes)


def _kind(at: int) -> Callable[[ToolUse], Metric | None]:
    return lambda use: use.kinds[at]


def _set(name: str) -> Callable[[ToolUse], Metric | None]:
    return lambda use: use.combinations.get(name)


def _sum(names: Sequence[str]) -> Callable[[ToolUse], Metric | None]:
    def share(use: ToolUse) -> Metric | None:
        held = [use.combinations[name].value or 0 for name in names if name in use.combinations]
        return Metric(name="other sets", value=sum(held), n=use.episodes, units=0) if held else None

    return share


def _order(name: str) -> tuple[int, list[int]]:
    """Single kinds first, then by how many are combined."""
    kinds = name.split(" + ")
    return len(kinds), [at for at, kind in enumerate(KINDS) if kind in kinds]


def _calls(use: ToolUse) -> str:
    mean = use.per_episode.value
    if mean is None:
        return "no finished episode"
    if not use.calls:
        return f"no call in {use.episodes} episodes"
    return f"n = {use.calls}, {mean:.2f} an episode"


def _episodes(use: ToolUse) -> str:
    return f"n = {use.episodes} episodes"


def _stacked(
    runs: Sequence[RunTools], pieces: Sequence[Piece], said: Callable[[ToolUse], str]
) -> Figure:
    families = families_of(runs)
    uses = [run.families[family] for family in families for run in runs if family in run.families]
    shown = [piece for piece in pieces if any(_value(piece.share(use)) for use in uses)]
    legend = 0.24 * (-(-len(shown) // 7) - 1)
    figure, axes = single(10.5, 0.28 * len(uses) + 0.34 * len(families) + 1.1 + legend)
    place, ticks = 0.0, []
    for family in families:
        place += 0.45
        axes.text(-0.005, place, plain(short(family)), ha="right", va="center", weight="bold",
                  fontsize=FONT + 0.5, clip_on=False)  # fmt: skip
        place += 0.9
        for run in (run for run in runs if family in run.families):
            _bar(axes, place, run.families[family], shown, said)
            ticks.append((place, plain(short(run.run))))
            place += 1
        place += 0.15
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks], fontsize=FONT)
    axes.set_ylim(place - 0.3, -0.1)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    _legend(axes, shown)
    return figure


def _bar(
    axes: Axes, place: float, use: ToolUse, shown: Sequence[Piece], said: Callable[[ToolUse], str]
) -> None:
    """The pieces, what they are written in them where there is room, and n beside the bar."""
    axes.text(1.01, place, said(use), va="center", fontsize=FONT - 1, color="0.25", clip_on=False)
    left = 0.0
    for piece in shown:
        share = piece.share(use)
        width = _value(share)
        axes.barh(place, width, 0.78, left, color=piece.colour, edgecolor="white", linewidth=0.8)
        axes.text(left + width / 2, place, _in_bar(piece.title, share, width), ha="center",
                  va="center", fontsize=FONT - 1.5,
                  color="white" if piece.dark else "black")  # fmt: skip
        left += width


def _value(share: Metric | None) -> float:
    return (share.value or 0.0) if share else 0.0


def _in_bar(title: str, share: Metric | None, width: float) -> str:
    """As much as fits."""
    value, ends = f"{100 * width:.0f}", ""
    if share is not None and share.low is not None and share.high is not None:
        ends = f" [{100 * share.low:.0f}, {100 * share.high:.0f}]"
    fits = [text for text in (f"{title} {value}{ends}", value + ends, value)
            if 0.0125 * len(text) < width]  # fmt: skip
    return fits[0] if fits and width >= 0.04 else ""


def _legend(axes: Axes, shown: Sequence[Piece]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color=piece.colour, label=piece.title) for piece in shown]
    axes.legend(handles=patches, loc="lower left", bbox_to_anchor=(0, 1.0),
                ncols=min(7, len(shown)) or 1, frameon=False, fontsize=FONT, handlelength=1,
                columnspacing=1.2)  # fmt: skip
