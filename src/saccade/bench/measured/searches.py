"""What the episodes of a group searched for, what was found, and whether it was used."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from saccade.bench.measured.attempts import OURS, Attempt
from saccade.bench.scorers.short_answers import golds_of
from saccade.measures.means import Metric, mean_of
from saccade.measures.summary import Pair, is_correct
from saccade.search.found import Fetches, Found, Kind, found_in
from saccade.types import Record, Task, ToolResult, Trajectory

SEARCH, IMAGE = "search", "image"
"""A tool searches if the first is in its name: `search`, `text_search`, `web_search`; with an image
if the second is, too."""
SHORTEST = 2
"""Number of letters and digits that a gold answer has at least to be looked for in a text."""
COMMON = frozenset({"yes", "no", "true", "false", "none", "unknown", "a", "an", "the"})
"""Gold answers that stand in any text, and say nothing where they do."""

_IDEOGRAPH = r"\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\W_{_IDEOGRAPH}]+(?:\.[0-9]+)?")
"""A word or a number; of Chinese and Japanese, which have no spaces, each character."""
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ARTICLE = re.compile(r"^ (?:an?|the) (?=\S)")


class Searches(Record):
    """What the finished episodes of a group searched for, and what became of it.

    `found` and `used` are told from texts. An answer that a hit gives in other words is not seen,
    and one that stands there by chance, or in the denial of it, counts: this tells retrieval from
    reading where answers are names, dates and numbers, and is no judgement of either.
    """

    group: str
    made: int
    """Number of searches that a provider answered; what was asked before is not asked again."""
    empty: int
    """Number of those with no result."""
    repeated: int
    """Number of searches that the episode had made before, and that were not made again."""
    hits: int
    """Number of results that were shown."""
    pages: int
    """Number of pages that were opened."""
    fetched: Fetches
    """What became of pages and of the pictures of results."""
    found: Metric
    """Of the episodes that searched and whose gold answer can be looked for, the share in which one
    that was shown holds a gold answer, as whole words: title, snippet and date of a hit, or the
    text of a page. Option letters are looked for by the text of the option; answers like "yes" and
    single letters cannot be looked for."""
    used: Metric
    """Of the scored ones of these in which it was found, the share that ends right."""
    without: Metric
    """Of the scored ones in which it was not found, the share that ends right: the model knew it,
    saw it in the image, or read it in other words."""


class _Kept(NamedTuple):
    """A result that keeps what was found."""

    result: ToolResult
    found: Found


def searches_with(name: str) -> Kind | None:
    """What a tool of this name searches with; None if it does not search."""
    lower = name.lower()
    if SEARCH not in lower:
        return None
    return "image" if IMAGE in lower else "text"


def is_search(result: ToolResult) -> bool:
    """Whether a call was one of a tool that searches, refused ones included."""
    if searches_with(result.call.name) is not None:
        return True
    kept = found_in(result.data)
    return kept is not None and kept.kind != "page"


def searches(group: str, done: Sequence[Attempt]) -> Searches | None:
    """What finished episodes searched for; None if no tool kept anything."""
    held = [(attempt, _kept(attempt.trajectory)) for attempt in done]
    every = [kept.found for _, several in held for kept in several]
    if not every:
        return None
    asked = [found for found in every if found.kind != "page" and not found.repeated]
    known = [
        (attempt, any(_holds(kept, golds) for kept in several))
        for attempt, several in held
        if several and (golds := _golds(attempt.task))
    ]
    scored = [(attempt, there) for attempt, there in known if attempt.correct is not None]
    return Searches(
        group=group,
        made=len(asked),
        empty=sum(not found.hits for found in asked),
        repeated=sum(found.repeated for found in every),
        hits=sum(len(found.hits) for found in asked),
        pages=sum(found.kind == "page" and not found.repeated for found in every),
        fetched=_sum(found.fetches for found in every),
        found=_share("answer found", group, known),
        used=_share("right where found", group, ((a, bool(a.correct)) for a, t in scored if t)),
        without=_share(
            "right where not found", group, ((a, bool(a.correct)) for a, t in scored if not t)
        ),
    )


def searches_of(group: str, pairs: Iterable[Pair]) -> Searches | None:
    """The same of episodes that are of no benchmark, those that did not finish left out."""
    done = []
    for task, trajectory in pairs:
        if trajectory.stop not in OURS:
            correct = is_correct(trajectory)
            value = None if correct is None else float(correct)
            done.append(Attempt(task, trajectory, (group,), value, correct, value, ""))
    return searches(group, done)


def _kept(trajectory: Trajectory) -> list[_Kept]:
    """The searches that the model was shown the results of."""
    read = ((result, found_in(result.data)) for result in trajectory.executed)
    return [_Kept(result, found) for result, found in read if found is not None]


def _golds(task: Task) -> list[str]:
    """The gold answers as words, of those that can be looked for."""
    golds = list(golds_of(task))
    letter = (task.answer or "").strip().rstrip(".")
    if task.choices and len(letter) == 1 and "A" <= letter.upper() <= "Z":
        place = ord(letter.upper()) - ord("A")
        golds = [task.choices[place]] if place < len(task.choices) else []
    words = [_ARTICLE.sub(" ", _words(gold)) for gold in golds]
    return [
        gold
        for gold in words
        if len(gold.replace(" ", "")) >= SHORTEST and gold.strip() not in COMMON
    ]


def _holds(kept: _Kept, golds: Sequence[str]) -> bool:
    """Whether a gold answer stands in what was shown; never in the repeated query alone."""
    return any(gold in text for text in map(_words, _texts(kept)) for gold in golds)


def _texts(kept: _Kept) -> Iterator[str]:
    if kept.found.kind == "page":
        yield from (part for part in kept.result.content if isinstance(part, str))
    for hit in kept.found.hits:
        yield from (hit.title, hit.snippet, hit.date)


def _words(text: str) -> str:
    """The words of a text in the form in which they are compared, each between spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = _WORD.findall(_THOUSANDS.sub("", folded))
    return f" {' '.join(words)} "


def _sum(every: Iterable[Fetches]) -> Fetches:
    succeeded = failed = cut = 0
    for one in every:
        succeeded, failed, cut = succeeded + one.succeeded, failed + one.failed, cut + one.cut
    return Fetches(succeeded=succeeded, failed=failed, cut=cut)


def _share(name: str, group: str, of: Iterable[tuple[Attempt, bool]]) -> Metric:
    return mean_of(name, group, [(attempt.unit, float(holds)) for attempt, holds in of])
