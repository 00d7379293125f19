"""How many kinds of questions there are, before and after each term of a curation.

A selection by difficulty can quietly become a selection of one source. So the questions are counted
by what is known of them without reading their language: source, family, form of the answer, number
of images, abilities. They count as their source has them, whatever a term makes of them later.

The effective number is 2 to the entropy: of four sources of one size 4, of one that has nearly all
questions nearly 1. Source: Hill, "Diversity and evenness" (1973), order 1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from math import log2
from typing import NamedTuple

from pydantic import JsonValue

from saccade.types import Task

MOST_NAMED = 40
"""Number of kinds that a count names, the largest ones; the others are counted together."""
MAX_NAME = 80
OTHERS = "(others)"
UNKNOWN = "(unknown)"
ABILITIES = ("perception", "search", "reason")
"""Keys of `Task.meta` that are true or false, or 1 or 0. Source: RealX-Bench (arXiv 2511.05271)."""

_NUMBER = re.compile(r"[-+\u2212]?[\d.,:/ ]*\d[\d.,:/ ]*[%\u00b0]?")


class Traits(NamedTuple):
    """What a question is counted by."""

    source: str
    family: str
    answer: str
    """`option`, `number`, `word`, `words` (up to five), `text`, or `none`."""
    images: str
    abilities: str
    """Those that it takes, as in `perception+search`."""


class Stage(NamedTuple):
    """The questions that were there at some point."""

    name: str
    """`source`, the term that has just decided, or the set that they went to."""
    counts: tuple[Counter[str], ...]
    """One for each trait."""

    @property
    def questions(self) -> int:
        return self.counts[0].total()

    def summary(self) -> dict[str, JsonValue]:
        """The stage for `summary.json`."""
        by: dict[str, JsonValue] = {
            name: _summary(count) for name, count in zip(Traits._fields, self.counts, strict=True)
        }
        return {"stage": self.name, "questions": self.questions, "by": by}


def traits_of(task: Task) -> Traits:
    """What a question is counted by."""
    return Traits(
        _name(task.source or UNKNOWN),
        _name(task.family or UNKNOWN),
        _form(task),
        str(len(task.images)),
        _abilities(task.meta),
    )


def stage_of(name: str, traits: Iterable[Traits]) -> Stage:
    """Count questions."""
    counts: tuple[Counter[str], ...] = tuple(Counter() for _ in Traits._fields)
    for one in traits:
        for count, value in zip(counts, one, strict=True):
            count[value] += 1
    return Stage(name, counts)


def entropy(counts: Iterable[int]) -> float:
    """Of the shares, in bits; 0 of nothing."""
    known = [count for count in counts if count]
    total = sum(known)
    return sum(count / total * log2(total / count) for count in known)


def _summary(count: Counter[str]) -> dict[str, JsonValue]:
    named = count.most_common(MOST_NAMED)
    counts: dict[str, JsonValue] = dict(named)
    if rest := count.total() - sum(number for _, number in named):
        counts[OTHERS] = rest
    bits = entropy(count.values())
    return {
        "counts": counts,
        "kinds": len(count),
        "entropy_bits": round(bits, 3),
        "effective": round(2**bits if count else 0.0, 2),
    }


def _form(task: Task) -> str:
    answer = (task.answer or "").strip()
    if not answer:
        return "none"
    if task.choices:
        return "option"
    if len(answer) <= MAX_NAME and _NUMBER.fullmatch(answer):
        return "number"
    words = len(answer[: 10 * MAX_NAME].split())
    return "word" if words == 1 else "words" if words <= 5 else "text"


def _abilities(meta: Mapping[str, JsonValue]) -> str:
    if not any(ability in meta for ability in ABILITIES):
        return UNKNOWN
    return "+".join(ability for ability in ABILITIES if meta.get(ability) in (True, 1)) or "none"


def _name(text: str) -> str:
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 3] + "..."
