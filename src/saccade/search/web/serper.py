"""Serper: results of Google, by words and by the address of an image.

Source: https://serper.dev, playground: POST /search and /lens with the header X-API-KEY. A wrong
key is a 403 with "Unauthorized.", an account without credits a 400 with "Not enough credits".
"""

from __future__ import annotations

import re

from pydantic import Field, JsonValue

from saccade.client.failures import Failure
from saccade.search.found import Query
from saccade.search.web.base import Verdict, words_of
from saccade.search.web.lens import LensOptions, LensProvider
from saccade.search.web.reading import Entry, Names, entries, listed

_USED_UP = re.compile(r"not enough credits", re.IGNORECASE)
_WORDS = Names(url="link", snippet="snippet", dates=("date",))
_IMAGE = Names(url="link", snippet="source", dates=("date",), picture="thumbnailUrl")


class SerperOptions(LensOptions):
    """Serper (https://serper.dev)."""

    base_url: str = "https://google.serper.dev"
    key_env: str = "SERPER_API_KEY"
    country: str | None = Field(default=None, pattern=r"^[A-Za-z]{2}$")
    """Country of whoever searches, as two letters such as us; left out, the service's default."""
    language: str | None = Field(default=None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z]{2,4})?$")
    """Language of whoever searches, such as en or zh-cn; left out, the service's default."""


class Serper(LensProvider):
    """Google by way of Serper: organic results, and Lens for published images."""

    Options = SerperOptions
    name = "serper"

    def __init__(self, options: SerperOptions) -> None:
        super().__init__(options)
        self._options = options

    async def _by_words(self, query: Query) -> list[Entry]:
        body = await self._asked("/search", {"q": words_of(query), "num": query.k})
        return entries(listed(body, "organic", where=self.where), _WORDS, query.k)

    async def _by_image(self, url: str, k: int) -> list[Entry]:
        body = await self._asked("/lens", {"url": url})
        return entries(listed(body, "organic", where=self.where), _IMAGE, k)

    async def _asked(self, path: str, body: dict[str, JsonValue]) -> JsonValue:
        options = self._options
        place = {"gl": options.country, "hl": options.language}
        chosen: dict[str, JsonValue] = {name: value for name, value in place.items() if value}
        return await self._post(path, body | chosen, {"X-API-KEY": self._key()})

    def _verdict(self, failure: Failure, body: JsonValue) -> Verdict | None:
        return "used up" if _USED_UP.search(failure.message) else None
