"""RealX-Bench: questions that take perception, search and reasoning (DeepEyesV2, 2511.05271).

194 of the 300 questions of the paper, as they are published, in parquet or beside image files:

    {"query": "...", "answer": "2012 or 2013", "perception": 1, "search": 1, "reason": 0,
     "image": {"bytes": b"..."}}

Source: the card of `glowol/RealXBench` on the hub, revision 002f872. The paper reports four
conditions: without search, with image search, with text search, with both (its table 1).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import AliasChoices, BaseModel, Field

from saccade.bench.benchmark import ALL, About, Item, Scored, unit_of
from saccade.bench.cells import Flag, Text, first_of, picture
from saccade.bench.measured.searches import searches_with
from saccade.bench.scorers.short_answers import alternatives
from saccade.bench.sets.search.base import SearchBenchmark, short_task
from saccade.errors import ConfigError
from saccade.formats.found import find_files
from saccade.formats.records import Row, read_records
from saccade.search.found import Kind
from saccade.types import Task

Condition = Literal["none", "image", "text", "all"]
SEARCHES: Mapping[Condition, tuple[Kind, ...]] = {
    "none": (),
    "image": ("image",),
    "text": ("text",),
    "all": ("image", "text"),
}
"""What is searched with in each condition; other tools may be there in all of them."""

ABILITIES = ("perception", "search", "reason")
INTEGRATION = "integration"
"""The questions that take all three."""


class _Question(BaseModel):
    query: Text = Field(min_length=1, validation_alias=AliasChoices("query", "question"))
    answer: Text = Field(min_length=1)
    perception: Flag
    search: Flag
    reason: Flag = Field(validation_alias=AliasChoices("reason", "reasoning"))
    id: Text = ""


class RealX(SearchBenchmark):
    """RealX-Bench."""

    name: ClassVar[str] = "realx"
    about: ClassVar[About] = About(
        title="RealX-Bench",
        items=194,
        licence="Apache-2.0",
        source="https://huggingface.co/datasets/glowol/RealXBench",
        layout="the folder with its parquet file, or with metadata.jsonl and images",
        metric="share of answers that a judge finds right: average, of the questions that take "
        "perception, search or reasoning, and of those that take all three (integration)",
        differs="the paper has 300 questions, of which 194 are public, and its judge is not "
        "published",
        paper="arXiv 2511.05271",
    )

    tools: Condition = "none"
    """Which search tools the run offers, one of the four conditions of the paper: `none`, `image`
    (image_search), `text` (text_search, whatever the model calls it by), or `all` (both). A run
    that offers others is refused, so that numbers of two conditions never stand for one another.
    Other tools are free."""

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row."""
        patterns = ["**/*.parquet", "metadata.jsonl", "**/metadata.jsonl", "*.jsonl", "*.json",
                    "*.tsv", "*.csv"]  # fmt: skip
        number = 0
        for file in find_files(place, patterns, self.about.layout):
            for row in read_records(file):
                name = f"realx-{row.read(_Question).id or number}"
                number += 1
                yield Item(name, row.place, partial(_task, name, row))

    def check_tools(self, offered: Collection[str]) -> None:
        """The search tools must be those of the condition."""
        check_condition(self.tools, offered)

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        """All, each ability, and integration."""
        return by_ability(scored)


def check_condition(condition: Condition, offered: Collection[str]) -> None:
    """Find out if a run offers the search tools of a condition, and no others.

    Raises:
        ConfigError: it offers others.
    """
    wanted = SEARCHES[condition]
    named = {name: kind for name in sorted(offered) if (kind := searches_with(name))}
    found = {*named.values()}
    if found != {*wanted}:
        fits = next(c for c, kinds in SEARCHES.items() if {*kinds} == found)
        tools = ", ".join(f"{kind}_search" for kind in wanted)
        raise ConfigError(
            f"bench.tools: {condition!r} means that of the search tools the run offers "
            f"{tools or 'none'}; it offers {', '.join(named) or 'none'}: change the tools of the "
            f"run, or set bench.tools={fits}"
        )


def by_ability(scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
    """Groups of questions by what they take; a question is in every group whose ability it takes.

    Source: DeepEyesV2, section 4.2 and table 1.
    """
    groups: dict[str, list[tuple[str, float]]] = {
        name: [] for name in (ALL, *ABILITIES, INTEGRATION)
    }
    for one in scored:
        if one.value is None:
            continue
        takes = [name for name in ABILITIES if one.task.meta.get(name) is True]
        whole = [INTEGRATION] if len(takes) == len(ABILITIES) else []
        for group in (ALL, *takes, *whole):
            groups[group].append((unit_of(one.task), one.value))
    return groups


def _task(name: str, row: Row, max_pixels: int) -> Task:
    asked = row.read(_Question)
    held = first_of(row, "image", "images", "file_name", "image_path")
    image = picture(row, held, max_pixels=max_pixels)
    flags = {key: bool(getattr(asked, key)) for key in ABILITIES}
    return short_task(
        row, name, "realx", asked.query, [image],
        golds=alternatives(asked.answer), reference=asked.answer.strip(),
        family="+".join(key for key in ABILITIES if flags[key]), meta={**flags},
    )  # fmt: skip
