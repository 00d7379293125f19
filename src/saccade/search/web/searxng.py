"""SearXNG: a search engine of one's own that asks others, by words.

Source: https://docs.searxng.org, Search API; searxng/searxng, searx/webapp.py and webutils.py: JSON
has to be switched on, else it is a 403; engines that failed stand in `unresponsive_engines`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from saccade.client.failures import Response, Retry
from saccade.errors import ConfigError, ServiceError
from saccade.search.found import Query, Results
from saccade.search.web.base import WebProvider, words_of
from saccade.search.web.options import WebOptions
from saccade.search.web.reading import Names, entries, listed, results
from saccade.untrusted.printable import printable
from saccade.untrusted.values import items, word

_WORDS = Names(snippet="content", dates=("publishedDate", "pubdate"), score="score")
_NO_JSON = (
    "it does not answer in JSON: put json beside html under search: formats: in its settings.yml "
    "and restart it; or its limiter takes us for a robot: server: limiter: false"
)


class SearXNGOptions(WebOptions):
    """SearXNG (https://docs.searxng.org)."""

    base_url: str
    """Address of your own instance, such as "http://127.0.0.1:8888"; public ones refuse JSON."""
    language: str | None = Field(default=None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z]{2,4})?$")
    """Language of results, such as en or de-CH; left out, the default of the instance."""
    categories: tuple[str, ...] = ()
    """Categories that are searched; left out, the default of the instance."""
    engines: tuple[str, ...] = ()
    """Engines that are asked; left out, those of the categories."""
    safesearch: Literal[0, 1, 2] | None = None
    """How much adult content is left out: 0 nothing, 1 some, 2 all; left out itself, the default of
    the instance."""
    time_range: Literal["day", "month", "year"] | None = None
    """How far back results are looked for."""


class SearXNG(WebProvider):
    """An instance of SearXNG, by words."""

    Options = SearXNGOptions
    name = "searxng"

    def __init__(self, options: SearXNGOptions) -> None:
        super().__init__(options, None)
        self._options = options

    async def search(self, query: Query) -> Results:
        """Search once; see `Provider.search`.

        Nothing found by some engines while others failed is a failure: nobody knows what those
        would have found.
        """
        options = self._options
        chosen = {
            "language": options.language,
            "categories": ",".join(options.categories),
            "engines": ",".join(options.engines),
            "safesearch": None if options.safesearch is None else str(options.safesearch),
            "time_range": options.time_range,
        }
        asked = {name: value for name, value in chosen.items() if value}
        body = await self._get("/search", {"q": words_of(query), "format": "json", **asked}, {})
        found = listed(body, "results", where=self.where)
        down = [
            " ".join(map(word, items(pair))) for pair in items(body.get("unresponsive_engines"))
        ]
        if not found and down:
            said = printable(", ".join(down))[:300]
            raise Retry(ServiceError(f"{self.where}: nothing, and some engines failed: {said}"))
        return results(entries(found, _WORDS, query.k))

    def _failure(self, response: Response, body: JsonValue) -> Exception:
        if response.status == 403:
            return ConfigError(f"{self.where}: status 403: {_NO_JSON}")
        return super()._failure(response, body)
