"""Brave Search: results of an index of its own, by words.

Source: https://api-dashboard.search.brave.com, Web Search (query and header parameters, the error
responses 404, 422 and 429, rate limits). A wrong key is a 422 with its own code; a plan that is
used up is a 429, as is one that is asked too fast: only the code tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from saccade.client.failures import Failure
from saccade.errors import ToolError
from saccade.search.found import Query, Results
from saccade.search.web.base import Verdict, WebProvider, words_of
from saccade.search.web.options import KeyOptions
from saccade.search.web.reading import Names, entries, listed, results
from saccade.untrusted.values import count, table, tables, word

MAX_CHARS, MAX_WORDS = 400, 50
"""Of a query; longer ones are refused."""
MAX_COUNT = 20
"""Number of results that one request can ask for."""
_WORDS = Names(snippet="description", dates=("page_age", "age"))
_KEY_CODES = ("SUBSCRIPTION_TOKEN_INVALID", "SUBSCRIPTION_NOT_FOUND")


class BraveOptions(KeyOptions):
    """Brave Search (https://brave.com/search/api)."""

    base_url: str = "https://api.search.brave.com"
    key_env: str = "BRAVE_API_KEY"
    country: str | None = Field(default=None, pattern=r"^([A-Za-z]{2}|ALL)$")
    """Country where results come from, as two letters such as US, or ALL; left out, the service's
    default."""
    language: str | None = Field(default=None, pattern=r"^[A-Za-z]{2}(-[A-Za-z]{2,4})?$")
    """Language of results, such as en or pt-br; left out, the service's default."""
    safesearch: Literal["off", "moderate", "strict"] | None = None
    """How much adult content is left out; left out itself, the service's default."""
    freshness: str | None = Field(
        default=None, pattern=r"^(p[dwmy]|\d{4}-\d\d-\d\dto\d{4}-\d\d-\d\d)$"
    )
    """Age of results: pd, pw, pm or py (a day, week, month, year), or FROMtoTO as two dates."""


class Brave(WebProvider):
    """Brave Search, by words."""

    Options = BraveOptions
    name = "brave"

    def __init__(self, options: BraveOptions) -> None:
        super().__init__(options, options.key_env)
        self._options = options

    async def search(self, query: Query) -> Results:
        """Search once; see `Provider.search`."""
        text, options = words_of(query), self._options
        if len(text) > MAX_CHARS or len(text.split()) > MAX_WORDS:
            raise ToolError(
                f"a query has at most {MAX_WORDS} words and {MAX_CHARS} characters here; search "
                "for fewer"
            )
        chosen = {
            "country": options.country,
            "search_lang": options.language,
            "safesearch": options.safesearch,
            "freshness": options.freshness,
        }
        asked = {
            "q": text,
            "count": str(min(query.k, MAX_COUNT)),
            "result_filter": "web",
            "text_decorations": "false",
            **{name: value for name, value in chosen.items() if value},
        }
        body = await self._get("/res/v1/web/search", asked, {"X-Subscription-Token": self._key()})
        if body.get("type") == "search" and body.get("web") is None:
            return Results()
        found = listed(body, "web", "results", where=self.where)
        return results(entries(found, _WORDS, query.k))

    def _verdict(self, failure: Failure, body: JsonValue) -> Verdict | None:
        whole = table(body)
        errors = tables(whole.get("error")) + tables(whole.get("errors"))
        code = next((word(error.get("code")) for error in errors), "")
        if code in _KEY_CODES:
            return "key"
        if code == "QUOTA_LIMITED" or any(map(_is_used_up, errors)):
            return "used up"
        return None

    def _pause(self, headers: Mapping[str, str], said: str) -> float | None:
        """Seconds until the shortest window that it counts in is over: "1, 1419704"."""
        first = re.match(r"\s*(\d{1,7})\b", headers.get("x-ratelimit-reset", ""))
        return super()._pause(headers, said) or (float(first[1]) if first else None)


def _is_used_up(error: Mapping[str, JsonValue]) -> bool:
    """Whether it counts as many requests of this month as the plan has."""
    meta = table(error.get("meta"))
    limit, current = count(meta.get("quota_limit")), count(meta.get("quota_current"))
    return bool(limit) and current is not None and limit is not None and current >= limit
