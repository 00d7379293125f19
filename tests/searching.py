"""A provider with answers that a test wrote down, for tests of what is in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from pydantic import JsonValue

from saccade.images.image import Image
from saccade.search.found import Hit, Kind, Query, Result, Results

Answer = Results | Exception


def a_result_of(
    title: str = "A title", *, picture: Image | None = None, **fields: object
) -> Result:
    """What a provider returns: a hit with this title."""
    return Result(Hit(rank=1, title=title, **fields), picture)  # type: ignore[arg-type]


def found(*results: Result) -> Results:
    """Results of a search."""
    return Results(tuple(results))


class Scripted:
    """Answers by the text of the query, or by a function; counts what it is asked."""

    name = "scripted"
    kinds: frozenset[Kind] = frozenset({"text", "image"})
    facts: Mapping[str, JsonValue] = {"edition": 1}

    def __init__(
        self,
        answers: Mapping[str, Sequence[Answer]] | Callable[[Query], Answer] | None = None,
        *,
        seconds: float = 0.0,
    ) -> None:
        self._answers = answers if answers is not None else {}
        self._seconds = seconds
        self.asked: list[Query] = []
        self.under_way = self.most = 0
        """Number of searches that are under way, and the highest that it was."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def search(self, query: Query) -> Results:
        """The next answer for this query; the last one stays."""
        self.asked.append(query)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self.under_way -= 1
        if callable(self._answers):
            answer: Answer = self._answers(query)
        else:
            turns = self._answers.get(query.text, [Results()])
            before = sum(q.text == query.text for q in self.asked) - 1
            answer = turns[min(before, len(turns) - 1)]
        if isinstance(answer, Exception):
            raise answer
        return answer


class OnlyImages(Scripted):
    """Cannot be searched by words."""

    kinds = frozenset({"image"})
