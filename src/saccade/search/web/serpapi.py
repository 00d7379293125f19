"""SerpApi: results of Google, by words and by the address of an image.

Source: https://serpapi.com/organic-results, /google-lens-api, /google-reverse-image and
/api-status-and-error-codes. Where there is nothing, a reply of status 200 has an `error` that says
so, as "Google hasn't returned any results for this query."; other errors of status 200 are errors.
The key is a parameter of the URL: addresses are logged and told without their query.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, JsonValue

from saccade.client.failures import Failure, Retry
from saccade.errors import ServiceError
from saccade.search.found import Query
from saccade.search.web.base import MAX_SHOWN, Verdict, words_of
from saccade.search.web.lens import LensOptions, LensProvider
from saccade.search.web.reading import Entry, Names, entries, listed
from saccade.untrusted.printable import printable
from saccade.untrusted.values import table, word

_NOTHING = re.compile(r"hasn't returned any results", re.IGNORECASE)
_USED_UP = re.compile(r"run out of searches", re.IGNORECASE)
_WORDS = Names(url="link", snippet="snippet", dates=("date",))
_LENS = Names(url="link", snippet="source", dates=("date",), picture="thumbnail")
_REVERSE = Names(url="link", snippet="snippet", dates=("date",), picture="thumbnail")

ImageEngine = Literal["google_lens", "google_reverse_image"]


class SerpApiOptions(LensOptions):
    """SerpApi (https://serpapi.com)."""

    base_url: str = "https://serpapi.com"
    key_env: str = "SERPAPI_API_KEY"
    country: str | None = Field(default=None, pattern=r"^[A-Za-z]{2}$")
    """Country of whoever searches, as two letters such as us; left out, the service's default."""
    language: str | None = Field(default=None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z]{2,4})?$")
    """Language of whoever searches, such as en or zh-cn; left out, the service's default."""
    image_engine: ImageEngine = "google_lens"
    """Engine that searches by an image."""


class SerpApi(LensProvider):
    """Google by way of SerpApi: organic results, and Lens for published images."""

    Options = SerpApiOptions
    name = "serpapi"

    def __init__(self, options: SerpApiOptions) -> None:
        super().__init__(options)
        self._options = options

    async def _by_words(self, query: Query) -> list[Entry]:
        asked = {"engine": "google", "q": words_of(query), "num": str(query.k)}
        found = await self._asked(asked, "organic_results", "gl")
        return entries(found, _WORDS, query.k)

    async def _by_image(self, url: str, k: int) -> list[Entry]:
        if self._options.image_engine == "google_lens":
            asked = {"engine": "google_lens", "url": url}
            return entries(await self._asked(asked, "visual_matches", "country"), _LENS, k)
        asked = {"engine": "google_reverse_image", "image_url": url}
        return entries(await self._asked(asked, "image_results", "gl"), _REVERSE, k)

    async def _asked(self, asked: dict[str, str], results: str, country: str) -> list[JsonValue]:
        """The list of results; empty where the engine says that there are none."""
        options = self._options
        place = {country: options.country, "hl": options.language}
        chosen = {name: value for name, value in place.items() if value}
        whole = {**asked, **chosen, "output": "json", "api_key": self._key()}
        body = await self._get("/search", whole, {})
        error = word(body.get("error"))
        if _NOTHING.search(error):
            return []
        if error:
            raise Retry(ServiceError(f"{self.where}: {printable(error)[:MAX_SHOWN]}"))
        finished = table(body.get("search_metadata")).get("status") == "Success"
        if finished and body.get(results) is None:  # there is something, but none of this kind
            return []
        return listed(body, results, where=self.where)

    def _verdict(self, failure: Failure, body: JsonValue) -> Verdict | None:
        return "used up" if _USED_UP.search(failure.message) else None
