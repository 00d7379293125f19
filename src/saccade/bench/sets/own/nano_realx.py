"""nano_realx: the structure of RealX-Bench in drawn scenes, every mixture of its abilities.

A question takes perception (a digit that is too small for the view), search (a fact that stands in
documents alone), reason (a product), any two of them, all three, or none. The documents are those
of `saccade.world.library:Library`, which needs no file; docs/search_world.md has a run file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from saccade.bench.benchmark import About, Scored
from saccade.bench.sets.own.nano import Nano
from saccade.bench.sets.search.realx import Condition, by_ability, check_condition

FAMILIES = (
    "easy", "read", "lookup", "compute", "lookup_far", "compute_far", "lookup_compute", "emblem",
    "all",
)  # fmt: skip
"""One family for each subset of the three abilities, and one that takes both kinds of search."""


class NanoRealX(Nano):
    """Questions that take perception, search and reasoning, about drawn scenes."""

    name: ClassVar[str] = "nano_realx"
    about: ClassVar[About] = Nano.about._replace(
        title="nano (RealX)",
        metric="share of right numbers: average, of the questions that take perception, search or "
        "reasoning, and of those that take all three (integration)",
        differs="no published scorer; the groups are those of RealX-Bench",
        paper="structure: arXiv 2511.05271",
    )

    families: tuple[str, ...] = Field(default=FAMILIES, min_length=1)
    """Families of the questions, which take turns: see `saccade.world.TAKES`."""
    tools: Condition = "none"
    """Which search tools the run offers, as in RealX-Bench: `none`, `image` (image_search), `text`
    (text_search), or `all` (both). A run that offers others is refused. Other tools are free."""

    def check_tools(self, offered: Collection[str]) -> None:
        """The search tools must be those of the condition."""
        check_condition(self.tools, offered)

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """All, each ability, and integration, by the rule of RealX-Bench."""
        return by_ability(scored)
