"""Searching by an image where the service fetches it itself, as Google Lens does.

We have pixels, the service wants an address. So only images that the user has published, and says
where, can be searched with: nothing is uploaded anywhere. A row of the file, one for each image:

    {"digest": "9f86d081884c7d65...", "url": "https://example.org/street.jpg"}

The digest is the SHA-256 of the file that the task shows (`sha256sum street.jpg`). So an image that
the model made, or another one of the same name, is never taken for it. What this does not
guarantee: that the address holds the same picture when the service fetches it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue, field_validator

from saccade.client.download import is_url
from saccade.client.hosts import Hosts
from saccade.errors import ConfigError, FormatError, ServiceRefused, ToolError
from saccade.files import read_text_lines
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.search.found import Query, Results
from saccade.search.web.base import WebProvider
from saccade.search.web.options import KeyOptions
from saccade.search.web.pictures import Pictures
from saccade.search.web.reading import Entry, results
from saccade.untrusted.values import parsed, table

MAX_ROW_BYTES = 64 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}")


class LensOptions(KeyOptions):
    """A search engine that can be asked by the address of an image."""

    images: Path | None = None
    """JSON Lines file that says where the images of the tasks are published, a row `{"digest":
    SHA-256 of the file, "url": ADDRESS}` each; without it nothing can be searched by an image."""
    thumbnails: bool | tuple[str, ...] = True
    """Whether pictures of what an image search found are fetched and shown: those of any public
    host, none, or those of the named hosts alone, wherever these stand."""

    @field_validator("thumbnails")
    @classmethod
    def _are_hosts(cls, value: bool | tuple[str, ...]) -> bool | tuple[str, ...]:
        try:
            Hosts.of(value)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("allow_urls: ")) from error
        return value


class LensProvider(WebProvider):
    """Asks a service by words and by addresses of images."""

    def __init__(self, options: LensOptions) -> None:
        super().__init__(options, options.key_env)
        self._images, self._urls = options.images, dict[str, str]()
        self._thumbnails = options.thumbnails is not False
        self._pictures = Pictures(Hosts.of(options.thumbnails))
        if options.images is not None:
            self.kinds = frozenset({"text", "image"})

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        """What its results depend on, as far as it can be chosen."""
        shown = {} if self._images is None else {"thumbnails": self._thumbnails}
        return {**super().facts, **shown}

    async def start(self) -> None:
        """Look for the key, and read where images are published.

        Raises:
            ConfigError: there is no key.
            FormatError: the file of addresses is damaged.
        """
        await super().start()
        if self._images is not None and not self._urls:
            self._urls = published(self._images)

    async def search(self, query: Query) -> Results:
        """Search once; see `Provider.search`."""
        if query.kind == "text":
            return results(await self._by_words(query))
        assert query.image is not None
        return await self._pictures.of(await self._by_image(self._url_of(query.image), query.k))

    async def close(self) -> None:
        """Close all connections, and let threads go."""
        self._pictures.close()
        await super().close()

    async def _by_words(self, query: Query) -> list[Entry]:
        raise NotImplementedError

    async def _by_image(self, url: str, k: int) -> list[Entry]:
        raise NotImplementedError

    def _url_of(self, image: Image) -> str:
        """Where an image is published.

        Raises:
            ToolError: it is a part of an image.
            ServiceRefused: the file does not say it.
        """
        source = image.source
        if image.region != Box(0, 0, *source.size):
            raise ToolError("only a whole image can be searched with here, no part of it")
        if source.digest not in self._urls:
            raise ServiceRefused(
                f"{self.name}: {self._images} has no row for the image with the digest "
                f"{source.digest}; publish it and add one"
            )
        return self._urls[source.digest]


def published(file: Path) -> dict[str, str]:
    """Digest of an image -> where it is published.

    Raises:
        FormatError: the file cannot be read, or a row is not as it should be.
    """
    urls: dict[str, str] = {}
    for number, line in read_text_lines(file, most=MAX_ROW_BYTES):
        if not line.strip():
            continue
        try:
            row = table(parsed(line))
        except ValueError:
            row = {}
        digest, url = row.get("digest"), row.get("url")
        good = isinstance(digest, str) and _DIGEST.fullmatch(digest)
        if not good or not isinstance(url, str) or not is_url(url):
            raise FormatError(
                f"{file}:{number}: expected a row such as "
                '{"digest": "64 hex digits of sha256sum", "url": "https://..."}'
            )
        urls[str(digest)] = url
    return urls
