"""Tavily: results for language models, by words.

Source: https://docs.tavily.com, API reference, Search; tavily-ai/tavily-python, async_tavily.py and
errors.py: 401 a wrong key, 429 too fast, 432 the plan and 433 the pay-as-you-go limit used up, each
with `{"detail": {"error": ...}}`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from saccade.client.failures import Failure
from saccade.errors import ToolError
from saccade.search.found import Query, Results
from saccade.search.web.base import Verdict, WebProvider, words_of
from saccade.search.web.options import KeyOptions
from saccade.search.web.reading import Names, entries, listed, results
from saccade.untrusted.values import table

MAX_CHARS = 400
"""Of a query; longer ones are refused."""
MAX_RESULTS = 20
"""Number of results that one request can ask for."""
_WORDS = Names(snippet="content", dates=("published_date",), score="score")


class TavilyOptions(KeyOptions):
    """Tavily (https://tavily.com)."""

    base_url: str = "https://api.tavily.com"
    key_env: str = "TAVILY_API_KEY"
    search_depth: Literal["basic", "advanced", "fast", "ultra-fast"] = "basic"
    """How thoroughly it searches; advanced costs more."""
    topic: Literal["general", "news", "finance"] = "general"
    """What is searched."""
    country: str | None = Field(default=None, pattern=r"^[a-z][a-z ]{1,60}$")
    """Country whose results come first, as a word such as germany; of the topic general only."""
    time_range: Literal["day", "week", "month", "year"] | None = None
    """How far back results are looked for."""
    include_domains: tuple[str, ...] = ()
    """Domains to which the search keeps."""
    exclude_domains: tuple[str, ...] = ()
    """Domains that are left out."""


class Tavily(WebProvider):
    """Tavily, by words."""

    Options = TavilyOptions
    name = "tavily"

    def __init__(self, options: TavilyOptions) -> None:
        super().__init__(options, options.key_env)
        self._options = options

    async def search(self, query: Query) -> Results:
        """Search once; see `Provider.search`."""
        text = words_of(query)
        if len(text) > MAX_CHARS:
            raise ToolError(f"a query has at most {MAX_CHARS} characters here; search for fewer")
        asked: dict[str, JsonValue] = {
            **self._options.chosen,  # they are called as the API calls them
            "query": text,
            "max_results": min(query.k, MAX_RESULTS),
        }
        headers = {"Authorization": f"Bearer {self._key()}"}
        body = await self._post("/search", asked, headers)
        return results(entries(listed(body, "results", where=self.where), _WORDS, query.k))

    def _said(self, body: JsonValue) -> JsonValue:
        return table(body).get("detail") or body

    def _verdict(self, failure: Failure, body: JsonValue) -> Verdict | None:
        return "used up" if failure.status in (432, 433) else None
